"""The outbox: what was put is there until it is settled, or accounted for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tactic_codec import drop
from tactic_codec.drop import Reason
from tactic_codec.packet import Kind, Packet, unpack
from tactic_delivery.entry import PacketKey
from tactic_delivery.ranges import Range
from tactic_device.boot import next_boot
from tactic_device.errors import OutboxError
from tactic_device.memory import Memory
from tactic_device.outbox import Durability, Outbox
from tactic_device.shelf import MOST_SEGMENTS

MIB = 1 << 20


def frame(size_bytes: int = 100, priority: int = 1, fill: int = 0) -> Packet:
    return Packet(Kind.FRAME, 0, 0, bytes([fill]) * size_bytes, priority=priority)


def reopen(folder: Path, max_bytes: int = 4 * MIB) -> Outbox:
    return Outbox(folder, Random(3), max_bytes)


def held(outbox: Outbox) -> dict[PacketKey, bytes]:
    found = {}
    for key in outbox.pending.entries:
        data = outbox.read(key)
        assert data is not None
        assert (unpack(data).boot, unpack(data).pkt) == key
        found[key] = data
    assert outbox.pending.ledger.pending == outbox.pending.frames
    return found


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    outbox = reopen(tmp_path)
    for n in range(50):
        outbox.put(frame(fill=n), n)
    outbox.settle(outbox.boot, Range(10, 5))
    before = held(outbox)
    outbox.close()
    again = reopen(tmp_path)
    assert held(again) == before
    assert len(before) == 45
    assert again.boot >> 12 == (outbox.boot >> 12) + 1
    assert again.pending.ledger.as_dict() == {
        "captured": 50,
        "stored": 5,
        "dropped": {},
        "pending": 45,
    }
    again.close()


def test_a_packet_damaged_on_the_medium_is_given_up_with_a_reason(tmp_path: Path) -> None:
    outbox = reopen(tmp_path)
    key = outbox.put(frame(50, fill=7), 0).entry.key
    (segment,) = tmp_path.glob("*.seg")
    raw = segment.read_bytes()
    segment.write_bytes(raw.replace(bytes([7]) * 50, bytes([8]) * 50))
    assert outbox.read(key) is None
    (decision,) = outbox.give_up(key)
    (record,) = drop.unpack(decision.packet.payload)
    assert (record.reason, record.first, record.count) == (Reason.DAMAGED, 0, 1)
    assert outbox.pending.ledger.as_dict()["dropped"] == {"damaged": 1}
    outbox.close()


def test_the_cap_is_hard_and_what_gives_way_is_accounted_for(tmp_path: Path) -> None:
    outbox = reopen(tmp_path)
    rng = Random(5)
    for n in range(1500):
        outbox.put(frame(rng.randrange(12000), priority=rng.randrange(4)), n)
        on_disk = sum(p.stat().st_size for p in tmp_path.glob("*.seg"))
        assert on_disk == outbox.size_bytes <= 4 * MIB
        if n % 7 == 0:
            outbox.settle(outbox.boot, Range(rng.randrange(n + 1), 3))
    ledger = outbox.pending.ledger
    assert ledger.captured == 1500
    assert ledger.dropped[Reason.FULL] > 200
    before = held(outbox)
    assert {unpack(data).priority for data in before.values() if unpack(data).kind == 0} >= {3}
    outbox.close()
    again = reopen(tmp_path)
    assert held(again) == before
    assert again.pending.ledger == ledger
    again.close()


def test_a_frame_larger_than_the_outbox_takes_is_dropped_and_counted(tmp_path: Path) -> None:
    outbox = reopen(tmp_path)
    admission = outbox.put(frame(2 * MIB), 0)
    assert admission.drops[0].newcomers == 1
    assert outbox.pending.ledger.as_dict() == {
        "captured": 1,
        "stored": 0,
        "dropped": {"full": 1},
        "pending": 0,
    }
    outbox.close()


def test_settled_segments_are_deleted(tmp_path: Path) -> None:
    outbox = reopen(tmp_path)
    for n in range(1000):
        key = outbox.put(frame(2000), n).entry.key
        outbox.settle(key.boot, Range(key.pkt, 1))
    assert outbox.size_bytes < MIB
    assert len(list(tmp_path.glob("*.seg"))) < 3
    outbox.close()


def test_many_restarts_leave_few_files(tmp_path: Path) -> None:
    for n in range(MOST_SEGMENTS + 12):
        outbox = reopen(tmp_path)
        outbox.put(frame(fill=n % 256), n)
        outbox.close()
    assert len(list(tmp_path.glob("*.seg"))) <= MOST_SEGMENTS + 1
    outbox = reopen(tmp_path)
    assert len(held(outbox)) == outbox.pending.ledger.captured == MOST_SEGMENTS + 12
    outbox.close()


def test_durability_decides_when_to_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    outbox = Outbox(tmp_path / "frame", Random(1), 4 * MIB, "frame")
    synced.clear()
    for n in range(3):
        outbox.put(frame(), n)
    assert len(synced) == 3
    batch = Outbox(tmp_path / "batch", Random(1), 4 * MIB, "batch")
    synced.clear()
    for n in range(33):
        batch.put(frame(), n)
    assert len(synced) == 2
    batch.tend(500_000_000)
    assert len(synced) == 2
    batch.tend(1_500_000_000)
    assert len(synced) == 3


def written_bytes() -> int:
    """Bytes that this process has made the kernel write to a disk; memory does not count."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


@pytest.mark.parametrize(("durability", "most"), [("batch", 1.3), ("spill", 0.02)])
def test_what_a_healthy_link_costs_the_disk(
    tmp_path: Path, durability: Durability, most: float
) -> None:
    """``spill`` writes no frame; what little it writes are accounts."""
    size_bytes, frames = 4096, 300
    begun = written_bytes()
    (tmp_path / "probe").write_bytes(bytes(1 << 16))
    if written_bytes() - begun < 1 << 16:
        pytest.skip("temporary files are not on a disk")
    memory = Memory(Path("/dev/shm") / f"tactic-test-{os.getpid()}", 4 * MIB)
    outbox = Outbox(tmp_path / "disk", Random(1), 4 * MIB, durability, memory=memory)
    begun = written_bytes()
    for n in range(frames):
        key = outbox.put(frame(size_bytes), n * 100_000_000).entry.key
        outbox.settle(key.boot, Range(max(0, key.pkt - 5), 1))
    share = (written_bytes() - begun) / (frames * size_bytes)
    outbox.close()
    assert share <= most


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    outbox = reopen(tmp_path)
    with pytest.raises(OutboxError, match=r"in use by another process; stop it") as caught:
        reopen(tmp_path)
    assert caught.value.exit_code == 8
    outbox.close()
    reopen(tmp_path).close()


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxError, match=r"file: outbox: .*; check outbox.path") as caught:
        reopen(tmp_path / "file")
    assert "\n" not in str(caught.value)


def test_boot_numbers_rise_even_if_their_file_is_lost(tmp_path: Path) -> None:
    first = next_boot(tmp_path, Random(1), 0)
    second = next_boot(tmp_path, Random(2), 0)
    assert (first >> 12, second >> 12) == (1, 2)
    assert first & 0xFFF != second & 0xFFF
    (tmp_path / "boot").write_text("broken")
    assert next_boot(tmp_path, Random(1), second) >> 12 == 3


_WRITER = """
import sys
from pathlib import Path
from random import Random
from tactic_codec.packet import Kind, Packet
from tactic_device.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]), Random(), 4 << 20, "batch")
for n in range(100000):
    entry = outbox.put(Packet(Kind.FRAME, 0, 0, n.to_bytes(4, "little") * 20), n).entry
    print(entry.key.boot, entry.key.pkt, flush=True)
"""


def test_what_put_returned_survives_kill_9(tmp_path: Path) -> None:
    promised: set[PacketKey] = set()
    for lines in (1, 40, 137):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", _WRITER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as node:
            assert node.stdout is not None
            for _ in range(lines):
                node.stdout.readline()
            node.send_signal(signal.SIGKILL)
            rest = node.stdout.read().splitlines()
        keys = [PacketKey(*map(int, line.split())) for line in rest if len(line.split()) == 2]
        # the last line may have been cut
        promised |= set(keys[:-1])
    outbox = reopen(tmp_path)
    assert promised <= set(held(outbox)) | {
        PacketKey(key.boot, pkt)
        for key, entry in outbox.pending.entries.items()
        if entry.kind is Kind.DROP
        for r in drop.unpack(unpack(outbox.read(key) or b"").payload)
        for pkt in range(r.first, r.first + r.count)
    }
    outbox.close()
