"""Speed of the entropy coder: ``python bench/coder.py [--json]``.

Best of many runs on one core in processor time, library and twin in the same process.
``bits`` is the real size of the stream in bits a symbol.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tactic_codec.contexts import SCALE_UNIT, Context, Tap, select
from tactic_codec.entropy import EntropyModel
from tactic_codec.prepared import prepare
from tactic_codec.rans import LIBRARY, Coder, Library
from tactic_codec.rans_twin import Twin
from tactic_codec.tables import LOWEST, SYMBOLS, Table, TableSet

# name: shape, widths of the Laplacian of the first and last channel
STATIC = {
    "160x160 frame, 48 channels": ((48, 20, 20), 0.08, 0.35),
    "low rate": ((16, 64, 64), 0.1, 0.6),
    "mixed rate": ((16, 64, 64), 0.2, 6.0),
    "high rate": ((16, 64, 64), 3.0, 3.0),
    "a million symbols": ((16, 250, 250), 0.1, 1.0),
}
CONTEXTS = "640x480 frame, contexts"
CONTEXTS_SHAPE, MEAN_TAPS, SCALE_TAPS = (64, 30, 40), 16, 24
LOWEST_BIN, BINS, FRACTIONS = 8, 56, 4
C_RUNS, TWIN_RUNS = 200, 3

Case = tuple[EntropyModel, NDArray[np.int8]]


def laplacian(width: float, mean: float = 0) -> NDArray[np.float64]:
    density = np.exp(-np.abs(np.arange(-128, 128) - mean) / width)
    normalised: NDArray[np.float64] = density / density.sum()
    return normalised


def static_case(shape: tuple[int, int, int], first: float, last: float) -> Case:
    """One table a channel, and symbols drawn from it."""
    rng, widths = np.random.default_rng(1), np.geomspace(first, last, shape[0])
    tables = TableSet(tuple(Table.from_counts(laplacian(width), LOWEST) for width in widths))
    symbols = np.zeros(shape, np.int8)
    for plane, table in zip(symbols, tables.tables, strict=True):
        p = np.array(table.freqs) / sum(table.freqs)
        plane[:] = rng.choice(np.arange(table.lo, table.hi + 1), plane.shape, p=p)
    return EntropyModel.static(tables), symbols


def contexts_case() -> Case:
    """Symbols whose spread varies over the frame, contexts that see it, and tables counted."""
    rng, (channels, height, width) = np.random.default_rng(1), CONTEXTS_SHAPE
    coarse = rng.normal(0, 1, (height // 5, width // 5)).repeat(5, axis=0).repeat(5, axis=1)
    spread = np.geomspace(0.5, 0.1, channels)[:, np.newaxis, np.newaxis] * np.exp(coarse)
    symbols = np.round(rng.laplace(0, spread)).clip(-128, 127).astype(np.int8)
    contexts = tuple(context_of(rng, channel) for channel in range(channels))
    counts = np.zeros((BINS * FRACTIONS, SYMBOLS))
    for channel, context in enumerate(contexts):
        base, table = select(symbols[np.newaxis], channel, context)
        np.add.at(counts, (table, (symbols[channel] - base).clip(-128, 127) - LOWEST), 1)
    for number in range(len(counts)):
        step, fraction = divmod(number, FRACTIONS)
        expected = 0.7 * 2 ** ((LOWEST_BIN + step) / 4) / SCALE_UNIT
        counts[number] += 4 * laplacian(expected, fraction / FRACTIONS)
    tables = TableSet(tuple(Table.from_counts(row, LOWEST) for row in counts))
    return EntropyModel(tables, contexts), symbols


def context_of(rng: np.random.Generator, channel: int) -> Context:
    """Taps on what is decoded before in the channel itself and in the six before it."""
    own = [(channel, -1, -1), (channel, -1, 0), (channel, -1, 1), (channel, 0, -1)]
    before = range(max(channel - 6, 0), channel)
    others = [(c, dy, dx) for c in before for dy in (-1, 0, 1) for dx in (-1, 0, 1)]

    def taps(count: int, weights: tuple[int, int]) -> tuple[Tap, ...]:
        some: list[int] = rng.permutation(len(others))[: count - len(own)].tolist()
        places = sorted(own + [others[i] for i in some])
        return tuple(Tap(c, dy, dx, int(rng.integers(*weights))) for c, dy, dx in places)

    level = SCALE_UNIT // SCALE_TAPS
    return Context(
        first=0,
        mean=taps(MEAN_TAPS, (-8, 9)),
        scale=taps(SCALE_TAPS, (level // 2, level)),
        bias=SCALE_UNIT // 20,
        bins=BINS,
        lowest=LOWEST_BIN,
        fractions=FRACTIONS,
    )


def cases() -> Iterator[tuple[str, Case]]:
    for name, (shape, first, last) in STATIC.items():
        yield name, static_case(shape, first, last)
    yield CONTEXTS, contexts_case()


def best_s(run: Callable[[], object], runs: int) -> float:
    times = []
    for _ in range(runs):
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return min(times)


def measure(coder: Coder, case: Case, runs: int) -> dict[str, float]:
    model, symbols = case
    prepared = prepare(model)
    data = coder.encode(symbols, prepared)
    out = np.zeros_like(symbols)
    millions = symbols.size / 1e6
    return {
        "bits": len(data) * 8 / symbols.size,
        "ideal": model.ideal_bits(symbols) / symbols.size,
        "encode": millions / best_s(lambda: coder.encode(symbols, prepared), runs),
        "decode": millions / best_s(lambda: coder.decode(data, prepared, out), runs),
    }


def about() -> dict[str, str]:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(": ")[2] if names else cpu
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {
        "cpu": cpu,
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "commit": commit(),
        "date": today,
    }


def commit() -> str:
    def git(*words: str) -> str:
        command = ["git", "-C", str(Path(__file__).parents[1]), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--", "codec", "bench/coder.py")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("-changed" if changed else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    as_json = parser.parse_args().json
    coders: dict[str, tuple[Coder, int]] = {"python": (Twin(), TWIN_RUNS)}
    if LIBRARY.exists():
        coders = {"c": (Library(), C_RUNS)} | coders
    rows = [
        {"case": name, "coder": kind, **measure(coder, case, runs)}
        for name, case in cases()
        for kind, (coder, runs) in coders.items()
    ]
    if as_json:
        print(json.dumps({"about": about(), "unit": "Msymbols/s", "rows": rows}, indent=1))
        return
    print("   ".join(f"{key} {value}" for key, value in about().items()))
    columns = ("bits", "ideal", "encode", "decode")
    print(f"{'Msymbols/s':28}{'coder':>8}" + "".join(f"{each:>9}" for each in columns))
    for r in rows:
        figures = f"{r['bits']:9.3f}{r['ideal']:9.3f}{r['encode']:9.1f}{r['decode']:9.1f}"
        print(f"{r['case']:28}{r['coder']:>8}{figures}")


if __name__ == "__main__":
    main()
