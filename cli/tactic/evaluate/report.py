"""The result as tables for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.table import Table

from tactic.evaluate import codec
from tactic.evaluate.curves import LOSS

_ON_ENVELOPE = "•"


def show(result: dict[str, Any], console: Console) -> None:
    """Print a row for every point, and what the others need for the same accuracy."""
    clean, source = result["clean_accuracy"], result["accuracy_of"]
    console.print(
        f"{result['n']} pictures, accuracy by {source}; uncompressed {clean:.1%}"
        f"{_spread(result['clean_accuracy_interval'])}{_miou(result.get('clean_miou'))}; "
        f"head {result['head']}"
    )
    console.print(Group(_points(result["curves"]), _same_accuracy(result["curves"])))
    for line in _ratios(result):
        console.print(line)


def _ratios(result: dict[str, Any]) -> Iterator[str]:
    """Where 5 points of accuracy are lost: what the others need relative to tactic."""
    target = f"at {max(0.0, result['clean_accuracy'] - LOSS):.1%} accuracy"
    ours = result["bytes_at_clean_minus_5"][codec.NAME]
    if ours is None:
        yield f"{target}: tactic does not reach it"
        return
    yield f"{target}: tactic {ours:.0f} bytes"
    for name, ratio in result["bytes_ratio_at_clean_minus_5"].items():
        spread = _spread(result["bytes_ratio_interval"][name], 2)
        stripped = result["bytes_stripped_ratio_at_clean_minus_5"][name]
        stripped_spread = _spread(result["bytes_stripped_ratio_interval"][name], 2)
        yield f"  {name} {_times(ratio)}{spread}, stripped {_times(stripped)}{stripped_spread}"


def _points(curves: dict[str, list[dict[str, Any]]]) -> Table:
    table = _table(f"{_ON_ENVELOPE} no setting of the codec is better", ("codec", "setting"))
    masks = any("miou" in point for curve in curves.values() for point in curve)
    shares = ("accuracy", "mIoU", "agrees") if masks else ("accuracy", "agrees")
    for name in ("bytes", "stripped", "bit/px", *shares, "PSNR", ""):
        table.add_column(name, justify="right")
    for name, curve in curves.items():
        for point in curve:
            table.add_row(name, _setting(point), *_figures(point), style=_style(point))
        table.add_section()
    return table


def _figures(point: dict[str, Any]) -> tuple[str, ...]:
    psnr = point["psnr_db"]
    return (
        f"{point['bytes']:.0f}",
        f"{point['bytes_stripped']:.0f}",
        f"{point['bits_per_pixel']:.3f}",
        f"{point['accuracy']:.1%}",
        *([f"{point['miou']:.1%}"] if "miou" in point else []),
        f"{point['agreement']:.1%}",
        "exact" if psnr is None else f"{psnr:.1f}",
        _ON_ENVELOPE if point["envelope"] else "",
    )


def _same_accuracy(curves: dict[str, list[dict[str, Any]]]) -> Table:
    """Bytes of the others' envelopes at the accuracy of each point of tactic's."""
    others = [name for name in curves if name != codec.NAME]
    caption = "× the bytes of tactic for its accuracy; – not reached"
    table = _table(caption, ("tactic",))
    for name in ("bytes", "accuracy", *others):
        table.add_column(name, justify="right")
    for point in curves[codec.NAME]:
        ratios = [_times(point["bytes_ratio"][name]) for name in others]
        table.add_row(_setting(point), f"{point['bytes']:.0f}", f"{point['accuracy']:.1%}", *ratios)
    return table


def _table(caption: str, words: tuple[str, ...]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        caption=caption,
        caption_justify="left",
        collapse_padding=True,
        pad_edge=False,
    )
    for name in words:
        table.add_column(name, no_wrap=True)
    return table


def _setting(point: dict[str, Any]) -> str:
    if "level" in point:
        part = "" if point["share"] == 1 else f", first {point['share']:.0%}"
        return f"level {point['level']}{part}"
    size = "" if point["scale"] == 1 else f", {point['scale']:g}×"
    return f"quality {point['quality']}{size}"


def _style(point: dict[str, Any]) -> str | None:
    return None if point["envelope"] else "dim"


def _times(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f} ×"


def _miou(share: float | None) -> str:
    return "" if share is None else f", mIoU {share:.1%}"


def _spread(interval: list[float] | None, decimals: int | None = None) -> str:
    """The 95 % interval in brackets; shares in per cent, ratios with decimals."""
    if interval is None:
        return ""
    low, high = (f"{v:.1%}" if decimals is None else f"{v:.{decimals}f}" for v in interval)
    return f" [{low}, {high}]"
