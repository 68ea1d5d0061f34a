"""The account of every node balances, or says by how much it does not."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tactic_codec import drop
from tactic_codec.drop import DropRecord, Reason
from tactic_codec.packet import Kind, Packet, pack
from tactic_gateway import audit
from tactic_gateway.audit import Balance
from tactic_gateway.condition import Condition
from tactic_gateway.ingest import Ingest
from tactic_gateway.keys import Keys
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics
from tactic_gateway.reader import Message
from tactic_gateway.store import Store
from tactic_gateway.topics import Topics

BOOT = 5 << 12 | 7


@dataclass
class Site:
    """A gateway, and what nodes say to it; time is the number of the message."""

    store: Store
    ingest: Ingest
    now: int = 0

    def take(self, *messages: tuple[str, bytes], node: str = "cam1") -> None:
        batch = []
        for kind, payload in messages:
            self.now += 1
            batch.append(Message(f"tactic/v1/lab/{node}/{kind}", payload, self.now))
        self.ingest.handle(batch)

    def balances(self) -> list[Balance]:
        with self.store.database.transaction() as db:
            assert list(audit.recount(db)) == []
            return audit.balances(db)


@pytest.fixture
def site(store: Store, condition: Condition, log: Log) -> Site:
    ingest = Ingest(
        store,
        condition,
        Topics("tactic/v1", "lab"),
        Keys(),
        max_backlog=10_000,
        publish=lambda *_: None,
        wake=lambda: None,
        metrics=Metrics(),
        log=log,
    )
    return Site(store, ingest)


def frame(pkt: int, boot: int = BOOT) -> tuple[str, bytes]:
    return "f", pack(Packet(Kind.FRAME, boot, pkt, b"x"))


def report(
    pkt: int, *numbers: int, reason: Reason = Reason.FULL, boot: int = BOOT
) -> tuple[str, bytes]:
    records = [DropRecord(reason, number, 1) for number in numbers]
    return "f", pack(Packet(Kind.DROP, boot, pkt, drop.pack(records)))


def health(
    captured: int, stored: int, boot: int = BOOT, waiting: int | None = None, **dropped: int
) -> tuple[str, bytes]:
    pending = captured - stored - sum(dropped.values())
    ledger = {"captured": captured, "stored": stored, "dropped": dropped, "pending": pending}
    body: dict[str, Any] = {"boot": boot, "ledger": ledger}
    if waiting is not None:
        body["outbox_packets"] = waiting
    return "health", json.dumps(body).encode()


def test_at_rest_the_account_is_exact(site: Site) -> None:
    site.take(frame(0), frame(1), frame(5), report(6, 2, 3), health(5, 3, waiting=0, full=2))
    (balance,) = site.balances()
    assert balance == Balance("cam1", BOOT, 5, 5, 3, {"full": 2}, pending=0, held=0)


def test_frames_that_were_never_coded_are_accounted_for(site: Site) -> None:
    gated, skipped = (
        report(pkt, *numbers, reason=reason)
        for pkt, numbers, reason in ((4, (1, 2, 3), Reason.GATED), (6, (5,), Reason.BUDGET))
    )
    site.take(frame(0), gated, skipped, health(5, 1, waiting=0, gated=3, budget=1))
    (balance,) = site.balances()
    assert balance == Balance("cam1", BOOT, 4, 5, 1, {"gated": 3, "budget": 1}, pending=0, held=0)


def test_what_came_after_the_ledger_is_not_counted_with_it(site: Site) -> None:
    site.take(frame(0), health(1, 0, waiting=1), frame(1), report(3, 2))
    (balance,) = site.balances()
    assert (balance.stored, balance.pending, balance.held, balance.fault) == (1, 0, 1, "")
    site.take(frame(4))
    site.take(health(1, 0, waiting=1))
    assert site.balances() == [balance], "a retained message once more changes nothing"


def test_frames_on_their_way_are_pending(site: Site) -> None:
    site.take(frame(0), health(9, 1, waiting=9, full=1))
    (balance,) = site.balances()
    assert (balance.pending, balance.held, balance.fault) == (8, 8, "")


def test_a_frame_that_is_nowhere_is_found(site: Site) -> None:
    site.take(frame(0), frame(2), health(3, 3, waiting=0))
    (balance,) = site.balances()
    assert balance.pending == 1
    assert balance.fault.startswith("1 frames are nowhere; see which numbers are missing")


def test_more_frames_than_were_captured(site: Site) -> None:
    site.take(frame(0), frame(1), health(1, 1, waiting=0))
    assert site.balances()[0].fault.startswith("1 frames more than were captured; two nodes")


def test_an_account_of_a_node_that_does_not_close(site: Site) -> None:
    ledger = {"captured": 5, "stored": 1, "dropped": {}, "pending": 1}
    site.take(("health", json.dumps({"boot": BOOT, "ledger": ledger}).encode()))
    assert "does not close: 5 ≠ 1 + 0 + 1" in site.balances()[0].fault


def test_a_frame_that_was_given_up_after_it_was_stored_counts_as_stored(site: Site) -> None:
    site.take(frame(0), frame(1), report(4, 1, 2, 3), health(4, 1, waiting=0, full=3))
    (balance,) = site.balances()
    assert (balance.stored, balance.dropped, balance.pending) == (2, {"full": 2}, 0)
    assert balance.fault == ""


def test_numbers_that_were_no_frames_are_not_counted(site: Site) -> None:
    site.take(frame(0), report(2, 1), report(3, 2, reason=Reason.REPLACED))
    site.take(report(9, 5, 6, reason=Reason.UNKNOWN), health(2, 1, waiting=0, full=1))
    (balance,) = site.balances()
    assert (balance.dropped, balance.pending, balance.fault) == ({"full": 1}, 0, "")


def test_boots_of_one_outbox_are_one_account(site: Site) -> None:
    later = 6 << 12 | 99
    site.take(frame(0), frame(1), health(3, 2))
    site.take(frame(2), frame(0, boot=later), health(4, 4, boot=later, waiting=0))
    (balance,) = site.balances()
    assert (balance.boot, balance.captured, balance.stored, balance.pending) == (later, 4, 4, 0)


def test_a_new_outbox_is_a_new_account(site: Site) -> None:
    fresh = 1 << 12 | 3
    site.take(frame(0), frame(1), health(3, 2, waiting=1))
    site.take(frame(0, boot=fresh), health(1, 1, boot=fresh, waiting=0))
    again = 2 << 12 | 8
    site.take(frame(0, boot=again), health(2, 2, boot=again, waiting=0))
    old, new = site.balances()
    assert (old.boot, old.captured, old.stored, old.pending) == (BOOT, 3, 2, 1)
    assert (new.boot, new.captured, new.stored, new.pending) == (again, 2, 2, 0)
    assert old.fault == new.fault == ""


def test_nodes_without_a_ledger_are_listed(site: Site) -> None:
    site.take(frame(0), node="mute")
    assert site.balances() == [Balance("mute", None, None, None, 1)]


def test_rows_deleted_by_hand_are_found(site: Site) -> None:
    site.take(frame(0), frame(1))
    with site.store.database.transaction() as db:
        db.execute("DELETE FROM packets WHERE pkt = 1")
        assert list(audit.recount(db)) == [f"cam1/{BOOT}: 2 frames are counted, 1 are there"]
        db.execute("DELETE FROM accounts")
        assert list(audit.recount(db)) == [f"cam1/{BOOT}: packets or numbers without an account"]


@dataclass
class Node:
    """A node's side of the account, over a link that loses."""

    boot: int = BOOT
    next: int = 0
    captured: int = 0
    stored: int = 0
    dropped: int = 0
    pending: set[int] = field(default_factory=set)
    reports: dict[int, list[int]] = field(default_factory=dict)


@settings(max_examples=60, deadline=None)
@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["capture", "send", "ack", "drop", "tell"]), st.integers(0, 99)),
        max_size=60,
    )
)
def test_the_equation_holds_at_every_moment(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[str, int]]
) -> None:
    """Whatever is lost or repeated, no frame is nowhere, and at rest the account is exact."""
    site = fresh_site(tmp_path_factory)
    node = Node()
    for move, chance in moves:
        MOVES[move](site, node, chance)
        for balance in site.balances():
            assert balance.fault == ""
    for number in sorted(node.pending):
        site.take(frame(number))
        node.stored += 1
    node.pending.clear()
    for pkt, numbers in node.reports.items():
        site.take(report(pkt, *numbers))
    site.take(health(node.captured, node.stored, waiting=0, full=node.dropped))
    (balance,) = site.balances()
    assert (balance.pending, balance.fault) == (0, "")
    site.store.close()


def fresh_site(factory: pytest.TempPathFactory) -> Site:
    store = Store(factory.mktemp("audit") / "gateway.db")
    log = Log(io.StringIO())
    condition = Condition(store.database.path, 1, Metrics(), log, lambda _: 1 << 40)
    topics = Topics("tactic/v1", "lab")
    return Site(
        store,
        Ingest(
            store,
            condition,
            topics,
            Keys(),
            max_backlog=1000,
            publish=lambda *_: None,
            wake=lambda: None,
            metrics=Metrics(),
            log=log,
        ),
    )


def capture(_site: Site, node: Node, _chance: int) -> None:
    node.pending.add(node.next)
    node.next += 1
    node.captured += 1


def send(site: Site, node: Node, chance: int) -> None:
    waiting = sorted(node.pending)
    if waiting:
        site.take(frame(waiting[chance % len(waiting)]))


def acknowledge(site: Site, node: Node, _chance: int) -> None:
    held = {
        n for first, count in site.store.settled("cam1", BOOT) for n in range(first, first + count)
    }
    node.stored += len(node.pending & held)
    node.pending -= held


def give_up(site: Site, node: Node, chance: int) -> None:
    victims = sorted(node.pending)[: chance % 4]
    if victims:
        node.reports[node.next] = victims
        if chance % 3:
            site.take(report(node.next, *victims))
        node.next += 1
        node.dropped += len(victims)
        node.pending -= set(victims)


def tell(site: Site, node: Node, _chance: int) -> None:
    site.take(health(node.captured, node.stored, waiting=len(node.pending) + 1, full=node.dropped))


MOVES: dict[str, Callable[[Site, Node, int], None]] = {
    "capture": capture,
    "send": send,
    "ack": acknowledge,
    "drop": give_up,
    "tell": tell,
}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"boot": 1},
        {"boot": 1, "ledger": []},
        {"boot": -1, "ledger": {"captured": 1, "stored": 1, "pending": 0, "dropped": {}}},
        {"boot": 1, "ledger": {"captured": 1, "stored": 1, "pending": True, "dropped": {}}},
        {"boot": 1, "ledger": {"captured": 1.5, "stored": 1, "pending": 0, "dropped": {}}},
        {"boot": 1, "ledger": {"captured": 1, "stored": 1, "pending": 0, "dropped": {"A b": 1}}},
        {"boot": 1, "ledger": {"captured": 1 << 63, "stored": 1, "pending": 0, "dropped": {}}},
    ],
)
def test_ledgers_that_are_none_are_rejected(site: Site, body: dict[str, Any]) -> None:
    site.take(("health", json.dumps(body).encode()))
    assert site.balances() == []
    assert site.ingest._metrics.snapshot() == {"rejected.health": 1}


def test_ledgers_without_end_are_kept_in_bounds(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tactic_gateway.ledgers._FEWER", FEWER)
    for counter in range(40):
        site.take(health(counter, counter, boot=counter << 12))
    with site.store.database.transaction() as db:
        assert db.execute("SELECT count(*) FROM ledgers").fetchone() == (10,)


FEWER = """
DELETE FROM ledgers WHERE node = :node AND serial <= (
    SELECT serial FROM ledgers WHERE node = :node ORDER BY serial DESC LIMIT 1 OFFSET 10)
"""


def test_an_audit_only_reads(site: Site) -> None:
    site.take(frame(0), health(1, 1, waiting=0))
    db = sqlite3.connect(f"file:{site.store.database.path}?mode=ro", uri=True)
    assert len(audit.balances(db)) == 1
    assert list(audit.recount(db)) == []
    db.close()
