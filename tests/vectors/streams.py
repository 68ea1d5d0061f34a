"""The golden files of tables, contexts and streams; ``make_vectors`` writes them."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tactic_codec import stream
from tactic_codec.contexts import MAX_BIAS, MAX_WEIGHT, Context, Tap
from tactic_codec.entropy import EntropyModel, write_models
from tactic_codec.tables import SCALE, Table, TableSet

Entry = dict[str, Any]
Files = dict[str, bytes]

TABLES = TableSet(
    (
        Table(-2, (300, 2000, SCALE - 4801, 2000, 500), 1),
        Table(0, (SCALE,), 0),
        Table(-128, (SCALE // 256,) * 256, 0),
        Table(5, (1, 0, 0, 2), SCALE - 3),
    )
)
MODEL = EntropyModel.static(TABLES)
# Eight tables, each wider than the one before, and a constant one.
CHOICE = TableSet(
    (
        *(Table(-n, ((20,) * n + (SCALE - 40 * n - 1,) + (20,) * n), 1) for n in range(1, 9)),
        Table(-3, (SCALE,), 0),
    )
)
NEAR = (Tap(0, 0, 0, 700), Tap(1, -1, 0, 50), Tap(2, -1, 1, -300), Tap(2, 0, -1, 500))
MIXED = (Tap(0, 0, 0, 200), Tap(0, 1, 1, -90), Tap(1, 0, 0, 75), Tap(2, 0, -1, 64))
ORDINARY = EntropyModel(
    CHOICE,
    (
        Context(2),
        Context(8),
        Context(0, MIXED, NEAR, bias=300, bins=2, lowest=44, fractions=4),
        Context(1, scale=(Tap(2, 0, 0, 128), Tap(3, -1, 0, 512)), bias=1, bins=7, lowest=40),
    ),
)
EXTREME = EntropyModel(
    CHOICE,
    (
        Context(0, mean=(Tap(0, 0, -1, MAX_WEIGHT),), bins=2, fractions=4),
        Context(3, scale=(Tap(0, 0, 0, -MAX_WEIGHT),), bias=MAX_BIAS, bins=5, lowest=109),
        Context(0, mean=(Tap(1, -1, 1, -MAX_WEIGHT),), bias=-MAX_BIAS, bins=8, lowest=127),
        Context(7, mean=(Tap(0, 1, 0, MAX_WEIGHT), Tap(2, 0, 0, MAX_WEIGHT))),
    ),
)
MODELS = (ORDINARY, EXTREME)
SHAPE = (4, 3, 4)


def latents() -> NDArray[np.int8]:
    """Planes (4, 3, 4) from a small congruential generator: the same everywhere."""
    state, values = 1, []
    for _ in range(48):
        state = (state * 1103515245 + 12345) % 2**31
        values.append(state >> 16)
    symbols = np.array(values).reshape(SHAPE)
    symbols[0] = symbols[0] % 5 - 2
    symbols[0, 1, 1] = -128
    symbols[1] = 0
    symbols[2:] = symbols[2:] % 256 - 128
    return symbols.astype(np.int8)


def tables(files: Files) -> list[Entry]:
    """Table files."""
    data = TABLES.to_bytes()
    files["good/tables.bin"] = data
    meaning = "steep, constant, flat, and mostly escape"
    entries = [entry_of("good/tables.bin", "tables", meaning, sha256=TABLES.sha256)]
    bad = {
        "cut": ("the last byte is missing", data[:-1]),
        "trailing": ("one byte too many", data + b"\0"),
        "version": ("format 2", data[:4] + b"\x02" + data[5:]),
        "sum": ("a frequency is 1 too high", data[:12] + bytes([data[12] + 1]) + data[13:]),
    }
    for name, (meaning, content) in bad.items():
        files[f"bad/tables-{name}.bin"] = content
        entries.append(entry_of(f"bad/tables-{name}.bin", "tables", meaning))
    return entries


def good_streams(files: Files) -> list[Entry]:
    """Entropy-coded streams with the planes they give."""
    planes = latents()
    files["good/planes.bin"] = planes.tobytes()
    whole = stream.encode(planes, MODEL)
    first = stream.encode(planes[:3], MODEL)
    good = {
        "whole": ("four planes", whole, 4),
        "first": ("the first three planes", first, 3),
        "cut": ("the first 20 bytes of four planes", whole[:20], 4),
        "state": ("nothing but the state", whole[:4], 4),
    }
    entries = []
    for name, (meaning, data, count) in good.items():
        files[f"good/stream-{name}.bin"] = data
        entry = entry_of(f"good/stream-{name}.bin", "stream", meaning, tables="good/tables.bin")
        entries.append(entry | _outcome(data, MODEL, count) | {"planes": "good/planes.bin"})
    return entries


def bad_streams(files: Files) -> list[Entry]:
    """Streams that are refused."""
    whole = stream.encode(latents(), MODEL)
    bad = {
        "empty": ("no state", b""),
        "half-word": ("an odd number of bytes", whole[:-1]),
        "low-state": ("state below 2^16", b"\xff\xff\0\0" + whole[4:]),
        "trailing": ("a word left over", whole + b"\0\0"),
        "final-state": ("the last word differs", whole[:-1] + bytes([whole[-1] ^ 128])),
        # The escape of plane 0 (slot 16383), then the raw bits of 0, which has a frequency.
        "escape": ("a needless escape", bytes([255, 63, 64, 0, 0, 32])),
    }
    entries = []
    for name, (meaning, data) in bad.items():
        file = f"bad/stream-{name}.bin"
        files[file] = data
        entry = entry_of(file, "stream", meaning, tables="good/tables.bin", shape=list(SHAPE))
        entries.append(entry)
    return entries


def entropy(files: Files) -> list[Entry]:
    """Entropy files; a file is bad by one change to a good one."""
    data = write_models(MODELS)
    files["good/entropy.bin"] = data
    digest, meaning = hashlib.sha256(data).hexdigest(), "two models, the second with extremes"
    entries = [entry_of("good/entropy.bin", "entropy", meaning, sha256=digest)]
    # Contexts: 11 bytes each and 6 a tap. The third begins at 30, its first tap at 41.
    changes = {
        "version": ("format 1", {4: 1}),
        "models": ("no model", {5: 0}),
        "many-models": ("three models", {5: 3}),
        "planes": ("no plane", {6: 0}),
        "constant": ("a context with taps chooses a constant table", {30: 8, 32: 1, 34: 1}),
        "missing": ("a table that is not there", {30: 2}),
        "bins": ("no bin", {32: 0}),
        "lowest": ("lowest step 128", {33: 128}),
        "fractions": ("2 fractions", {34: 2}),
        "bias": ("a bias above 2^28", {40: 17}),
        "late": ("a tap on the symbol itself", {59: 2, 61: 0, 62: 0}),
        "order": ("a tap before the one that precedes it", {47: 0, 49: 0, 50: 255}),
        "far": ("a tap two rows away", {49: 2}),
        "weight": ("a weight of -32768", {45: 0, 46: 128}),
    }
    bad = {name: (text, _with_bytes(data, new)) for name, (text, new) in changes.items()}
    bad |= {
        "cut": ("the last byte is missing", data[:-1]),
        "trailing": ("one byte too many", data + b"\0"),
    }
    for name, (text, content) in bad.items():
        files[f"bad/entropy-{name}.bin"] = content
        entries.append(entry_of(f"bad/entropy-{name}.bin", "entropy", text))
    return entries


def context_streams(files: Files) -> list[Entry]:
    """Streams whose tables are chosen by contexts."""
    planes, entries = latents(), []
    planes[1] = -3
    planes[2:] //= 16
    planes[3, 1] = (-128, 127, 127, -128)
    files["good/planes-contexts.bin"] = planes.tobytes()
    for model, name in enumerate(("contexts", "extremes")):
        whole = stream.encode(planes, MODELS[model])
        for part, data in (("", whole), ("-cut", whole[: len(whole) // 4 * 2])):
            file = f"good/stream-{name}{part}.bin"
            files[file] = data
            entry = entry_of(file, "stream", f"{len(data)} of {len(whole)} bytes")
            entry |= {"entropy": "good/entropy.bin", "model": model}
            entry |= _outcome(data, MODELS[model], len(planes))
            entries.append(entry | {"planes": "good/planes-contexts.bin"})
    return entries


MAKERS = (tables, good_streams, bad_streams, entropy, context_streams)


def entry_of(file: str, kind: str, meaning: str, **more: object) -> Entry:
    """What the index says of a file."""
    return {"file": file, "type": kind, "meaning": meaning, **more}


def _outcome(data: bytes, model: EntropyModel, count: int) -> Entry:
    shape = (count, *SHAPE[1:])
    found = stream.decode(data, model, shape)
    return {"shape": list(shape), "symbols_decoded": found.symbols, "whole_planes": found.whole}


def _with_bytes(data: bytes, changes: dict[int, int]) -> bytes:
    changed = bytearray(data)
    for at, value in changes.items():
        changed[at] = value
    return bytes(changed)
