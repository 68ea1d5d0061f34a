"""The contact sheet: every original beside its reconstruction, with both answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tactic.demo.outcome import FrameOutcome

_COLUMNS = 6
_SIDE_PX = 160
_GAP_PX = 10
_TEXT_PX = 46
_AGREES, _DIFFERS, _INK, _PAPER = (24, 128, 56), (196, 30, 30), (30, 30, 30), (255, 255, 255)


def draw_sheet(outcomes: Sequence[FrameOutcome], path: Path) -> None:
    """Write the sheet as PNG: original left, reconstruction right, labels and bytes below."""
    rows = -(-len(outcomes) // _COLUMNS)
    cell_px = (2 * _SIDE_PX + _GAP_PX, _SIDE_PX + _TEXT_PX)
    size = (_COLUMNS * (cell_px[0] + _GAP_PX) + _GAP_PX, rows * (cell_px[1] + _GAP_PX) + _GAP_PX)
    sheet = Image.new("RGB", size, _PAPER)
    for number, outcome in enumerate(outcomes):
        left = _GAP_PX + number % _COLUMNS * (cell_px[0] + _GAP_PX)
        top = _GAP_PX + number // _COLUMNS * (cell_px[1] + _GAP_PX)
        _draw_cell(sheet, outcome, left, top)
    sheet.save(path, optimize=True)


def _draw_cell(sheet: Image.Image, outcome: FrameOutcome, left: int, top: int) -> None:
    for column, pixels in enumerate((outcome.original, outcome.reconstruction)):
        if pixels is not None:
            tile = Image.fromarray(pixels).resize((_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS)
            sheet.paste(tile, (left + column * _SIDE_PX, top))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    draw.text((left, top + _SIDE_PX + 3), _short(outcome.clean_label), _INK, font)
    colour = _AGREES if outcome.agrees else _DIFFERS
    draw.text((left + _SIDE_PX, top + _SIDE_PX + 3), _short(outcome.label), colour, font)
    sizes = (
        f"tactic {_bytes(outcome.wire_bytes)}   JPEG {_bytes(outcome.jpeg_bytes)}   "
        f"WebP {_bytes(outcome.webp_bytes)}"
    )
    draw.text((left, top + _SIDE_PX + 22), sizes, _INK, font)


def _short(text: str | None) -> str:
    text = text or "(lost)"
    return text if len(text) <= 22 else f"{text[:21]}…"


def _bytes(size: int | None) -> str:
    return "none" if size is None else f"{size} B"
