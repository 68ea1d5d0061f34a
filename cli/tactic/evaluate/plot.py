"""``tactic plot``: accuracy against bytes, a line for each codec."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter, StrMethodFormatter

from tactic.evaluate import codec, files
from tactic.evaluate.errors import OutputError
from tactic.evaluate.saved import Point, Result, read

_SIZE_IN = (7.6, 4.8)
_DPI = 200
_INK, _FAINT = "#303030", "#707070"
# Okabe and Ito's colours, which colour-blind readers tell apart.
_OURS = ("#0072B2", "#56B4E9", "#003A5D", "#5D3FD3")
_THEIRS = {"jpeg": "#D55E00", "webp": "#009E73", "avif": "#B5629B", "jpeg2000": "#A07800"}
_OTHER = "#808080"
_TICKS = [step * 10.0**power for power in range(-3, 7) for step in (1, 2, 5)]
_ACCURACY = {
    "class": "accuracy",
    "pixel": "accuracy of pixels",
    "agreement": "same answer as uncompressed",
}
_LEAST_TOP = 0.1
_MARGIN = 0.12
_LEAST_GAP = 0.055


@dataclass(frozen=True, slots=True)
class Line:
    """A codec's curve as it is drawn; ``bytes`` of its points is whatever the axis shows."""

    name: str
    colour: str
    points: tuple[Point, ...]
    ours: bool

    @property
    def front(self) -> list[Point]:
        """The points of the envelope, by bytes."""
        return sorted((p for p in self.points if p.envelope), key=lambda p: p.bytes)


@dataclass(frozen=True, slots=True)
class Words:
    """What stands beside the axes and above them."""

    across: str
    up: str
    note: str


def run_plot(paths: Sequence[Path], out: Path) -> None:
    """Draw results and write the figure.

    Parameters
    ----------
    paths : sequence of Path
        Results of the same pictures; the other codecs are drawn once.
    out : Path
        ``.png`` or ``.svg``.

    Raises
    ------
    EvaluationError, OutputError
    """
    save(draw(read(paths)), out)


def save(figure: Figure, out: Path) -> None:
    """Write a figure, ``.png`` or ``.svg``.

    Raises
    ------
    OutputError
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # Text stays text in SVG, and the file is the same for the same results.
        with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tactic"}):
            metadata = {"Date": None} if out.suffix == ".svg" else {}
            figure.savefig(out, dpi=_DPI, metadata=metadata)
    except OSError as fault:
        raise OutputError(f"{out}: {fault.strerror}; choose another --out") from fault


def draw(results: Sequence[Result]) -> Figure:
    """One set of axes with every curve."""
    first = results[0]
    count = f"{first.n:,} picture" + "s" * (first.n > 1)
    words = Words(
        "bytes a picture, whole file or packet (log scale)",
        _ACCURACY[first.accuracy_of],
        f"{count}, head {first.head}; lines: best settings, bands: 95 % interval",
    )
    return draw_lines(_lines(results), first.clean_accuracy, words)


def draw_lines(lines: Sequence[Line], clean: float, words: Words) -> Figure:
    """Curves of any size against accuracy, and the accuracy of uncompressed pictures."""
    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    axes = figure.add_subplot()
    _frame(axes, lines, clean, words)
    axes.axhline(clean, color=_FAINT, linestyle="--", linewidth=1, zorder=1)
    for line in lines:
        _curve(axes, line)
    _label(axes, lines, clean)
    return figure


def _lines(results: Sequence[Result]) -> list[Line]:
    """The other codecs first, so that tactic's lines lie on top of them."""
    theirs: dict[str, Line] = {}
    for result in results:
        for name, points in result.curves.items():
            if name != codec.NAME:
                colour = _THEIRS.get(name, _OTHER)
                theirs.setdefault(name, Line(files.NAMES.get(name, name), colour, points, False))
    ours = [
        Line(
            f"tactic {result.bundle}" if len(results) > 1 else "tactic",
            _OURS[number % len(_OURS)],
            result.curves.get(codec.NAME, ()),
            True,
        )
        for number, result in enumerate(results)
    ]
    return [line for line in (*theirs.values(), *ours) if line.front]


def _frame(axes: Axes, lines: Sequence[Line], clean: float, words: Words) -> None:
    """Scales, ticks and titles."""
    sizes = [point.bytes for line in lines for point in line.points]
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / 1.12, max(sizes) * 1.3)
    bottom = _bottom(lines)
    axes.set_ylim(bottom, min(1.02, max(_LEAST_TOP, clean + _MARGIN * (clean - bottom))))
    axes.xaxis.set_major_locator(FixedLocator(_TICKS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.grid(color="#e8e8e8", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b0b0b0")
    axes.tick_params(color="#b0b0b0", labelcolor=_INK)
    axes.set_xlabel(words.across, color=_INK)
    axes.set_ylabel(words.up, color=_INK)
    axes.set_title(words.note, loc="left", fontsize=9, color=_FAINT, pad=10)


def _bottom(lines: Sequence[Line]) -> float:
    """Where the scale begins: a whole tenth below everything that is drawn."""
    lowest = min(
        min(point.accuracy, *point.accuracy_interval) for line in lines for point in line.points
    )
    return max(0.0, math.floor(10 * lowest - 0.1) / 10)


def _curve(axes: Axes, line: Line) -> None:
    front = line.front
    sizes = [point.bytes for point in front]
    low, high = zip(*(point.accuracy_interval for point in front), strict=True)
    axes.fill_between(sizes, low, high, color=line.colour, alpha=0.08, linewidth=0, zorder=2)
    beaten = [point for point in line.points if not point.envelope]
    axes.scatter(
        [point.bytes for point in beaten],
        [point.accuracy for point in beaten],
        s=7,
        color=line.colour,
        alpha=0.35,
        linewidths=0,
        zorder=3,
    )
    axes.plot(
        sizes,
        [point.accuracy for point in front],
        color=line.colour,
        linewidth=2.4 if line.ours else 1.6,
        marker="o",
        markersize=4.5 if line.ours else 3,
        zorder=5 if line.ours else 4,
    )


def _label(axes: Axes, lines: Sequence[Line], clean: float) -> None:
    """Names beside the ends of the lines: ours in the figure, the others' on the right."""
    axes.annotate(
        f"uncompressed {100 * clean:.1f} %",
        (0, clean),
        xycoords=("axes fraction", "data"),
        xytext=(4, 3),
        textcoords="offset points",
        color=_FAINT,
        fontsize=9,
    )
    for line in lines:
        if line.ours:
            axes.annotate(
                line.name,
                (line.front[-1].bytes, line.front[-1].accuracy),
                xytext=(-4, 8),
                textcoords="offset points",
                ha="right",
                color=line.colour,
                fontweight="bold",
                bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1},
                zorder=6,
            )
    others = sorted((line for line in lines if not line.ours), key=_end)
    bottom, top = axes.get_ylim()
    heights = spread([_end(line) for line in others], _LEAST_GAP * (top - bottom))
    for line, height in zip(others, heights, strict=True):
        axes.annotate(
            line.name,
            (line.front[-1].bytes, line.front[-1].accuracy),
            xytext=(1.015, height),
            textcoords=("axes fraction", "data"),
            va="center",
            color=line.colour,
            arrowprops={"arrowstyle": "-", "color": line.colour, "alpha": 0.4, "linewidth": 0.8},
        )


def _end(line: Line) -> float:
    return line.front[-1].accuracy


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Move labels apart: rising heights, each at least ``gap`` above the one before.

    The highest stays where it is and the others give way downwards.
    """
    found: list[float] = []
    for height in reversed(heights):
        found.append(min(height, found[-1] - gap) if found else height)
    return found[::-1]
