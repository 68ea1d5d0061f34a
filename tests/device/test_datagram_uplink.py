"""Packets to a driver's UDP port, acknowledgements back; the driver here is a socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tactic_codec.config import Place
from tactic_codec.errors import ConfigError
from tactic_codec.node_key import NodeKey, Purpose
from tactic_codec.packet import Kind, Packet, unpack
from tactic_delivery import ack
from tactic_delivery.ack import Ack
from tactic_delivery.allowance import Allowance, Budgets
from tactic_delivery.assembly import Assembler
from tactic_delivery.datagrams import POLL
from tactic_delivery.limits import Limits
from tactic_delivery.receiver import Receiver
from tactic_device.datagram_uplink import DatagramUplink
from tactic_device.dispatch import Dispatch
from tactic_device.health import boot_clock_ns
from tactic_device.link_config import Datagram
from tactic_device.log import Log
from tactic_device.modem import Modem
from tactic_device.outbox import Outbox

Events = Callable[[], list[dict[str, Any]]]
MTU = 51


class Driver:
    """A modem with a ground behind it that answers when told to."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(10.0)
        self.place = Place("127.0.0.1", self.socket.getsockname()[1])
        self.polls = 0
        self.node: tuple[str, int] = ("", 0)
        self.receiver: Receiver | None = None
        self._assembler = Assembler()

    def packet(self) -> Packet:
        """The next packet that is whole."""
        while True:
            datagram, self.node = self.socket.recvfrom(65_535)
            assert len(datagram) <= MTU
            self.polls += datagram == POLL
            for raw in self._assembler.take(datagram, 0):
                packet = unpack(raw)
                self.receiver = self.receiver or Receiver(packet.boot)
                self.receiver.record(packet)
                return packet

    def is_quiet(self, seconds: float) -> bool:
        self.socket.settimeout(seconds)
        try:
            self.socket.recvfrom(65_535)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(10.0)
        return False

    def answer(self, window: int = 16) -> bytes:
        assert self.receiver is not None
        message = ack.pack(self.receiver.ack(window))
        self.socket.sendto(message, self.node)
        return message


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def driver() -> Iterator[Driver]:
    made = Driver()
    yield made
    made.socket.close()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox", Random(1), 4 << 20)
    yield outbox
    outbox.close()


Start = Callable[..., tuple[DatagramUplink, Dispatch]]


@pytest.fixture
def start(driver: Driver, outbox: Outbox, log: Log) -> Iterator[Start]:
    started: list[DatagramUplink] = []

    def start(
        key: NodeKey | None = None,
        budgets: Budgets | None = None,
        within_s: float = 0.0,
        **settings: Any,
    ) -> tuple[DatagramUplink, Dispatch]:
        usual = {"send_to": str(driver.place), "mtu_bytes": MTU, "first_timeout_s": 5.0}
        config = Datagram.model_validate(usual | settings)
        allowance = Allowance(budgets, lambda size: size) if budgets else None
        within_ns = int(within_s * 1e9)
        limits = config.limits(Limits(start_within_ns=within_ns), None)
        dispatch = Dispatch(outbox, Random(1), limits, allowance)
        uplink = DatagramUplink(
            config,
            dispatch,
            key=key,
            log=log,
            clock_ns=boot_clock_ns,
            rng=Random(2),
            start_within_ns=within_ns,
        )
        uplink.start()
        started.append(uplink)
        return uplink, dispatch

    yield start
    for each in started:
        each.stop()
        each.check()


def put(uplink: DatagramUplink, dispatch: Dispatch, frames: int = 1) -> None:
    for number in range(frames):
        payload = Random(number).randbytes(200)
        dispatch.put(Packet(Kind.FRAME, 0, 0, payload), boot_clock_ns())
    uplink.wake()


def test_one_packet_asks_and_an_answer_opens_the_way(
    start: Start, driver: Driver, events: Events
) -> None:
    uplink, dispatch = start()
    put(uplink, dispatch, 20)
    assert driver.packet().pkt == 0
    assert driver.is_quiet(0.3), "one packet only, until somebody answers"
    while dispatch.waiting:
        driver.answer()
        if dispatch.waiting > 0:
            try:
                driver.socket.settimeout(0.2)
                driver.packet()
            except TimeoutError:
                continue
    assert [event["event"] for event in events()] == ["gateway_online"]
    assert uplink.counts["sent_packets"] == 20
    assert uplink.counts["sent_datagrams"] == 20 * 5
    assert dispatch.figures()["ledger"] == {
        "captured": 20,
        "stored": 20,
        "dropped": {},
        "pending": 0,
    }


def test_silence_ends_it_and_what_waits_is_asked_with(
    start: Start, driver: Driver, events: Events
) -> None:
    uplink, dispatch = start(first_timeout_s=0.5, most_timeout_s=1.0)
    put(uplink, dispatch)
    driver.packet()
    driver.answer()
    until(lambda: not dispatch.waiting)
    put(uplink, dispatch, 3)
    until(lambda: len(events()) == 2)
    assert [event["event"] for event in events()] == ["gateway_online", "gateway_offline"]
    driver.packet()
    driver.answer()
    until(lambda: len(events()) == 3)
    assert events()[-1]["event"] == "gateway_online"


def test_an_answer_that_did_not_come_is_asked_for(start: Start, driver: Driver) -> None:
    uplink, dispatch = start(poll_s=0.2)
    put(uplink, dispatch)
    driver.packet()
    assert driver.socket.recvfrom(65_535)[0] == POLL
    driver.answer()
    until(lambda: not dispatch.waiting)
    assert driver.is_quiet(0.6)
    assert uplink.counts["sent_packets"] == 1


def test_polls_are_in_the_budgets_too(start: Start, driver: Driver) -> None:
    # 200 bytes and their header in 5 datagrams of 10 bytes more and 4 continuations: 290.
    spent = Budgets(day_bytes=295, overhead_bytes=10, datagram_bytes=MTU, alarm_share=0.0)
    uplink, dispatch = start(poll_s=0.1, budgets=spent)
    put(uplink, dispatch)
    driver.packet()
    assert driver.is_quiet(0.5)
    assert uplink.counts["sent_packets"] == 1


@pytest.mark.parametrize("sealed", [False, True])
def test_what_is_no_acknowledgement_opens_nothing(
    start: Start, driver: Driver, events: Events, sealed: bool
) -> None:
    key = NodeKey(bytes(32), "yard", "cam1") if sealed else None
    uplink, dispatch = start(key)
    put(uplink, dispatch, 2)
    driver.socket.settimeout(10.0)
    first = driver.socket.recvfrom(65_535)
    boot = int.from_bytes(first[0][4:8], "little")
    forged = ack.pack(Ack(boot, 9, 16)) if not sealed else ack.pack(Ack(boot, 1, 16))
    for message in (b"", b"noise", forged):
        driver.socket.sendto(message, first[1])
    until(lambda: uplink.counts["acks_rejected"] == 3)
    assert dispatch.waiting == 2
    assert [event["event"] for event in events()] == ["ack_rejected"]
    true = ack.pack(Ack(boot, 1, 16))
    driver.socket.sendto(key.sign(Purpose.ACK, true) if key else true, first[1])
    until(lambda: dispatch.waiting == 1)


def test_a_driver_that_is_away_is_one_line(start: Start, driver: Driver, events: Events) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other:
        other.bind(("127.0.0.1", 0))
        place = Place("127.0.0.1", other.getsockname()[1])
    uplink, dispatch = start(send_to=str(place), first_timeout_s=0.5, most_timeout_s=0.5)
    put(uplink, dispatch, 2)
    until(lambda: uplink.counts["datagrams_unsent"] >= 2)
    assert [event["event"] for event in events()] == ["modem_down"]
    driver.socket.close()
    driver.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    driver.socket.bind(place)
    driver.socket.settimeout(10.0)
    driver.packet()
    driver.answer()
    until(lambda: len(events()) == 3)
    assert [event["event"] for event in events()[1:]] == ["modem_up", "gateway_online"]


def test_with_listen_the_driver_may_answer_from_elsewhere(start: Start, driver: Driver) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    uplink, dispatch = start(listen=f"udp://127.0.0.1:{port}")
    put(uplink, dispatch)
    driver.packet()
    assert driver.node[1] == port
    assert driver.receiver is not None
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other:
        other.sendto(ack.pack(driver.receiver.ack(4)), ("127.0.0.1", port))
        until(lambda: not dispatch.waiting)


def test_a_port_that_is_taken_is_a_fault_of_the_configuration(driver: Driver) -> None:
    with pytest.raises(ConfigError, match=r"datagram\.listen: udp://127.*in use; choose"):
        Modem(driver.place, driver.place)


def test_a_name_that_nobody_knows_ends_nothing(start: Start, events: Events) -> None:
    uplink, dispatch = start(send_to="udp://nowhere.invalid:7000", first_timeout_s=0.5)
    put(uplink, dispatch)
    until(events)
    assert events()[0]["event"] == "modem_down"
    assert dispatch.waiting == 1


def test_the_question_does_not_wait_for_the_moment_that_is_drawn(
    start: Start, driver: Driver, events: Events
) -> None:
    uplink, dispatch = start(within_s=1.0)
    began_s = time.monotonic()
    put(uplink, dispatch, 3)
    driver.packet()
    assert time.monotonic() - began_s < 0.5
    driver.answer()
    driver.packet()
    assert 0.01 < time.monotonic() - began_s < 2.0
