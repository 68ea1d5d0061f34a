"""The outbox against a model, with kills, power cuts and media that fail: no step loses a frame.

The model keeps what `Outbox.put` promised and what was settled or given up since. ``kill -9`` must
bring back exactly that; a power cut at most what `durability` says it may.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from device.conftest import Medium
from tactic_codec import drop
from tactic_codec.drop import Reason
from tactic_codec.packet import Kind, Packet, unpack
from tactic_delivery.drops import Drop
from tactic_delivery.entry import PacketKey
from tactic_delivery.ranges import Range
from tactic_device import journal, lead, outbox
from tactic_device.memory import Memory
from tactic_device.outbox import Durability, Outbox
from tactic_device.storage import BATCH_PACKETS
from tactic_device.trouble import RETRY_NS

KIB = 1 << 10
S = 1_000_000_000
DISK_BYTES, RAM_BYTES = 256 * KIB, 128 * KIB
SPILL_S = 60.0
#: `TACTIC_OUTBOX_RUNS=1000` is a long search; it takes some minutes.
RUNS = int(os.environ.get("TACTIC_OUTBOX_RUNS", "15"))
CODES = (errno.EIO, errno.ENOSPC, errno.EROFS)


class Model(RuleBasedStateMachine):
    """One outbox on a disk and in memory; ``medium`` is below both."""

    medium: Medium
    machine = 1
    durability: Durability

    @initialize(durability=st.sampled_from(("spill", "batch", "frame")))
    def begin(self, durability: Durability) -> None:
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="tactic-model-"))
        self.durability = durability
        self.rng = Random(1)
        self.now_ns = 0
        self.waiting: dict[PacketKey, bytes] = {}
        self.captured = self.settled = self.dropped = 0
        # Since a medium failed: what is no longer waiting may come back with a kill.
        self.undone: dict[PacketKey, bytes] = {}
        self.unreadable = False
        self.outbox = self.open()

    def open(self) -> Outbox:
        memory = Memory(self.folder / "ram", RAM_BYTES, SPILL_S)
        return Outbox(
            self.folder / "disk",
            self.rng,
            DISK_BYTES,
            self.durability,
            memory=memory,
            now_ns=self.now_ns,
        )

    @property
    def healthy(self) -> bool:
        return not self.medium.broken and not self.outbox.troubles

    @rule(
        frames=st.integers(1, 12),
        size_bytes=st.sampled_from((0, 300, 2000, 7000)),
        priority=st.integers(0, 3),
    )
    def put(self, frames: int, size_bytes: int, priority: int) -> None:
        for _ in range(frames):
            self.now_ns += S // 10
            payload = self.rng.randbytes(size_bytes)
            packet = Packet(Kind.FRAME, 0, 0, payload, priority=priority)
            admission = self.outbox.put(packet, self.now_ns)
            self.captured += 1
            key = admission.entry.key
            if key in self.outbox.pending.entries:
                self.waiting[key] = payload
            else:
                self.dropped += 1
            self.follow(admission.drops)

    def follow(self, drops: Iterable[Drop]) -> None:
        for decision in drops:
            for key in decision.removed:
                self.dropped += self.forget(key) is not None

    def forget(self, key: PacketKey) -> bytes | None:
        payload = self.waiting.pop(key, None)
        if payload is not None:
            self.undone[key] = payload
        return payload

    @rule(share=st.floats(0, 1), size=st.integers(1, 60))
    def settle(self, share: float, size: int) -> None:
        keys = sorted(self.waiting)
        if not keys:
            return
        boot, first = keys[int(share * (len(keys) - 1))]
        self.outbox.settle(boot, Range(first, size))
        for pkt in range(first, first + size):
            self.settled += self.forget(PacketKey(boot, pkt)) is not None

    @rule(seconds=st.sampled_from((0.5, 6.0, 70.0)))
    def time_passes(self, seconds: float) -> None:
        self.now_ns += int(seconds * S)
        self.follow(self.outbox.tend(self.now_ns))

    @rule(
        where=st.sampled_from(("disk", "ram", "")),
        operations=st.sets(
            st.sampled_from(("open", "pwrite", "fdatasync", "fsync", "pread", "unlink")), max_size=3
        ),
        code=st.sampled_from(CODES),
    )
    def break_medium(self, where: str, operations: set[str], code: int) -> None:
        self.medium.fail(self.folder / where, *operations, code=code)
        self.unreadable |= where != "disk" and (not operations or "pread" in operations)

    @precondition(lambda self: self.medium.broken)
    @rule()
    def mend(self) -> None:
        self.medium.heal()
        for _ in range(3):
            self.time_passes(RETRY_NS / S)
        assert not self.outbox.troubles

    @rule()
    def kill(self) -> None:
        exact = self.healthy
        let_die(self.outbox)
        self.medium.heal()
        self.outbox = self.open()
        self.compare(exact)

    @rule()
    def end(self) -> None:
        exact = self.healthy
        self.outbox.close()
        self.medium.heal()
        self.outbox = self.open()
        self.compare(exact)

    @rule()
    def cut_power(self) -> None:
        told = self.waiting.copy() if self.healthy else {}
        older = {key for key in told if key.boot != self.outbox.boot}
        before = self.captured
        self.medium.cut_power(self.folder / "disk", self.folder / "ram")
        self.machine += 1
        let_die(self.outbox)
        self.medium.heal()
        self.outbox = self.open()
        found = self.held()
        lost = told.keys() - found.keys()
        assert not lost & older
        if self.durability == "frame":
            assert not lost
        if self.durability == "batch":
            assert len(lost) < BATCH_PACKETS
        named = self.named()
        assert lost <= named.keys()
        assert {named[key] for key in lost} <= {Reason.LOST, Reason.UNKNOWN, Reason.DAMAGED}
        assert found.items() <= self.waiting.items() | self.undone.items()
        assert self.outbox.pending.ledger.captured <= before
        self.adopt(found)

    def compare(self, exact: bool) -> None:
        """After a restart: what was promised is there, and nothing that never was."""
        found = self.held()
        if exact:
            ledger = self.outbox.pending.ledger
            assert found == self.waiting
            assert (ledger.captured, ledger.stored) == (self.captured, self.settled)
            assert ledger.dropped.total() == self.dropped
        else:
            # What lay in memory that could neither be written to nor read is given up by name.
            lost = self.waiting.keys() - found.keys()
            assert not lost or self.unreadable
            assert {self.named().get(key) for key in lost} <= {Reason.DAMAGED}
            assert found.items() <= self.waiting.items() | self.undone.items()
        self.adopt(found)

    def adopt(self, found: dict[PacketKey, bytes]) -> None:
        self.waiting = found
        self.undone = {}
        self.unreadable = False
        ledger = self.outbox.pending.ledger
        self.captured, self.settled = ledger.captured, ledger.stored
        self.dropped = ledger.dropped.total()

    def held(self) -> dict[PacketKey, bytes]:
        found = {}
        for key, entry in self.outbox.pending.entries.items():
            data = self.outbox.read(key)
            assert data is not None
            packet = unpack(data)
            assert (packet.boot, packet.pkt) == key
            if entry.kind is Kind.FRAME:
                found[key] = packet.payload
        return found

    def named(self) -> dict[PacketKey, Reason]:
        return {
            PacketKey(key.boot, pkt): r.reason
            for key, entry in self.outbox.pending.entries.items()
            if entry.kind is Kind.DROP
            for r in drop.unpack(unpack(self.outbox.read(key) or b"").payload)
            for pkt in range(r.first, r.first + r.count)
        }

    @invariant()
    def the_ledger_is_exact(self) -> None:
        if not hasattr(self, "outbox"):
            return
        ledger = self.outbox.pending.ledger
        assert ledger.pending == self.outbox.pending.frames == len(self.waiting)
        assert (ledger.captured, ledger.stored) == (self.captured, self.settled)
        assert ledger.dropped.total() == self.dropped

    @invariant()
    def the_caps_hold(self) -> None:
        if hasattr(self, "outbox"):
            assert self.outbox.size_bytes <= DISK_BYTES
            assert self.outbox.memory_bytes <= RAM_BYTES

    @invariant()
    def what_waits_can_be_read(self) -> None:
        if hasattr(self, "outbox") and not self.medium.broken:
            assert self.held() == self.waiting

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            let_die(self.outbox)
            shutil.rmtree(self.folder, ignore_errors=True)


def let_die(dead: Outbox) -> None:
    """Release files and locks as the kernel does when a process is killed."""
    for shelf in dead._storage._lead.shelves:
        shelf.close()


def fresh_model(monkeypatch: pytest.MonkeyPatch) -> type[Model]:
    """Models whose media and starts of the machine are their own."""

    class Fresh(Model):
        def __init__(self) -> None:
            super().__init__()
            self.medium = Medium()
            monkeypatch.setattr(journal, "os", self.medium)
            for module in (outbox, lead):
                monkeypatch.setattr(module, "machine", lambda: self.machine)

    return Fresh


def test_no_step_loses_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    run_state_machine_as_test(
        fresh_model(monkeypatch),
        settings=settings(max_examples=RUNS, stateful_step_count=40, deadline=None),
    )


def test_memory_that_cannot_be_read_at_the_end_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fresh_model(monkeypatch)()
    model.begin(durability="spill")
    try:
        model.put(frames=2, size_bytes=300, priority=1)
        model.break_medium(where="ram", operations={"pread"}, code=errno.EIO)
        before = model.waiting
        model.end()
        assert model.waiting == before
    finally:
        model.teardown()


@pytest.mark.parametrize("durability", ["spill", "batch", "frame"])
def test_a_power_cut_after_any_packet_names_what_it_took(
    monkeypatch: pytest.MonkeyPatch, durability: Durability
) -> None:
    """Also where an account was synced to make room for it, when it had its number already."""
    fresh = fresh_model(monkeypatch)
    for frames in range(20, 80):
        model = fresh()
        model.begin(durability=durability)
        rng = Random(frames)
        try:
            for _ in range(frames):
                size_bytes = rng.choice((0, 300, 2000, 7000))
                model.put(frames=1, size_bytes=size_bytes, priority=rng.randint(0, 3))
            model.cut_power()
        finally:
            model.teardown()


def test_what_could_not_be_synced_is_synced_at_the_next_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = fresh_model(monkeypatch)()
    model.begin(durability="frame")
    try:
        model.break_medium(where="disk", operations={"fdatasync", "fsync"}, code=errno.EIO)
        model.put(frames=1, size_bytes=300, priority=1)
        model.end()
        model.cut_power()
        assert len(model.waiting) == 1
    finally:
        model.teardown()


def test_what_memory_no_longer_gives_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory fails, the disk takes over, and the run ends before anything is given up."""
    model = fresh_model(monkeypatch)()
    model.begin(durability="spill")
    try:
        model.put(frames=3, size_bytes=300, priority=1)
        model.break_medium(where="ram", operations=set(), code=errno.EIO)
        model.settle(share=0.0, size=1)
        lost = set(model.waiting)
        assert len(lost) == 2
        model.end()
        assert {model.named().get(key) for key in lost} == {Reason.DAMAGED}
    finally:
        model.teardown()


def test_a_segment_whose_sync_fails_at_the_start_is_written_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A disk that failed one sync may say yes to the next and have kept nothing."""
    model = fresh_model(monkeypatch)()
    model.begin(durability="frame")
    try:
        model.break_medium(where="disk", operations={"fdatasync"}, code=errno.EIO)
        model.put(frames=1, size_bytes=300, priority=1)
        let_die(model.outbox)
        model.medium.heal()
        for older in (model.folder / "disk").glob("*.seg"):
            model.medium.fail(older, "fdatasync")
        model.outbox = model.open()
        model.medium.heal()
        for _ in range(3):
            model.time_passes(RETRY_NS / S)
        model.cut_power()
        assert len(model.waiting) == 1
    finally:
        model.teardown()
