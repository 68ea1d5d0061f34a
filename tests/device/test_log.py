"""The log cut at every byte and with bits flipped: always a correct prefix, never a phantom."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tactic_codec import drop
from tactic_codec.packet import Kind, Packet, unpack
from tactic_delivery.entry import PacketKey
from tactic_delivery.ranges import Range
from tactic_device.errors import OutboxError
from tactic_device.journal import Record, read_records
from tactic_device.memory import Memory
from tactic_device.outbox import Outbox
from tactic_device.replay import LogReader

MIB = 1 << 20
FLIPS = 20_000

State = tuple[frozenset[PacketKey], str]


@dataclass(frozen=True)
class Log:
    """A log as a killed node left it, and its records."""

    folder: Path
    boot: int
    data: bytes
    records: tuple[Record, ...]
    frames: dict[PacketKey, bytes]

    def state_after(self, count: int) -> State:
        return state_of(self.records[:count])


def state_of(records: tuple[Record, ...]) -> State:
    """What a reader knows after these records."""
    reader = LogReader(unpack)
    for record in records:
        reader.follow(record)
    waiting = frozenset(key for keys in (reader.here, reader.elsewhere) for key in keys)
    return waiting, repr(reader.ledger.as_dict())


def open_at(folder: Path, durability: str = "batch") -> Outbox:
    memory = Memory(folder / "ram", 4 * MIB, 60.0) if durability == "spill" else None
    return Outbox(
        folder / "disk", Random(3), 4 * MIB, "spill" if memory else "batch", memory=memory
    )


def let_die(outbox: Outbox) -> None:
    """Release files and locks as the kernel does when a process is killed."""
    for shelf in outbox._storage._lead.shelves:
        shelf.close()


@pytest.fixture(scope="module", params=["batch", "spill"])
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Log:
    folder = tmp_path_factory.mktemp(request.param)
    outbox = open_at(folder, request.param)
    frames = {}
    for n in range(9):
        payload = bytes([n]) * (10 + n)
        key = outbox.put(Packet(Kind.FRAME, 0, 0, payload, priority=n % 4), n).entry.key
        frames[key] = payload
        if n == 4:
            outbox.settle(outbox.boot, Range(1, 2))
            outbox.give_up(PacketKey(outbox.boot, 0))
    # The last three records are one of each kind.
    outbox.settle(outbox.boot, Range(3, 1))
    outbox.give_up(PacketKey(outbox.boot, 6))
    key = outbox.put(Packet(Kind.FRAME, 0, 0, b"last"), 9).entry.key
    frames[key] = b"last"
    let_die(outbox)
    (segment,) = (folder / ("ram" if request.param == "spill" else "disk")).glob("*.seg")
    data = segment.read_bytes()
    return Log(folder, outbox.boot, data, tuple(read_records(1, data)), frames)


def reopen_with(log: Log, tmp_path: Path, data: bytes) -> Outbox:
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(log.folder, copy)
    ram = copy / "ram"
    (segment,) = (ram if ram.exists() else copy / "disk").glob("*.seg")
    segment.write_bytes(data)
    return open_at(copy, "spill" if ram.exists() else "batch")


def check(log: Log, outbox: Outbox, state: State) -> None:
    """The frames are those of the state, byte for byte, and the ledger closes."""
    waiting, _ = state
    found = {}
    for key, entry in outbox.pending.entries.items():
        data = outbox.read(key)
        assert data is not None
        packet = unpack(data)
        assert (packet.boot, packet.pkt) == key
        if entry.kind is Kind.FRAME:
            found[key] = packet.payload
    assert found == {key: log.frames[key] for key in waiting if key in log.frames}
    assert outbox.pending.ledger.pending == outbox.pending.frames
    outbox.close()


def test_what_the_log_says_is_what_happened(log: Log, tmp_path: Path) -> None:
    waiting, ledger = log.state_after(len(log.records))
    assert "'captured': 10, 'stored': 3, 'dropped': {'damaged': 2}, 'pending': 5" in ledger
    assert len(waiting) == 6  # five frames and the second DROP
    check(log, reopen_with(log, tmp_path, log.data), (waiting, ledger))


def test_every_cut_of_the_last_three_records_leaves_a_correct_prefix(
    log: Log, tmp_path: Path
) -> None:
    ends = [r.place.offset + r.place.length for r in log.records]
    for cut in range(ends[-4], len(log.data) + 1):
        whole = sum(end <= cut for end in ends)
        data = log.data[:cut]
        assert tuple(read_records(1, data)) == log.records[:whole]
        check(log, reopen_with(log, tmp_path, data), log.state_after(whole))


def test_20000_flipped_bits_leave_a_correct_prefix(log: Log) -> None:
    rng = Random(7)
    starts = [0, *(r.place.offset + r.place.length for r in log.records)]
    for _ in range(FLIPS):
        bit = rng.randrange(8 * len(log.data))
        data = bytearray(log.data)
        data[bit // 8] ^= 1 << bit % 8
        found = tuple(read_records(1, bytes(data)))
        struck = sum(start <= bit // 8 for start in starts) - 1
        assert found == log.records[:struck]


def test_flipped_bits_lose_no_account(log: Log, tmp_path: Path) -> None:
    """The whole way: the outbox opens, closes its ledger and names what it may have lost."""
    rng = Random(8)
    starts = [0, *(r.place.offset + r.place.length for r in log.records)]
    for _ in range(60):
        at = rng.randrange(len(log.data))
        data = bytearray(log.data)
        data[at] ^= 1 << rng.randrange(8)
        struck = sum(start <= at for start in starts) - 1
        outbox = reopen_with(log, tmp_path, bytes(data))
        assert outbox.damaged_bytes > 0
        named = {
            key
            for key, entry in outbox.pending.entries.items()
            if entry.kind is Kind.DROP
            for r in drop.unpack(unpack(outbox.read(key) or b"").payload)
            for key in (PacketKey(key.boot, pkt) for pkt in range(r.first, r.first + r.count))
        }
        # Where the first account is lost, so is the name of the boot.
        settled = {PacketKey(log.boot, pkt) for pkt in (1, 2, 3)}
        if struck > 0:
            assert set(log.frames) <= set(outbox.pending.entries) | named | settled
        check(log, outbox, log.state_after(struck))


def test_damage_in_an_older_segment_costs_what_lies_there_and_is_reported(tmp_path: Path) -> None:
    outbox = open_at(tmp_path)
    sizes = 100_000
    for n in range(6):
        outbox.put(Packet(Kind.FRAME, 0, 0, bytes([n]) * sizes), n)
    let_die(outbox)
    first, *_ = sorted((tmp_path / "disk").glob("*.seg"))
    data = bytearray(first.read_bytes())
    data[len(data) // 4] ^= 1
    first.write_bytes(data)
    again = open_at(tmp_path)
    lost = again.pending.ledger.dropped.total()
    assert 0 < lost < 6
    assert again.pending.ledger.as_dict()["dropped"] == {"damaged": lost}
    (held,) = [e for e in again.pending.entries.values() if e.kind is Kind.DROP]
    (record,) = drop.unpack(unpack(again.read(held.key) or b"").payload)
    assert (record.reason, record.first, record.count) == (drop.Reason.DAMAGED, 0, lost)
    again.close()


@pytest.mark.parametrize(
    "change",
    [lambda body: b"{" + body[1:], lambda body: body[:5] + b"[" + body[6:]],
    ids=["format", "content"],
)
def test_a_log_of_another_version_is_refused(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    outbox = open_at(tmp_path)
    journal = outbox._disk.journal
    (account, *_) = journal.replay()
    journal.append(account.type, change(account.body))
    let_die(outbox)
    with pytest.raises(OutboxError, match="written by another version of tactic"):
        open_at(tmp_path)
