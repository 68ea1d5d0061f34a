"""Memory first, and the disk for what stays: nothing is lost that was promised."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from tactic_codec import drop
from tactic_codec.drop import Reason
from tactic_codec.packet import Kind, Packet, unpack
from tactic_delivery.entry import PacketKey
from tactic_delivery.ranges import Range
from tactic_device.errors import OutboxError
from tactic_device.lead import NUMBERS_AHEAD
from tactic_device.memory import Memory, default_folder, prepare
from tactic_device.outbox import Durability, Outbox

if TYPE_CHECKING:
    from device.conftest import Medium

MIB = 1 << 20
S = 1_000_000_000
SPILL_S = 60.0


def open_at(
    folder: Path, now_s: float = 0, durability: Durability = "spill", ram_bytes: int = 4 * MIB
) -> Outbox:
    memory = Memory(folder / "ram", ram_bytes, SPILL_S)
    return Outbox(
        folder / "disk", Random(3), 8 * MIB, durability, memory=memory, now_ns=int(now_s * S)
    )


def let_die(outbox: Outbox) -> None:
    for shelf in outbox._storage._lead.shelves:
        shelf.close()


def put(outbox: Outbox, now_s: float, size_bytes: int = 4000, priority: int = 1) -> PacketKey:
    payload = Random(now_s).randbytes(size_bytes)
    packet = Packet(Kind.FRAME, 0, 0, payload, priority=priority)
    return outbox.put(packet, int(now_s * S)).entry.key


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted((folder / "disk").glob("*.seg")))


def frames(outbox: Outbox) -> set[PacketKey]:
    for key in outbox.pending.entries:
        assert outbox.read(key) is not None
    assert outbox.pending.ledger.pending == outbox.pending.frames
    return {key for key, e in outbox.pending.entries.items() if e.kind is Kind.FRAME}


def named(outbox: Outbox) -> dict[PacketKey, Reason]:
    """Every number that the waiting DROP packets name."""
    return {
        PacketKey(key.boot, pkt): r.reason
        for key, entry in outbox.pending.entries.items()
        if entry.kind is Kind.DROP
        for r in drop.unpack(unpack(outbox.read(key) or b"").payload)
        for pkt in range(r.first, r.first + r.count)
    }


def test_a_healthy_link_writes_no_frame_to_the_disk(tmp_path: Path, medium: Medium) -> None:
    outbox = open_at(tmp_path)
    for second in range(600):
        key = put(outbox, second)
        if second % 3 == 2:
            outbox.settle(key.boot, Range(key.pkt - 2, 3))
    assert outbox.memory_bytes < 200_000
    # an account each minute
    assert len(on_disk(tmp_path)) < 600 * 10
    written = on_disk(tmp_path)
    assert not any(Random(second).randbytes(16) in written for second in range(600))
    outbox.close()


def test_what_waits_for_long_moves_to_the_disk_in_batches(tmp_path: Path, medium: Medium) -> None:
    outbox = open_at(tmp_path)
    keys = [put(outbox, second) for second in range(150)]
    outbox.tend(150 * S)
    lead = outbox._storage._lead
    assert lead.memory is not None
    for second, key in enumerate(keys):
        age_s = 150 - second
        assert (key in lead.memory) == (key not in lead.disk)
        assert key in lead.disk or age_s <= SPILL_S
        assert key in lead.memory or age_s >= SPILL_S * 7 / 8 - 1
    assert len(on_disk(tmp_path)) <= 1.05 * 4000 * 150
    assert frames(outbox) == set(keys)
    outbox.close()


def test_after_a_kill_everything_is_there(tmp_path: Path, medium: Medium) -> None:
    outbox = open_at(tmp_path)
    keys = [put(outbox, second) for second in range(100)]
    outbox.settle(outbox.boot, Range(5, 10))
    outbox.settle(outbox.boot, Range(95, 2))
    outbox.give_up(keys[40])
    ledger = outbox.pending.ledger.as_dict()
    before = frames(outbox)
    let_die(outbox)
    again = open_at(tmp_path)
    assert frames(again) == before
    assert again.pending.ledger.as_dict() == ledger
    assert set(named(again).values()) == {Reason.DAMAGED}
    # Nothing that is older than this run lies in memory only.
    lead = again._storage._lead
    assert lead.memory is not None
    assert not lead.memory.keys
    again.close()


@pytest.mark.parametrize("durability", ["spill", "batch"])
def test_what_a_killed_run_left_is_on_the_disk_once_the_next_one_has_begun(
    tmp_path: Path, medium: Medium, durability: Durability
) -> None:
    outbox = open_at(tmp_path, durability=durability)
    keys = {put(outbox, n / 100) for n in range(5)}
    let_die(outbox)
    again = open_at(tmp_path, 1, durability)
    medium.cut_power(tmp_path / "disk", tmp_path / "ram")
    let_die(again)
    assert frames(open_at(tmp_path, 2, durability)) == keys


@pytest.mark.parametrize("seconds", [20, 70, 200])
def test_a_power_cut_costs_at_most_the_last_seconds_and_says_so(
    tmp_path: Path, medium: Medium, seconds: int
) -> None:
    outbox = open_at(tmp_path)
    keys = [put(outbox, second) for second in range(seconds)]
    outbox.settle(outbox.boot, Range(0, 3))
    told = outbox.pending.ledger.as_dict()
    medium.cut_power(tmp_path / "disk", tmp_path / "ram")
    let_die(outbox)
    again = open_at(tmp_path)
    left = frames(again)
    assert set(keys[3 : max(0, seconds - 61)]) <= left
    assert all(again.read(key) for key in left)
    lost = set(keys) - left - set(keys[:3])
    names = named(again)
    assert lost <= names.keys()
    assert {names[key] for key in lost} <= {Reason.LOST, Reason.UNKNOWN}
    assert sum(reason is Reason.UNKNOWN for reason in names.values()) == NUMBERS_AHEAD
    ledger = again.pending.ledger
    captured = told["captured"]
    assert isinstance(captured, int)
    assert captured - 61 <= ledger.captured <= captured
    assert ledger.captured == ledger.stored + ledger.dropped.total() + len(left)
    again.close()
    third = open_at(tmp_path)
    assert named(third) == names
    assert frames(third) == left
    third.close()


def test_the_number_of_a_drop_after_a_power_cut_was_never_used(
    tmp_path: Path, medium: Medium
) -> None:
    outbox = open_at(tmp_path)
    for n in range(NUMBERS_AHEAD + 500):
        key = put(outbox, n / 1000, 30)
        outbox.settle(key.boot, Range(key.pkt, 1))
    medium.cut_power(tmp_path / "disk", tmp_path / "ram")
    let_die(outbox)
    again = open_at(tmp_path)
    (of_former,) = [k for k, e in again.pending.entries.items() if e.kind is Kind.DROP]
    assert of_former.boot == key.boot
    assert of_former.pkt > key.pkt
    assert named(again)[key] is Reason.UNKNOWN
    again.close()


def test_a_clean_end_leaves_everything_on_the_disk_and_nothing_unknown(
    tmp_path: Path, medium: Medium
) -> None:
    outbox = open_at(tmp_path)
    keys = {put(outbox, second) for second in range(10)}
    outbox.close()
    assert not (tmp_path / "ram").exists()
    medium.cut_power(tmp_path / "disk", tmp_path / "ram")
    again = open_at(tmp_path)
    assert frames(again) == keys
    assert named(again) == {}
    again.close()


def test_memory_that_is_full_spills_early(tmp_path: Path, medium: Medium) -> None:
    outbox = open_at(tmp_path)
    keys = [put(outbox, n / 1000, 30_000) for n in range(150)]
    assert outbox.memory_bytes <= 4 * MIB
    assert outbox.size_bytes > MIB
    assert frames(outbox) == set(keys)
    outbox.close()


def test_a_packet_for_which_memory_had_to_make_room_is_named_after_a_power_cut(
    tmp_path: Path, medium: Medium
) -> None:
    """The disk is told of its number before it is in memory."""
    outbox = open_at(tmp_path)
    lead = outbox._storage._lead
    while not lead.disk.keys:
        last = put(outbox, 1, 30_000)
    medium.cut_power(tmp_path / "disk", tmp_path / "ram")
    let_die(outbox)
    again = open_at(tmp_path)
    assert last not in frames(again)
    assert named(again)[last] is Reason.LOST
    assert again.pending.ledger.captured == last.pkt + 1
    again.close()


def test_backlog_on_the_disk_shrinks_as_it_is_settled(tmp_path: Path, medium: Medium) -> None:
    outbox = open_at(tmp_path)
    keys = [put(outbox, second, 30_000) for second in range(200)]
    full_bytes = outbox.size_bytes
    for n, key in enumerate(keys):
        outbox.settle(key.boot, Range(key.pkt, 1))
        outbox.tend((200 + n) * S)
    assert outbox.size_bytes < full_bytes / 8
    # A power cut brings back little of what is settled: the disk was told before it deleted.
    medium.cut_power(tmp_path / "disk", tmp_path / "ram")
    let_die(outbox)
    again = open_at(tmp_path)
    assert len(frames(again)) <= 61
    assert again.pending.ledger.stored >= 139
    again.close()


def test_a_log_in_memory_that_others_went_on_from_does_not_count(
    tmp_path: Path, medium: Medium
) -> None:
    outbox = open_at(tmp_path)
    keys = {put(outbox, second) for second in range(5)}
    shutil.copytree(tmp_path / "ram", tmp_path / "old")
    outbox.close()
    shutil.copytree(tmp_path / "old", tmp_path / "ram")
    again = open_at(tmp_path)
    ledger = again.pending.ledger.as_dict()
    assert (ledger["captured"], ledger["pending"]) == (5, 5)
    assert frames(again) == keys
    assert named(again) == {}
    again.close()


def test_without_spill_what_lies_in_memory_moves_to_the_disk(
    tmp_path: Path, medium: Medium
) -> None:
    outbox = open_at(tmp_path)
    keys = {put(outbox, second) for second in range(5)}
    let_die(outbox)
    batch = open_at(tmp_path, durability="batch")
    assert frames(batch) == keys
    assert not (tmp_path / "ram").exists()
    keys.add(put(batch, 7))
    let_die(batch)
    again = open_at(tmp_path)
    assert frames(again) == keys
    again.close()


def test_an_outbox_in_memory_alone_is_picked_up(tmp_path: Path, medium: Medium) -> None:
    """Someone has deleted the folder on the disk."""
    outbox = open_at(tmp_path)
    keys = {put(outbox, second) for second in range(5)}
    let_die(outbox)
    shutil.rmtree(tmp_path / "disk")
    again = open_at(tmp_path)
    assert frames(again) == keys
    assert again.boot >> 12 == (outbox.boot >> 12) + 1
    again.close()


def test_the_default_folder_is_in_memory_and_of_this_outbox_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    one, other = default_folder(tmp_path / "one"), default_folder(tmp_path / "other")
    assert one.parent == other.parent == Path("/dev/shm")
    assert one != other
    assert default_folder(tmp_path / "other/../one") == one
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}:/elsewhere")
    assert default_folder(tmp_path / "one").parent == tmp_path


def test_a_folder_in_memory_that_others_made_or_may_write_to_is_refused(tmp_path: Path) -> None:
    prepare(tmp_path / "mine")
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o700
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for name in ("open", "link"):
        with pytest.raises(OutboxError, match=r"remove it, or set outbox.ram_path"):
            prepare(tmp_path / name)


_WRITER = """
import sys
from pathlib import Path
from random import Random
from tactic_codec.packet import Kind, Packet
from tactic_device.memory import Memory
from tactic_device.outbox import Durability, Outbox
folder = Path(sys.argv[1])
memory = Memory(folder / "ram", 4 << 20, 0.05)
outbox = Outbox(folder / "disk", Random(), 8 << 20, "spill", memory=memory)
for n in range(100000):
    entry = outbox.put(Packet(Kind.FRAME, 0, 0, n.to_bytes(4, "little") * 20), n * 1000_000).entry
    print(entry.key.boot, entry.key.pkt, flush=True)
"""


def test_what_put_returned_survives_kill_9_at_any_moment(tmp_path: Path) -> None:
    promised: set[PacketKey] = set()
    rng = Random(6)
    for _ in range(6):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", _WRITER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as node:
            assert node.stdout is not None
            lines = [node.stdout.readline() for _ in range(rng.randrange(1, 400))]
            node.send_signal(signal.SIGKILL)
            lines += node.stdout.read().splitlines()
        keys = [PacketKey(*map(int, line.split())) for line in lines if len(line.split()) == 2]
        # the last line may have been cut
        promised |= set(keys[:-1])
    outbox = open_at(tmp_path)
    assert promised <= frames(outbox)
    assert outbox.pending.ledger.captured == len(frames(outbox))
    outbox.close()
