"""The whole node with a stand-in for the network."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tactic_codec import stream
from tactic_codec.bundle import Bundle
from tactic_codec.config import load
from tactic_codec.errors import ConfigError, TacticError
from tactic_codec.packet import Packet, pack, unpack
from tactic_delivery.receiver import Receiver
from tactic_device import agent
from tactic_device.coder import Coder, find_geometry, find_level
from tactic_device.config import DeviceConfig
from tactic_device.dispatch import Dispatch
from tactic_device.errors import OutboxError, SourceError
from tactic_device.health import boot_clock_ns, clock_is_synchronised
from tactic_device.log import Log
from tactic_device.uplink import Uplink

Events = Callable[[], list[dict[str, Any]]]


class Network:
    """Takes the place of `Uplink`: a broker and a gateway that lose nothing."""

    def __init__(self, reachable: bool = True) -> None:
        self.packets: list[Packet] = []
        self.counts: Counter[str] = Counter()
        self.fault: Exception | None = None
        self.told: dict[str, Any] = {}
        self._reachable = reachable
        self._receivers: dict[int, Receiver] = {}

    def __call__(
        self, _config: object, _topics: object, dispatch: Dispatch, **others: Any
    ) -> Uplink:
        self._dispatch = dispatch
        self.told = others
        return cast(Uplink, self)

    def start(self) -> None:
        self._dispatch.on_connection(self._reachable)
        self._dispatch.on_gateway(self._reachable, boot_clock_ns())
        self.wake()

    def wake(self) -> None:
        packets, _ = self._dispatch.poll(boot_clock_ns())
        for packet in (unpack(outgoing.data) for outgoing in packets):
            receiver = self._receivers.setdefault(packet.boot, Receiver(packet.boot))
            receiver.record(packet)
            self.packets.append(packet)
            self._dispatch.on_ack(receiver.ack(16), boot_clock_ns())

    def report(self) -> None: ...

    def check(self) -> None:
        if self.fault:
            raise self.fault

    def stop(self) -> None: ...


@pytest.fixture
def configure(tmp_path: Path, bundle: Bundle, pictures: Path) -> Callable[..., DeviceConfig]:
    pytest.importorskip("onnxruntime")

    def configure(source: str = "", encoder: str = "") -> DeviceConfig:
        path = tmp_path / "device.toml"
        path.write_text(
            f'[node]\nsite = "yard"\nnode = "cam1"\n[bundle]\npath = "{bundle.path}"\n'
            "unsigned = true\n"
            f'[outbox]\npath = "outbox"\nram_path = "ram"\n[sending]\nstart_within_s = 0.0\n'
            f'[drift]\nreference = "none"\n[encoder]\nruntime = "onnxruntime"\n{encoder}\n'
            f'[source]\nkind = "folder"\npath = "{pictures}"\ndrain_s = 0.2\n{source}\n'
        )
        return load(path, DeviceConfig)

    return configure


def test_a_folder_is_captured_delivered_and_accounted_for(
    configure: Callable[..., DeviceConfig], bundle: Bundle, log: Log, events: Events
) -> None:
    network = Network()
    agent.run(configure(), threading.Event(), log, network)
    assert [p.seq for p in network.packets] == [0, 1, 2, 3]
    codec = bundle.codec
    for n, packet in enumerate(network.packets):
        assert (packet.bundle, packet.layers, packet.geometry) == (codec.wire_id, 1, 0)
        assert packet.level == bundle.manifest.default_level == 1
        shape = (codec.channels, *bundle.latent_shape(packet))
        decoded = stream.decode(packet.payload, bundle.models[1], shape)
        assert decoded.whole == codec.channels
        assert (decoded.planes == max(40 * n - 128, -127)).all()
    assert abs(network.packets[0].captured * 10_000_000 - boot_clock_ns()) < 60e9
    started, stopped = events()
    assert (started["event"], started["runtime"]) == ("started", "onnxruntime")
    assert stopped["ledger"] == {"captured": 4, "stored": 4, "dropped": {}, "pending": 0}


def test_what_could_not_be_sent_is_the_next_runs_backlog(
    configure: Callable[..., DeviceConfig], log: Log, events: Events
) -> None:
    agent.run(configure(), threading.Event(), log, Network(reachable=False))
    assert [e["event"] for e in events()] == ["started", "drain_ended", "stopped"]
    assert events()[1]["waiting"] == 4
    network = Network()
    agent.run(configure("limit = 2"), threading.Event(), log, network)
    assert len(network.packets) == 6
    assert len({p.boot for p in network.packets}) == 2
    assert events()[-1]["ledger"] == {"captured": 6, "stored": 6, "dropped": {}, "pending": 0}


def test_a_budget_holds_every_packet(
    configure: Callable[..., DeviceConfig], bundle: Bundle, log: Log
) -> None:
    network = Network()
    config = configure(encoder="level = 0\nbudget_bytes = 35")
    agent.run(config, threading.Event(), log, network)
    assert [p.layers for p in network.packets] == [2] * 4
    assert max(len(pack(p)) for p in network.packets) == 34


def test_birth_and_health_say_what_the_contract_demands(
    configure: Callable[..., DeviceConfig], bundle: Bundle, log: Log
) -> None:
    network = Network()
    agent.run(configure(), threading.Event(), log, network)
    birth = network.told["birth"]()
    assert birth["bundle"] == bundle.codec.id
    assert birth["wire_bundle"] == bundle.codec.wire_id
    assert birth["boot"] == network.packets[0].boot
    assert abs(birth["booted_unix_ns"] + boot_clock_ns() - time.time_ns()) < 1e9
    assert birth["clock"] in ("synchronised", "unknown")
    assert isinstance(clock_is_synchronised(), bool)
    health = network.told["health"]()
    assert health["frames"] == 4
    assert health["ledger"]["stored"] == 4
    assert health["outbox_packets"] == 0


def test_geometries_are_chosen_by_name(
    configure: Callable[..., DeviceConfig], bundle: Bundle, log: Log
) -> None:
    network = Network()
    config = configure(encoder='geometry = "32x32"')
    agent.run(config, threading.Event(), log, network)
    assert {p.geometry for p in network.packets} == {1}
    with pytest.raises(ConfigError, match=r"geometry 9x9 is not in .*; choose from 24x16, 32x32"):
        find_geometry(bundle, "9x9")


@pytest.mark.parametrize(
    ("change", "code"), [("pictures", 5), ("bundle", 4), ("outbox", 8)], ids=str
)
def test_what_is_missing_ends_the_run_with_its_exit_code(
    configure: Callable[..., DeviceConfig], tmp_path: Path, log: Log, change: str, code: int
) -> None:
    config = configure()
    (tmp_path / "file").write_text("")
    places = {"pictures": "source", "bundle": "bundle", "outbox": "outbox"}
    section = getattr(config, places[change]).model_copy(update={"path": tmp_path / "file"})
    with pytest.raises(TacticError) as caught:
        agent.run(config.model_copy(update={places[change]: section}), threading.Event(), log)
    assert caught.value.exit_code == code
    assert "\n" not in str(caught.value)


def test_a_fault_of_the_sending_thread_ends_the_run(
    configure: Callable[..., DeviceConfig], log: Log, events: Events
) -> None:
    network = Network()
    network.fault = OutboxError("disk gone")
    with pytest.raises(OutboxError, match="disk gone"):
        agent.run(configure(), threading.Event(), log, network)
    assert events()[-1]["event"] == "stopped"


def test_a_picture_that_breaks_on_the_way_is_a_source_error(
    configure: Callable[..., DeviceConfig], pictures: Path, log: Log, events: Events
) -> None:
    (pictures / "2.png").write_bytes(b"broken")
    with pytest.raises(SourceError):
        agent.run(configure(), threading.Event(), log, Network())
    assert events()[-1]["ledger"]["stored"] == 2


def test_a_level_is_one_that_the_bundle_declares(bundle: Bundle) -> None:
    assert [find_level(bundle, wanted) for wanted in (None, 0, 2)] == [1, 0, 2]
    with pytest.raises(ConfigError, match=r"encoder.level 3 is not in .* choose from 0 to 2"):
        find_level(bundle, 3)


def test_an_encoder_of_another_shape_is_refused(bundle: Bundle) -> None:
    class Wrong:
        def encode(self, _: Any) -> Any:
            return np.zeros((4, 4, 6), np.int8)

    with pytest.raises(TacticError, match=r"encoder gives int8 \(4, 4, 6\)"):
        Coder(bundle, Wrong(), 0, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_node_cleanly_without_a_broker(
    configure: Callable[..., DeviceConfig], tmp_path: Path, number: signal.Signals
) -> None:
    configure("loop = true\nfps = 20.0\n[mqtt]\nport = 1")
    program = (
        "import sys; from pathlib import Path; from tactic_device.agent import main; "
        "sys.exit(main(Path(sys.argv[1])))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(tmp_path / "device.toml")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as node:
        assert node.stdout is not None
        assert node.stderr is not None
        assert '"started"' in node.stdout.readline()
        assert '"mqtt_down"' in node.stdout.readline()
        time.sleep(0.3)
        node.send_signal(number)
        assert node.wait(10) == 0
        assert '"stopped"' in node.stdout.read()
        assert node.stderr.read() == ""
