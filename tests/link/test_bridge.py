"""The bridge between nodes that lose datagrams and a gateway, in memory and over UDP."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tactic_codec.errors import ConfigError
from tactic_codec.packet import Kind, Packet, pack, unpack
from tactic_delivery import ack as ack_message
from tactic_delivery.ack import LEAST_BYTES, Ack
from tactic_delivery.assembly import Caps
from tactic_delivery.datagrams import LEAST_DATAGRAM_BYTES, POLL, cut
from tactic_delivery.entry import Entry, PacketKey
from tactic_delivery.limits import Limits
from tactic_delivery.ranges import Range
from tactic_delivery.receiver import Receiver
from tactic_delivery.sender import Sender
from tactic_link import bridge_daemon
from tactic_link.bridge import Bridge, is_online, trim
from tactic_link.bridge_config import BridgeConfig, load
from tactic_link.bridge_daemon import Daemon
from tactic_link.errors import LinkError
from tactic_link.log import Log

ROOT = Path(__file__).parents[2]
BOOT = 0x0001_0ABC
S = 1_000_000_000


def frame(number: int, size: int = 300, boot: int = BOOT, sealed: bool = False) -> bytes:
    payload = Random(number).randbytes(size)
    return pack(Packet(Kind.FRAME, boot, number, payload, bundle=0xABCD, sealed=sealed))


@settings(deadline=None)
@given(
    st.integers(LEAST_DATAGRAM_BYTES, 340),
    st.floats(0.0, 0.5),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_over_any_loss_every_packet_is_stored_once(
    mtu: int, loss: float, beginnings: bool, rng: Random
) -> None:
    """Sender, datagrams, bridge and receiver; the bridge is killed in the middle."""
    packets = {PacketKey(BOOT, n): frame(n, rng.randrange(4, 400)) for n in range(12)}
    limits = Limits(window_packets=8, first_credit=1, first_timeout_ns=S, most_timeout_ns=8 * S)
    sender, receiver = Sender(BOOT, rng, limits), Receiver(BOOT)
    sender.on_connection(True)
    sender.on_gateway(True, 0)
    for raw in packets.values():
        sender.add(Entry.of(unpack(raw)))
    nodes = {"cam1": max(mtu, LEAST_BYTES)}
    caps = Caps(packets=8, patience_ns=60 * S, beginnings=beginnings)
    bridge, stored = Bridge(caps, nodes), dict[int, bytes]()
    for step in range(20_000):
        now_ns = step * S // 4
        if step == 20:
            bridge = Bridge(caps, nodes)
        came = bridge.give_up(now_ns)
        for key in sender.poll(now_ns).send:
            parts = [part for part in cut(packets[key], mtu) if rng.random() >= loss]
            rng.shuffle(parts)
            came += [("cam1", p) for part in parts for p in bridge.take("cam1", part, now_ns)]
        for _, raw in came:
            if receiver.record(unpack(raw)).new:
                stored[unpack(raw).pkt] = raw
            answer = bridge.answer("cam1", ack_message.pack(receiver.ack(16)))
            assert answer is not None and len(answer) <= nodes["cam1"]
            if rng.random() >= loss:
                sender.on_ack(ack_message.unpack(answer), now_ns)
        if not len(sender):
            break
    assert not len(sender) and len(stored) == 12
    for number, raw in stored.items():
        whole = packets[PacketKey(BOOT, number)]
        assert raw == whole or (beginnings and whole[20:].startswith(raw[20:]))


def test_a_later_run_is_announced_once_and_an_earlier_one_never() -> None:
    bridge = Bridge(Caps(), {"cam1": 51})
    birth = bridge.birth("cam1", frame(1))
    assert birth and json.loads(birth) == {
        "boot": BOOT,
        "wire_bundle": 0xABCD,
        "capabilities": ["frame", "drop"],
        "clock": "unknown",
        "bearer": "datagrams",
    }
    assert bridge.birth("cam1", frame(1)), "until it was published"
    bridge.announced("cam1", birth)
    assert bridge.birth("cam1", frame(2)) is None
    assert bridge.birth("cam1", frame(3, boot=BOOT - 4096)) is None, "backlog of an earlier run"
    assert bridge.birth("cam1", frame(4, boot=BOOT + 4096))
    assert bridge.birth("cam1", frame(5, boot=BOOT + 4096, sealed=True)) is None


@pytest.mark.parametrize("birth", [b"", b"[]", b'{"boot": "x"}', b"[" * 100_000, b"\xff"])
def test_births_that_are_none_say_nothing(birth: bytes) -> None:
    bridge = Bridge(Caps(), {"cam1": 51})
    bridge.announced("cam1", birth)
    assert bridge.birth("cam1", frame(1))
    assert not is_online(birth)


def test_who_asks_is_told_again_while_there_is_a_gateway() -> None:
    bridge = Bridge(Caps(), {"cam1": 51, "cam2": 51})
    bridge.online = True
    assert bridge.again("cam1") is None
    answer = bridge.answer("cam1", ack_message.pack(Ack(BOOT, 7, 16)))
    assert bridge.again("cam1") == answer
    assert bridge.again("cam2") is None
    bridge.online = False
    assert bridge.again("cam1") is None


def test_an_acknowledgement_that_cannot_be_shortened_is_counted() -> None:
    bridge = Bridge(Caps(), {"cam1": 51})
    ranges = tuple(Range(10 * n, 2) for n in range(1, 6))
    raw = ack_message.pack(Ack(BOOT, 5, 16, ranges))
    shortened = bridge.answer("cam1", raw)
    assert shortened is not None and len(shortened) <= 51
    assert ack_message.unpack(shortened).ranges == ranges[:4]
    assert bridge.answer("cam1", raw + bytes(16)) is None
    assert bridge.counts["acks_too_long"] == 1
    assert trim(raw + bytes(16), 51) == raw + bytes(16)


class Broker:
    """In the place of MQTT: what the daemon publishes, and what it is told."""

    def __init__(
        self,
        _config: object,
        name: str,
        topics: list[str],
        deliver: Callable[[str, bytes], None],
        _log: Log,
    ) -> None:
        self.name, self.topics, self.deliver = name, topics, deliver
        self.connected = True
        self.published: list[tuple[str, bytes, bool]] = []
        self.fault: str | None = None

    def start(self) -> None: ...

    def tend(self) -> None: ...

    def stop(self, _timeout_s: float) -> None: ...

    def publish(
        self, topic: str, payload: bytes, retain: bool = False, answer_bytes: int | None = None
    ) -> str | None:
        assert answer_bytes == (51 if topic.endswith("/f") else None)
        if not self.fault:
            self.published.append((topic, payload, retain))
        return self.fault


CONFIG = """\
[bridge]
site = "yard"
listen = "udp://127.0.0.1:0"
[[nodes]]
node = "cam1"
address = "127.0.0.1"
mtu_bytes = 51
[assembly]
patience_s = 0.3
"""


class Bench:
    """A daemon in a thread, a stand-in for the broker, and a node's socket."""

    def __init__(self, config: BridgeConfig) -> None:
        self.lines = io.StringIO()
        self.daemon = Daemon(config, Log(self.lines))
        self.node = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.node.connect(self.daemon.port.address)
        self.node.settimeout(10.0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.daemon.run, args=(self._stop,))
        self._thread.start()

    @property
    def broker(self) -> Broker:
        found: Any = self.daemon._broker
        assert isinstance(found, Broker)
        return found

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.lines.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10.0
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain\n{self.lines.getvalue()}"
            time.sleep(0.01)

    def close(self) -> dict[str, Any]:
        self._stop.set()
        self._thread.join()
        self.node.close()
        return self.events("bridge_stopped")[0]


@pytest.fixture
def config(tmp_path: Path) -> BridgeConfig:
    (tmp_path / "bridge.toml").write_text(CONFIG)
    return load(tmp_path / "bridge.toml")


@pytest.fixture
def bench(config: BridgeConfig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(bridge_daemon, "Broker", Broker)
    made = Bench(config)
    yield made
    if not made.events("bridge_stopped"):
        made.close()


def test_datagrams_become_packets_and_acknowledgements_datagrams(bench: Bench) -> None:
    for datagram in reversed(cut(frame(1), 51)):
        bench.node.send(datagram)
    bench.until(lambda: len(bench.broker.published) == 2)
    (topic, birth, retained), packet = bench.broker.published
    assert (topic, retained) == ("tactic/v1/yard/cam1/birth", True)
    assert json.loads(birth)["boot"] == BOOT
    assert packet == ("tactic/v1/yard/cam1/f", frame(1), False)
    assert set(bench.broker.topics) == {
        "tactic/v1/yard/cam1/ack",
        "tactic/v1/yard/cam1/birth",
        "tactic/v1/yard/_gateway/state",
    }
    raw = ack_message.pack(Ack(BOOT, 2, 16))
    bench.broker.deliver("tactic/v1/yard/cam1/ack", raw)
    assert bench.node.recv(100) == raw
    bench.node.send(POLL)
    bench.until(lambda: bench.daemon._counts["polls"] == 1)
    bench.broker.deliver("tactic/v1/yard/_gateway/state", b'{"state": "online"}')
    assert bench.node.recv(100) == raw, "the gateway is there: who waits may go on"
    bench.node.send(POLL)
    assert bench.node.recv(100) == raw
    bench.broker.connected = False
    bench.until(lambda: bench.events("gateway_offline"))
    counters = bench.close()
    assert (counters["packets"], counters["acks"], counters["datagrams_down"]) == (1, 1, 3)
    assert counters["polls"] == 2 and counters["unfinished"] == 0
    assert bench.events("node_heard")[0]["node"] == "cam1"


def test_what_stays_unfinished_becomes_a_coarser_frame(bench: Bench) -> None:
    parts = cut(frame(1), 51)
    for datagram in parts[:2] + parts[3:]:
        bench.node.send(datagram)
    bench.until(lambda: len(bench.broker.published) == 2)
    packet = unpack(bench.broker.published[1][1])
    assert packet.pkt == 1 and unpack(frame(1)).payload.startswith(packet.payload)
    assert bench.close()["cut"] == 1


def test_without_a_broker_packets_are_dropped_and_counted(bench: Bench) -> None:
    bench.broker.fault = "unsent"
    for number in range(50):
        bench.node.send(frame(number, size=10))
    bench.until(lambda: bench.daemon._counts["unsent"] == 50)
    bench.broker.fault = None
    bench.node.send(frame(50, size=10))
    bench.until(lambda: len(bench.broker.published) == 2)
    assert "birth" in bench.broker.published[0][0], "the birth was not forgotten"


def test_a_packet_that_the_broker_does_not_take_is_said_once(bench: Bench) -> None:
    bench.broker.fault = "oversized"
    for number in range(3):
        bench.node.send(frame(number, size=10))
    bench.until(lambda: bench.daemon._counts["oversized"] == 3)
    assert len(bench.events("oversized")) == 1


def test_strangers_are_named_once_and_not_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge_daemon, "Broker", Broker)
    (tmp_path / "bridge.toml").write_text(CONFIG.replace('"127.0.0.1"', '"127.0.0.1:9"'))
    bench = Bench(load(tmp_path / "bridge.toml"))
    for number in range(3):
        bench.node.send(frame(number, size=10))
    bench.until(lambda: bench.daemon._counts["strangers"] == 3)
    assert bench.close()["packets"] == 0
    assert not bench.broker.published and len(bench.events("stranger")) == 1


@given(st.lists(st.binary(max_size=80), max_size=50))
@settings(deadline=None, max_examples=30)
def test_no_bytes_end_the_bridge(datagrams: list[bytes]) -> None:
    bridge = Bridge(Caps(packets=2, bytes=4096), {"cam1": 51})
    for now_ns, datagram in enumerate(datagrams):
        for packet in bridge.take("cam1", datagram, now_ns):
            bridge.birth("cam1", packet)
        bridge.answer("cam1", datagram)
        assert bridge.figures()["unfinished"] <= 2


def test_a_whole_packet_of_a_kind_that_nobody_knows_is_left_to_the_gateway() -> None:
    from tactic_delivery.datagrams import with_check

    strange = with_check(bytes([0x40 | 7 << 3]) + frame(1)[1:])
    bridge = Bridge(Caps(), {"cam1": 400})
    assert bridge.take("cam1", strange, 0) == [strange]
    assert bridge.birth("cam1", strange) is None


def test_the_example_loads_and_names_every_default(tmp_path: Path) -> None:
    example = load(ROOT / "link/bridge.example.toml")
    text = '[bridge]\nsite = "yard"\n[[nodes]]\nnode = "cam1"\naddress = "::1"\nmtu_bytes = 51\n'
    (tmp_path / "bridge.toml").write_text(text)
    shortest = load(tmp_path / "bridge.toml")
    assert (example.bridge, example.assembly, example.mqtt) == (
        shortest.bridge,
        shortest.assembly,
        shortest.mqtt,
    )


@pytest.mark.parametrize(
    ("line", "replaced", "complaint"),
    [
        ("mtu_bytes = 51", "mtu_bytes = 15", r"bridge.toml:7: nodes.0.mtu_bytes: .*15"),
        ('"127.0.0.1"', '"cam.lan"', r"bridge.toml:6: nodes.0.address: write an IP address"),
        ('"127.0.0.1"', '"127.0.0.1:x"', r"nodes.0.address: write an IP address"),
        ('"udp://127.0.0.1:0"', '"127.0.0.1:0"', r"bridge.toml:3: bridge.listen: write udp://"),
        ("patience_s", "patience", r"assembly.patience: unknown key; did you mean patience_s"),
        (
            "[assembly]",
            '[[nodes]]\nnode = "cam1"\naddress = "::1"\nmtu_bytes = 51\n[assembly]',
            "two nodes with the node cam1",
        ),
        (
            "[assembly]",
            '[[nodes]]\nnode = "cam2"\naddress = "::ffff:127.0.0.1"\nmtu_bytes = 51\n[assembly]',
            "two nodes with the address 127.0.0.1",
        ),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, line: str, replaced: str, complaint: str) -> None:
    (tmp_path / "bridge.toml").write_text(CONFIG.replace(line, replaced, 1))
    with pytest.raises(ConfigError, match=complaint) as caught:
        load(tmp_path / "bridge.toml")
    assert "\n" not in str(caught.value)


def test_a_port_that_is_taken_is_one_line(config: BridgeConfig) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other:
        other.bind(("127.0.0.1", 0))
        taken = config.bridge.model_copy(
            update={"listen": config.bridge.listen._replace(port=other.getsockname()[1])}
        )
        with pytest.raises(LinkError, match=r"udp://127.*in use; change bridge\.listen"):
            Daemon(config.model_copy(update={"bridge": taken}), Log(io.StringIO()))
