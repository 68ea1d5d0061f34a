"""Changes that are sent against bytes that are saved, told and untold."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter, StrMethodFormatter

from tactic.gate.choose import THRESHOLDS, Findings
from tactic.gate.replay import Figures, total

_SIZE_IN = (7.6, 4.8)
_INK, _FAINT = "#303030", "#707070"
#: beyond it next to nothing is sent
_MOST = 12.0
_TOLD, _ALONE, _BOUND = "#0072B2", "#D55E00", "#009E73"


def draw(found: Findings) -> Figure:
    """All clips together: a curve over the thresholds, and what was judged."""
    numbers = range(len(THRESHOLDS))
    told = [total(each.told[n] for each in found.sweeps) for n in numbers]
    alone = [total(each.alone[n] for each in found.sweeps) for n in numbers]
    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    axes = figure.add_subplot()
    _frame(axes, max(each.fewer for each in (*told, *alone)))
    _curve(axes, alone, _ALONE, "nobody tells the node anything")
    _curve(axes, told, _TOLD, "the gateway tells how near the answer is to another")
    best = total(each.bound for each in found.sweeps)
    words = f"a gate that knew the answers: 100 % at {best.fewer:.0f} ×"
    axes.axhline(1.0, color=_BOUND, linestyle="--", linewidth=1, label=words)
    judged = found.together
    axes.plot(
        judged.fewer,
        judged.caught,
        marker="*",
        markersize=15,
        linestyle="none",
        color=_INK,
        label=f"chosen on other clips: agrees {100 * judged.agreement:.1f} %",
    )
    axes.legend(loc="lower left", fontsize=9, frameon=False, labelcolor=_INK)
    return figure


def _curve(axes: Axes, figures: list[Figures], colour: str, name: str) -> None:
    across = [each.fewer for each in figures]
    axes.plot(across, [each.caught for each in figures], color=colour, marker="o", ms=3, label=name)


def _frame(axes: Axes, most: float) -> None:
    axes.set_xscale("log")
    axes.set_xlim(1.0, min(_MOST, most * 1.1))
    axes.set_ylim(0, 1.05)
    axes.xaxis.set_major_locator(FixedLocator([1, 2, 3, 4, 5, 7, 10]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g} ×"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.grid(color="#e8e8e8", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(color="#b0b0b0", labelcolor=_INK)
    axes.set_xlabel("fewer bytes than with every frame (log scale)", color=_INK)
    axes.set_ylabel("frames with another answer that are sent", color=_INK)
    axes.axhline(0.9, color=_FAINT, linewidth=0.8, linestyle=":")
    axes.axvline(3.0, color=_FAINT, linewidth=0.8, linestyle=":")
