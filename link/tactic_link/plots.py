"""Figures of a comparison: the day as it goes, what it brought, and how late."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from tactic_link.compare import OURS, Comparison, Contender
from tactic_link.errors import LinkError
from tactic_link.words import duration

_SIZE_IN = (9.2, 7.4)
_DPI = 160
_INK, _FAINT, _GRID = "#303030", "#707070", "#e8e8e8"
_CONTACT = "#f3ead2"
# Okabe and Ito's colours, which colour-blind readers tell apart; as tactic plot uses them.
_COLOURS = {
    "tactic": "#0072B2",
    "jpeg": "#D55E00",
    "webp": "#009E73",
    "avif": "#B5629B",
    "jpeg2000": "#A07800",
    "head": "#606060",
}
_NAMES = {
    "jpeg": "JPEG",
    "webp": "WebP",
    "avif": "AVIF",
    "jpeg2000": "JPEG 2000",
    "head": "head on the node",
}
_HOUR_S = 3600.0
#: shorter contacts than this share of the figure would not be seen
_LEAST_SHARE = 0.002
_MOST_CONTACTS = 40


def save(comparison: Comparison, title: str, out: Path) -> None:
    """Draw a comparison into a file, ``.png`` or ``.svg``.

    Raises
    ------
    LinkError
        It cannot be written.
    """
    figure = draw(comparison, title)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tactic"}):
            metadata = {"Date": None} if out.suffix == ".svg" else {}
            figure.savefig(out, dpi=_DPI, metadata=metadata)
    except OSError as fault:
        raise LinkError(f"{out}: {fault.strerror}; choose another folder") from fault


def draw(comparison: Comparison, title: str) -> Figure:
    """Correct decisions and waiting frames over time; totals; delays."""
    found = [(codec, comparison.best(codec)) for codec in comparison.codecs]
    best = [(codec, contender) for codec, contender in found if contender]
    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=(3, 1.4, 2.4))
    over_time = figure.add_subplot(grid[0, :])
    waiting = figure.add_subplot(grid[1, :], sharex=over_time)
    _time_axes(over_time, comparison, "correct decisions so far")
    _time_axes(waiting, comparison, "frames waiting")
    over_time.tick_params(labelbottom=False)
    waiting.set_xlabel("hours", color=_INK)
    for codec, contender in best:
        hours, _, correct, backlog = contender.outcomes[0].steps
        for axes, figures in ((over_time, correct), (waiting, backlog)):
            axes.plot(hours / _HOUR_S, figures, color=_colour(codec), linewidth=_width(codec))
    over_time.set_title(title, loc="left", fontsize=10, color=_INK, pad=10)
    _totals(figure.add_subplot(grid[2, 0]), comparison, best)
    _delays(figure.add_subplot(grid[2, 1]), best)
    return figure


def _time_axes(axes: Axes, comparison: Comparison, label: str) -> None:
    hours = comparison.scenario.seconds / _HOUR_S
    _plain(axes)
    axes.set_xlim(0, hours)
    axes.set_ylabel(label, color=_INK)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))
    contacts = comparison.contenders[0].outcomes[0].contacts
    if len(contacts) > _MOST_CONTACTS or comparison.scenario.contact_s >= 0.99 * 3600 * hours:
        return
    for contact in contacts:
        start = contact.start_s / _HOUR_S
        width = max(contact.seconds / _HOUR_S, _LEAST_SHARE * hours)
        axes.axvspan(start, start + width, color=_CONTACT, linewidth=0, zorder=0)


def _totals(axes: Axes, comparison: Comparison, best: list[tuple[str, Contender]]) -> None:
    """One bar for each codec, with the interval over the photos."""
    _plain(axes)
    order = best[::-1]
    for place, (codec, contender) in enumerate(order):
        low, high = comparison.interval(contender)
        colour = _colour(codec)
        axes.barh(place, contender.correct, height=0.62, color=colour)
        axes.plot((low, high), (place, place), color=_INK, linewidth=1.2)
        text = f" {contender.correct:,.0f}"
        axes.annotate(
            text, (max(high, contender.correct), place), va="center", fontsize=9, color=colour
        )
    names = [f"{_NAMES.get(codec, codec)}\n{c.setting.name}" for codec, c in order]
    axes.set_yticks(range(len(order)), names, fontsize=8)
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.margins(x=0.18)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("correct decisions", color=_INK)


def _delays(axes: Axes, best: list[tuple[str, Contender]]) -> None:
    """Share of the stored frames over their delay."""
    _plain(axes)
    axes.set_xscale("log")
    for codec, contender in best:
        seconds, share = contender.delays.curve()
        if len(seconds):
            axes.step(seconds, share, where="post", color=_colour(codec), linewidth=_width(codec))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("of the frames stored", color=_INK)
    axes.set_xlabel("delay, capture to store", color=_INK)


def _colour(codec: str) -> str:
    return _COLOURS.get(codec, _INK)


def _width(codec: str) -> float:
    return 2.4 if codec == OURS else 1.5


def _plain(axes: Axes) -> None:
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b0b0b0")
    axes.tick_params(color="#b0b0b0", labelcolor=_INK, labelsize=9)
