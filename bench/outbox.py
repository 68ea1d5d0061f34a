"""The node's outbox: restart, bytes written, time of a put: ``python bench/outbox.py [--json]``.

It writes below ``--folder``, which has to be on a disk, and below /dev/shm.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from unittest.mock import patch

from coder import about
from tactic_codec.packet import HEADER_BYTES, Kind, Packet
from tactic_delivery.ranges import Range
from tactic_device.memory import Memory
from tactic_device.outbox import Durability, Outbox

RECORDS = 100_000
RECORD_BYTES = 300
FRAMES = 2000
FRAME_BYTES = 4096
FRAMES_A_SECOND = 10
RUNS = 3
MIB = 1 << 20
S = 1_000_000_000

Row = dict[str, str | float]


def open_at(folder: Path, durability: Durability, now_ns: int = 0) -> Outbox:
    """An outbox large enough for what is measured."""
    ram = Path("/dev/shm") / f"tactic-bench-{folder.name}"
    memory = Memory(ram, 64 * MIB)
    return Outbox(folder, Random(1), 256 * MIB, durability, memory=memory, now_ns=now_ns)


def let_die(outbox: Outbox) -> None:
    """Release the files, as the kernel does for a killed process."""
    for shelf in outbox._storage._lead.shelves:
        shelf.close()


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """An empty place for one case."""
    place = folder / "outbox"
    for path in (place, Path("/dev/shm") / f"tactic-bench-{place.name}"):
        shutil.rmtree(path, ignore_errors=True)
    yield place
    for path in (place, Path("/dev/shm") / f"tactic-bench-{place.name}"):
        shutil.rmtree(path, ignore_errors=True)


def fill(outbox: Outbox, frames: int, frame_bytes: int, settle_after: int | None = None) -> float:
    """Put frames, acknowledge each after so many more; return the seconds spent in `put`."""
    payload, spent_s = bytes(frame_bytes - HEADER_BYTES), 0.0
    for n in range(frames):
        began_s = time.perf_counter()
        key = outbox.put(Packet(Kind.FRAME, 0, 0, payload), n * S // FRAMES_A_SECOND).entry.key
        spent_s += time.perf_counter() - began_s
        if settle_after is not None and key.pkt >= settle_after:
            outbox.settle(key.boot, Range(key.pkt - settle_after, 1))
    return spent_s


def restart(folder: Path, durability: Durability) -> Row:
    """How long the outbox of a killed node takes to open: processor time, best of three."""
    best_s = float("inf")
    for _ in range(RUNS):
        with scratch(folder) as place:
            outbox = open_at(place, durability)
            with patch("os.fdatasync"):  # what is read back need not be on the medium
                fill(outbox, RECORDS, RECORD_BYTES)
            let_die(outbox)
            began_s = time.process_time()
            again = open_at(place, durability)
            best_s = min(best_s, time.process_time() - began_s)
            assert len(again.pending.entries) == RECORDS
            let_die(again)
    return {"case": f"restart, {RECORDS} records, {durability}", "value": best_s, "unit": "s"}


def written(folder: Path, durability: Durability, settle_after: int | None) -> list[Row]:
    """What the kernel writes to the disk for frames of 4 kB, relative to their bytes."""
    with scratch(folder) as place:
        outbox = open_at(place, durability)
        before = written_bytes()
        spent_s = fill(outbox, FRAMES, FRAME_BYTES, settle_after)
        outbox.tend(FRAMES * S // FRAMES_A_SECOND)
        share = (written_bytes() - before) / (FRAMES * FRAME_BYTES)
        let_die(outbox)
    link = "no link" if settle_after is None else "healthy link"
    return [
        {"case": f"written / payload, {durability}, {link}", "value": share, "unit": ""},
        {"case": f"put, {durability}, {link}", "value": 1e6 * spent_s / FRAMES, "unit": "us"},
    ]


def written_bytes() -> int:
    """Bytes that this process has made the kernel write to a disk; memory does not count."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("write_bytes"):
            return int(line.split()[1])
    raise OSError("no write_bytes in /proc/self/io")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("out/bench"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    rows = [restart(options.folder, durability) for durability in ("batch", "spill")]
    cases: list[tuple[Durability, int | None]] = [
        ("frame", None),
        ("batch", None),
        ("batch", 5),
        ("spill", None),
        ("spill", 5),
    ]
    for durability, settle_after in cases:
        rows += written(options.folder, durability, settle_after)
    if options.json:
        print(json.dumps({"about": about(), "rows": rows}, indent=1))
        return
    print("   ".join(f"{key} {value}" for key, value in about().items()))
    for row in rows:
        print(f"{row['case']:42}{row['value']:10.3f} {row['unit']}")


if __name__ == "__main__":
    main()
