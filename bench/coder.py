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

from tactic_codec import nest
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
FRAME = (64, 30, 40)
# name: layers of a 640x480 frame, taps of mean and scale in the first, and in refinements
CONTEXTS = {
    "640x480 frame, contexts": (1, (16, 24), (0, 0)),
    "640x480 frame, nested, 3 layers": (3, (8, 16), (16, 32)),
}
LOWEST_BIN, BINS, FINE_BINS, FRACTIONS = 8, 56, 36, 4
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


def contexts_case(layers: int, first: tuple[int, int], fine: tuple[int, int]) -> Case:
    """Symbols whose spread varies over the frame, contexts that see it, and tables counted."""
    rng, (channels, height, width) = np.random.default_rng(1), FRAME
    coarse = rng.normal(0, 1, (height // 5, width // 5)).repeat(5, axis=0).repeat(5, axis=1)
    loudest = 0.5 * nest.NEST ** (layers - 1)
    spread = np.geomspace(loudest, loudest / 5, channels)[:, np.newaxis, np.newaxis]
    symbols = np.round(rng.laplace(0, spread * np.exp(coarse))).clip(-128, 127).astype(np.int8)
    planes = nest.split(symbols, layers)
    contexts = tuple(
        first_layer(rng, plane, first) if plane < channels else refinement(rng, plane, fine)
        for plane in range(len(planes))
    )
    return EntropyModel(count_tables(planes, contexts), contexts), planes


def count_tables(planes: NDArray[np.int8], contexts: tuple[Context, ...]) -> TableSet:
    """What the contexts choose, counted; a few Laplacian symbols fill the rest."""
    counts = np.zeros((max(context.tables.stop for context in contexts), SYMBOLS))
    for plane, context in enumerate(contexts):
        base, table = select(planes[np.newaxis], plane, context)
        np.add.at(counts, (table, (planes[plane] - base).clip(-128, 127) - LOWEST), 1)
    for number in range(len(counts)):
        step, fraction = divmod(number % (BINS * FRACTIONS), FRACTIONS)
        expected = 0.7 * 2 ** ((LOWEST_BIN + step) / 4) / SCALE_UNIT
        counts[number] += 4 * laplacian(expected, fraction / FRACTIONS)
    return TableSet(tuple(Table.from_counts(row, LOWEST) for row in counts))


def first_layer(rng: np.random.Generator, plane: int, taps: tuple[int, int]) -> Context:
    """Taps on what is decoded before in the plane itself and in the six before it."""
    return context_of(rng, plane, range(max(plane - 6, 0), plane), taps, 0, BINS)


def refinement(rng: np.random.Generator, plane: int, taps: tuple[int, int]) -> Context:
    """Taps in the plane itself, and on all sides in the coarser ones of near channels."""
    coarser = plane - FRAME[0]
    near = range(max(coarser - 4, 0), min(coarser + 5, plane))
    return context_of(rng, plane, near, taps, BINS * FRACTIONS, FINE_BINS)


def context_of(
    rng: np.random.Generator,
    plane: int,
    near: range,
    taps: tuple[int, int],
    first: int,
    bins: int,
) -> Context:
    """So many taps of mean and scale: the four places before the symbol, and some in ``near``."""
    own = [(plane, -1, -1), (plane, -1, 0), (plane, -1, 1), (plane, 0, -1)]
    others = [(p, dy, dx) for p in near for dy in (-1, 0, 1) for dx in (-1, 0, 1)]

    def some(count: int, weights: tuple[int, int]) -> tuple[Tap, ...]:
        chosen: list[int] = rng.permutation(len(others))[: count - len(own)].tolist()
        places = sorted(own + [others[i] for i in chosen])
        return tuple(Tap(p, dy, dx, int(rng.integers(*weights))) for p, dy, dx in places)

    level = SCALE_UNIT // taps[1]
    return Context(
        first=first,
        mean=some(taps[0], (-8, 9)),
        scale=some(taps[1], (level // 2, level)),
        bias=SCALE_UNIT // 20,
        bins=bins,
        lowest=LOWEST_BIN,
        fractions=FRACTIONS,
    )


def cases() -> Iterator[tuple[str, Case]]:
    for name, (shape, first, last) in STATIC.items():
        yield name, static_case(shape, first, last)
    for name, (layers, of_first, of_fine) in CONTEXTS.items():
        yield name, contexts_case(layers, of_first, of_fine)


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
    print(f"{'Msymbols/s':33}{'coder':>8}" + "".join(f"{each:>9}" for each in columns))
    for r in rows:
        figures = f"{r['bits']:9.3f}{r['ideal']:9.3f}{r['encode']:9.1f}{r['decode']:9.1f}"
        print(f"{r['case']:33}{r['coder']:>8}{figures}")


if __name__ == "__main__":
    main()
