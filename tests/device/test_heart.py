"""Heartbeats go on while every loop turns, and only then."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from tactic_device.heart import CAPTURE, UPLINK, Heart

BEAT = "WATCHDOG=1"


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def make(watchdog_s: float | None = 14.0) -> tuple[Heart, list[str], Clock]:
    sent: list[str] = []
    clock = Clock()
    return Heart(sent.append, watchdog_s, clock), sent, clock


def last_beat_s(silent: str) -> float:
    """When the last heartbeat goes out, seconds after a loop has stopped."""
    heart, sent, clock = make()
    heart.beat(CAPTURE)
    heart.beat(UPLINK)
    turning = UPLINK if silent == CAPTURE else CAPTURE
    last_s = 0.0
    for tenth in range(1, 600):
        clock.now_s = 100 + tenth / 10
        before = len(sent)
        heart.beat(turning)
        last_s = clock.now_s - 100 if len(sent) > before else last_s
    return last_s


def test_either_loop_that_stops_holds_back_the_heartbeats_of_both() -> None:
    for silent in (CAPTURE, UPLINK):
        # With the manager's 14 s, the node is ended 21 s after the hang at the latest.
        assert 6.0 <= last_beat_s(silent) <= 7.1


def test_a_loop_that_was_late_beats_again() -> None:
    heart, sent, clock = make()
    heart.beat(CAPTURE)
    clock.now_s += 60
    heart.beat(UPLINK)
    assert sent == [BEAT]
    heart.beat(CAPTURE)
    assert sent == [BEAT] * 2


def test_a_loop_may_ask_for_patience_or_end() -> None:
    heart, sent, clock = make()
    heart.beat(CAPTURE, allow_s=180)
    for _ in range(60):
        clock.now_s += 3
        heart.beat(UPLINK)
    assert len(sent) == 61
    clock.now_s += 30
    heart.beat(UPLINK)
    assert len(sent) == 61
    heart.forget(CAPTURE)
    heart.beat(UPLINK)
    assert len(sent) == 62


def test_nobody_watches_unless_asked() -> None:
    heart, sent, _ = make(None)
    heart.beat(CAPTURE)
    assert sent == []
    heart.notify("READY=1")
    assert sent == ["READY=1"]


def test_a_long_wait_beats_but_not_from_another_thread() -> None:
    heart, sent, clock = make()
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        clock.now_s += seconds
        return clock.now_s >= 130

    beating = heart.beating(CAPTURE, wait)
    assert not beating(2.5)
    assert waited == [1.0, 1.0, 0.5]
    assert len(sent) == 3
    other = threading.Thread(target=beating, args=(5.0,))
    other.start()
    other.join()
    assert waited[-1] == 5.0
    assert len(sent) == 3
    assert beating(60.0)


def test_messages_reach_a_socket_and_a_missing_one_does_no_harm(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        place = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "14000000"}
        Heart.of_environment(place).beat(CAPTURE)
        assert manager.recv(100) == BEAT.encode()
        # The watchdog of another process is none of ours.
        Heart.of_environment(place | {"WATCHDOG_PID": "1"}).beat(CAPTURE)
        Heart.of_environment(place).notify("READY=1")
        assert manager.recv(100) == b"READY=1"
    (tmp_path / "notify").unlink()
    Heart.of_environment(place).notify("READY=1")
    Heart.of_environment({}).beat(CAPTURE)
