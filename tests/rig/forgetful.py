"""The control of the chaos test: a node that forgets a packet when the broker has answered.

It publishes with QoS 1, keeps what is not answered in files, sends those again after a restart,
and deletes each at its PUBACK: what a careful program without tactic's acknowledgements does.
Arguments: port of the broker, folder, number of frames, frames a second.
"""

from __future__ import annotations

import queue
import sys
import time
from pathlib import Path

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tactic_codec.packet import Kind, Packet, pack

TOPIC = "tactic/v1/lab/forgetful/f"
BOOT = 1
_RETRY_S = 0.2


class Node:
    """Numbers its frames by a counter on disk."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        self._folder = folder
        self._waiting: dict[int, Path] = {}
        self._answered: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._client = Client(
            CallbackAPIVersion.VERSION2, "forgetful", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.max_inflight_messages_set(64)
        self._client.on_publish = lambda _client, _data, mid, *_: self._answered.put(mid)

    def run(self, frames: int, fps: float) -> None:
        """Capture until there are as many frames as asked for, over all runs; then drain."""
        self._connect()
        kept = sorted(self._folder.glob("*.packet"))
        done, new = self._folder / "captured", self._folder / "captured.new"
        first = int(done.read_text()) if done.exists() else 0
        for path in kept:
            self._send(path)
        for number in range(first, frames):
            path = self._folder / f"{number:08d}.packet"
            path.write_bytes(pack(Packet(Kind.FRAME, BOOT, number, number.to_bytes(8, "little"))))
            new.write_text(str(number + 1))
            new.replace(done)
            self._send(path)
            time.sleep(1 / fps)
            self._forget()
        while any(self._folder.glob("*.packet")):
            time.sleep(_RETRY_S)
            self._forget()
        self._client.disconnect()

    def _connect(self) -> None:
        while True:
            try:
                self._client.connect("127.0.0.1", self._port)
            except OSError:
                time.sleep(_RETRY_S)
            else:
                self._client.loop_start()
                return

    def _send(self, path: Path) -> None:
        info = self._client.publish(TOPIC, path.read_bytes(), qos=1)
        self._waiting[info.mid] = path

    def _forget(self) -> None:
        # Here, not where paho says so: that may be before `publish` has returned the number.
        while not self._answered.empty():
            if path := self._waiting.pop(self._answered.get(), None):
                path.unlink(missing_ok=True)


if __name__ == "__main__":
    Node(int(sys.argv[1]), Path(sys.argv[2])).run(int(sys.argv[3]), float(sys.argv[4]))
