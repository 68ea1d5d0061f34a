"""After a power cut every number that was taken still waits or is named, also those of DROPs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from device.test_outbox_model import Model, S, fresh_model, let_die
from tactic_codec.drop import Reason
from tactic_delivery.entry import PacketKey
from tactic_device.trouble import RETRY_NS


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    made = fresh_model(monkeypatch)()
    made.begin(durability="spill")
    yield made
    made.teardown()


def cut_power(model: Model) -> None:
    """As `Model.cut_power`, without what the model knows: it follows no skipped frames."""
    model.medium.cut_power(model.folder / "disk", model.folder / "ram")
    model.machine += 1
    let_die(model.outbox)
    model.outbox = model.open()


def unnamed(model: Model, boot: int) -> list[int]:
    """Numbers of a boot below the highest known one that nothing tells of."""
    known = {key.pkt for key in model.outbox.pending.entries if key.boot == boot}
    known |= {key.pkt for key in model.named() if key.boot == boot}
    return sorted(set(range(max(known))) - known)


def test_a_drop_that_lies_in_memory_only_takes_no_history_with_it(model: Model) -> None:
    """Frames of an outage, and 50 gated ones each ten minutes: each DROP repeats the one before."""
    boot = model.outbox.boot
    for step in range(4 * 120 + 4):
        if step and step % 120 == 0:
            model.outbox.skip(Reason.GATED, 50)
        model.put(frames=1, size_bytes=10, priority=1)
        model.now_ns += 5 * S
        model.outbox.tend(model.now_ns)
    cut_power(model)
    assert model.outbox.pending.ledger.dropped[Reason.GATED] == 200
    assert not unnamed(model, boot)


def test_numbers_that_were_taken_when_the_disk_was_told_are_named(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot, spill = model.outbox.boot, model.outbox._storage.spill
    model.put(frames=3, size_bytes=10, priority=1)
    make_way = spill.make_way

    def tell_first(body_bytes: int) -> None:
        model.outbox._storage._lead.tell_disk()
        make_way(body_bytes)

    monkeypatch.setattr(spill, "make_way", tell_first)
    model.outbox.skip(Reason.GATED, 5)
    cut_power(model)
    assert not unnamed(model, boot)


def test_no_number_of_an_older_boot_is_used_twice(model: Model) -> None:
    older = model.outbox.boot
    model.put(frames=3, size_bytes=10, priority=1)
    model.end()
    (first,) = model.outbox.give_up(PacketKey(older, 0))
    cut_power(model)
    (second,) = model.outbox.give_up(PacketKey(older, 1))
    assert first.packet.boot == second.packet.boot == older
    assert first.packet.pkt != second.packet.pkt


def test_a_run_that_ends_with_memory_unreadable_tells_the_disk(model: Model) -> None:
    """Nothing can be moved; the ledger of the run is known after a power cut nevertheless."""
    model.put(frames=20, size_bytes=300, priority=1)
    model.settle(share=0.0, size=19)
    model.medium.fail(model.folder / "ram", "pread")
    model.outbox.close()
    model.medium.heal()
    model.medium.cut_power(model.folder / "disk", model.folder / "ram")
    model.machine += 1
    model.outbox = model.open()
    ledger = model.outbox.pending.ledger
    assert (ledger.captured, ledger.stored, ledger.dropped.total()) == (20, 19, 1)


def test_memory_that_leads_again_tells_of_what_it_lost(model: Model) -> None:
    """It was wiped, and the run is killed before it gives up what could not be read."""
    model.put(frames=3, size_bytes=300, priority=1)
    model.medium.fail(model.folder / "ram")
    model.settle(share=0.0, size=1)
    lost = set(model.waiting)
    model.medium.heal()
    model.outbox._storage.tend(model.now_ns + 2 * RETRY_NS)
    assert model.outbox._storage._lead.memory_leads
    let_die(model.outbox)
    model.outbox = model.open()
    assert len(lost) == 2
    assert {model.named().get(key) for key in lost} == {Reason.DAMAGED}
