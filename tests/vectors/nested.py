"""The golden files of nested levels: a latent, its planes, their streams, cut, and what arrives."""

from __future__ import annotations

import hashlib

import numpy as np

from tactic_codec import nest, stream
from tactic_codec.contexts import Context, Tap
from tactic_codec.entropy import EntropyModel, write_models
from tactic_codec.tables import Table, TableSet
from vectors.streams import CHOICE, Entry, Files, entry_of, latents

CHANNELS, LEVELS, SIZE = 2, 5, (3, 4)
#: after the tables of ``CHOICE``, two for refinements: even, and mostly 0
TABLES = TableSet(
    (*CHOICE.tables, Table(-1, (6000, 4384, 5999), 1), Table(-1, (900, 14583, 900), 1))
)
EVEN = len(CHOICE)
#: bytes that a stream of level 0 is held to
BUDGETS = (4, 17, 34, 37, 38, 40)
ENTROPY, LATENT = "good/entropy-nested.bin", "good/nested-latent.bin"


def context(plane: int) -> Context:
    """The first layer sees what is above, a refinement the coarser symbols around it."""
    if plane < CHANNELS:
        return Context(4, scale=(Tap(plane, -1, 0, 300),), bias=1500, bins=4, lowest=40)
    below = plane - CHANNELS
    around = tuple(Tap(below, dy, dx, -200) for dy, dx in ((-1, 0), (0, 0), (1, 1)))
    return Context(EVEN, (Tap(below, 0, 0, 9),), around, bias=1100, bins=2, lowest=39)


def planes_of(chain: int) -> int:
    """Planes of the streams of a chain's finest level."""
    return nest.layers(chain, LEVELS) * CHANNELS


MODELS = tuple(EntropyModel(TABLES, tuple(map(context, range(planes_of(c))))) for c in (0, 1))


def nested(files: Files) -> list[Entry]:
    """Every level, level 0 held to budgets, and refinements that no encoder gives."""
    files[ENTROPY] = write_models(MODELS)
    digest = hashlib.sha256(files[ENTROPY]).hexdigest()
    meaning = "six planes and four: two channels at five levels"
    entries = [entry_of(ENTROPY, "entropy", meaning, sha256=digest)]
    symbols = latents()[1:3]
    symbols[0] = np.arange(12).reshape(SIZE) - 6
    symbols[1, 0] = (-128, -127, 127, 126)
    files[LATENT] = symbols.tobytes()
    streams = {}
    for level in range(LEVELS):
        planes = nest.split(nest.coarsen(symbols, level // 2), nest.layers(level, LEVELS))
        if level < 2:
            files[f"good/nested-planes-{level}.bin"] = planes.tobytes()
        streams[level] = stream.encode(planes, MODELS[nest.chain(level)])
        entries.append(_entry(files, f"level-{level}", level, streams[level]))
    for most_bytes in BUDGETS:
        data = stream.cut(streams[0], most_bytes)
        entries.append(_entry(files, f"budget-{most_bytes}", 0, data, most_bytes))
    return [*entries, _beyond(files)]


def _beyond(files: Files) -> Entry:
    planes = np.zeros((planes_of(0), *SIZE), np.int8)
    planes[0] = [[127, -128, 42, -42]] * 3
    planes[CHANNELS:] = np.resize([2, -2, 127, -128], (planes_of(0) - CHANNELS, *SIZE))
    data = stream.encode(planes, MODELS[0])
    entry = _entry(files, "beyond", 0, data)
    entry["meaning"] = "symbols that leave -127 to 127 are held there"
    del entry["latent"], entry["all_planes"]
    return entry


def _entry(
    files: Files, name: str, level: int, data: bytes, most_bytes: int | None = None
) -> Entry:
    file, chain = f"good/nested-{name}.bin", nest.chain(level)
    files[file] = data
    count = nest.layers(level, LEVELS) * CHANNELS
    decoded = stream.decode(data, MODELS[chain], (count, *SIZE))
    found = nest.join(decoded.planes, decoded.whole, CHANNELS, level, LEVELS)
    cut = "" if most_bytes is None else f", at most {most_bytes} bytes"
    return entry_of(
        file,
        "nested",
        f"level {level} of {LEVELS}{cut}",
        entropy=ENTROPY,
        latent=LATENT,
        all_planes=f"good/nested-planes-{chain}.bin",
        channels=CHANNELS,
        levels=LEVELS,
        level=level,
        shape=[count, *SIZE],
        most_bytes=most_bytes,
        whole_planes=decoded.whole,
        channel_levels=found.levels.tolist(),
        symbols_hex=found.symbols.tobytes().hex(),
    )
