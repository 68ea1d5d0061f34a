"""Speed of the entropy coder: ``python bench/coder.py [--json]``.

Best of many runs on one core, library and twin in the same process, on symbols drawn from the
tables themselves. ``bits`` is the real size of the stream in bits a symbol.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tactic_codec.prepared import prepare
from tactic_codec.rans import LIBRARY, Coder, Library
from tactic_codec.rans_twin import Twin
from tactic_codec.tables import Table, TableSet

# name: channels, symbols a channel, widths of the Laplacian of the first and last channel
CASES = {
    "160x160 frame, 48 channels": (48, 400, 0.08, 0.35),
    "low rate": (16, 4096, 0.1, 0.6),
    "mixed rate": (16, 4096, 0.2, 6.0),
    "high rate": (16, 4096, 3.0, 3.0),
    "a million symbols": (16, 62500, 0.1, 1.0),
}
C_RUNS, TWIN_RUNS = 200, 3


def tables_of(channels: int, first: float, last: float) -> TableSet:
    value = np.arange(-128, 128)
    widths = np.geomspace(first, last, channels)
    return TableSet(tuple(Table.from_counts(np.exp(-np.abs(value) / w), -128) for w in widths))


def symbols_of(tables: TableSet, plane: int) -> NDArray[np.int8]:
    rng = np.random.default_rng(1)
    rows = np.zeros((len(tables), plane), np.int8)
    for row, table in zip(rows, tables.tables, strict=True):
        p = np.array(table.freqs) / sum(table.freqs)
        row[:] = rng.choice(np.arange(table.lo, table.hi + 1), plane, p=p)
    return rows


def best_s(run: Callable[[], object], runs: int) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(coder: Coder, case: str, runs: int) -> dict[str, float]:
    channels, plane, first, last = CASES[case]
    tables = tables_of(channels, first, last)
    symbols, prepared = symbols_of(tables, plane), prepare(tables)
    data = coder.encode(symbols, prepared)
    out = np.zeros_like(symbols)
    millions = symbols.size / 1e6
    return {
        "bits": len(data) * 8 / symbols.size,
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
        {"case": case, "coder": name, **measure(coder, case, runs)}
        for case in CASES
        for name, (coder, runs) in coders.items()
    ]
    if as_json:
        print(json.dumps({"about": about(), "unit": "Msymbols/s", "rows": rows}, indent=1))
        return
    print("   ".join(f"{key} {value}" for key, value in about().items()))
    print(f"{'Msymbols/s':28}{'coder':>8}{'bits':>8}{'encode':>9}{'decode':>9}")
    for r in rows:
        print(f"{r['case']:28}{r['coder']:>8}{r['bits']:8.2f}{r['encode']:9.1f}{r['decode']:9.1f}")


if __name__ == "__main__":
    main()
