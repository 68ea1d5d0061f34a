"""Commands: carried out once, in time, by the run that they are for, and never played again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tactic_delivery import kinds
from tactic_delivery.command import (
    MAX_COMMAND_BYTES,
    MAX_LIFETIME_NS,
    Command,
    Response,
    pack,
    unpack_command,
    unpack_response,
)
from tactic_delivery.desk import MOST_ANSWERS, Answer, Desk, Now
from tactic_delivery.errors import CommandError

BOOT, S = 7, 1_000_000_000
T0 = 1_700_000_000 * S


def command(number: int = 1, **fields: Any) -> Command:
    values = {"id": f"{number:032x}", "boot": BOOT, "issued_ns": T0, "expires_ns": T0 + 60 * S}
    return Command(**{**values, "kind": "ping", **fields})


def done(ident: str) -> Response:
    return Response(id=ident, boot=BOOT, status="done", result={"n": 1})


def at(seconds: float, clock: bool = True) -> Now:
    passed_ns = int(seconds * S)
    return Now(10 * S + passed_ns, T0 + passed_ns if clock else None)


def reason(desk: Desk, given: Command, now: Now) -> str | None:
    answer = desk.receive(given, now)
    assert answer is None or answer.status == "rejected"
    return answer.reason if answer else None


def test_a_repeated_command_gets_the_first_answer() -> None:
    desk = Desk(BOOT)
    assert desk.receive(command(), at(0)) is None
    assert desk.is_running(command())
    desk.finish(done(command().id))
    assert not desk.is_running(command())
    assert desk.receive(command(), at(1)) == done(command().id)
    # Also after a restart, from what was kept.
    again = Desk(BOOT + 1, desk.answers)
    assert again.receive(command(), at(2)) == done(command().id)


def test_only_the_run_that_it_is_for() -> None:
    assert reason(Desk(BOOT + 1), command(), at(0)) == "boot"


@pytest.mark.parametrize("clock", [True, False])
def test_what_has_expired_is_not_done(clock: bool) -> None:
    desk = Desk(BOOT)
    assert desk.receive(command(1), at(0, clock)) is None
    assert reason(desk, command(2), at(61, clock)) == "expired"
    assert reason(desk, command(3, expires_ns=T0 + MAX_LIFETIME_NS + 1), at(0)) == "lifetime"


@pytest.mark.parametrize("clock", [True, False])
@given(times=st.lists(st.tuples(st.integers(0, 20), st.floats(0, 300)), max_size=60))
def test_nothing_is_done_twice(clock: bool, times: list[tuple[int, float]]) -> None:
    """Twenty commands, heard again at any time by a node with a clock or without."""
    desk, carried_out, passed = Desk(BOOT), [], 0.0
    for number, pause in times:
        passed += pause / 10
        issued = T0 + number * S
        given_command = command(number, issued_ns=issued, expires_ns=issued + 30 * S)
        if desk.receive(given_command, at(passed + 30, clock)) is None:
            carried_out.append(number)
            desk.finish(done(given_command.id))
    assert len(carried_out) == len(set(carried_out))


def test_memory_is_bounded_and_says_so() -> None:
    desk = Desk(BOOT)
    for number in range(MOST_ANSWERS):
        assert desk.receive(command(number), at(0)) is None
        desk.finish(done(command(number).id))
    assert reason(desk, command(MOST_ANSWERS), at(1)) == "busy"
    later = command(MOST_ANSWERS, issued_ns=T0 + 61 * S, expires_ns=T0 + 90 * S)
    assert desk.receive(later, at(61)) is None
    assert len(desk.answers) == 0


def test_a_node_without_a_clock_learns_the_time_and_counts_on() -> None:
    desk = Desk(BOOT)
    assert desk.receive(command(1), at(0, clock=False)) is None
    desk.finish(done(command(1).id))
    old = command(2, issued_ns=T0 - 100 * S, expires_ns=T0 - 10 * S)
    assert reason(desk, old, at(1, clock=False)) == "expired"
    assert reason(desk, command(3), at(70, clock=False)) == "expired"
    fresh = command(4, issued_ns=T0 + 71 * S, expires_ns=T0 + 90 * S)
    assert desk.receive(fresh, at(71, clock=False)) is None
    # The first one is forgotten by now, and does not come back.
    assert reason(desk, command(1), at(72, clock=False)) == "expired"


def test_messages_survive_the_way() -> None:
    full = command(kind="set_level", arguments={"level": 2})
    assert unpack_command(pack(full)) == full
    failed = Response(id=full.id, boot=BOOT, status="failed", reason="no")
    assert unpack_response(pack(failed)) == failed
    newer = pack(full)[:-1] + b', "later": 1}'
    assert unpack_command(newer) == full


@pytest.mark.parametrize(
    "change",
    [
        {"id": "1"},
        {"id": "g" * 32},
        {"boot": -1},
        {"boot": 2**32},
        {"boot": "7"},
        {"issued_ns": 1.5},
        {"expires_ns": 2**63},
        {"kind": "rm -rf"},
        {"kind": ""},
        {"arguments": []},
    ],
)
def test_what_is_no_command(change: dict[str, Any]) -> None:

    data = json.loads(pack(command())) | change
    with pytest.raises(CommandError) as caught:
        unpack_command(json.dumps(data).encode())
    assert caught.value.reason == "form"
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200))
def test_nonsense_is_an_error_of_its_own(data: bytes) -> None:
    for read in (unpack_command, unpack_response):
        with pytest.raises(CommandError):
            read(data)


def test_nesting_and_size_are_bounded() -> None:
    for data in (b"[" * 60000, b'{"id":' * 9000, b" " * (MAX_COMMAND_BYTES + 1)):
        with pytest.raises(CommandError):
            unpack_command(data)


@pytest.mark.parametrize(
    ("kind", "arguments", "fault"),
    [
        ("ping", {}, None),
        ("report", {}, None),
        ("set_level", {"level": 7}, None),
        ("set_budget", {"budget_bytes": None}, None),
        ("set_budget", {"budget_bytes": 24}, None),
        ("reboot", {}, "kind"),
        ("ping", {"x": 1}, "arguments"),
        ("set_level", {}, "arguments"),
        ("set_level", {"level": 8}, "arguments"),
        ("set_level", {"level": "2"}, "arguments"),
        ("set_level", {"level": True}, "arguments"),
        ("set_budget", {"budget_bytes": 23}, "arguments"),
    ],
)
def test_arguments_are_those_of_the_kind(
    kind: str, arguments: dict[str, Any], fault: str | None
) -> None:
    if fault is None:
        assert kinds.check(kind, arguments).model_dump() == arguments
    else:
        with pytest.raises(CommandError) as caught:
            kinds.check(kind, arguments)
        assert caught.value.reason == fault


def test_an_answer_is_what_is_kept() -> None:
    desk = Desk(BOOT)
    desk.receive(command(), at(0))
    desk.finish(done(command().id))
    assert desk.answers == (Answer(done(command().id), T0 + 60 * S),)
