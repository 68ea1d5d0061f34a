"""Frames that a gateway stores and acknowledges, nothing decoded; for ``gateway.py``."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tactic.demo import broker as brokers
from tactic_codec.broker import Mqtt
from tactic_codec.packet import Kind, Packet, pack
from tactic_delivery import ack
from tactic_gateway.condition import Condition
from tactic_gateway.ingest import Ingest
from tactic_gateway.keys import Keys
from tactic_gateway.log import Log
from tactic_gateway.metrics import Metrics
from tactic_gateway.mqtt import Broker
from tactic_gateway.reader import Message
from tactic_gateway.store import Store
from tactic_gateway.topics import Topics

TOPICS = Topics("tactic/v1", "bench")
NODES, PAYLOAD_BYTES, WIRE = 4, 1180, 1
INGEST_FRAMES, MQTT_FRAMES = 20_000, 10_000
IN_FLIGHT = 64


def quiet() -> Log:
    return Log(io.StringIO())


def frame(node: str, pkt: int, payload: bytes) -> Message:
    raw = pack(Packet(Kind.FRAME, 1 << 12, pkt, payload, bundle=WIRE))
    return Message(TOPICS.of(node, "f"), raw, time.time_ns())


@contextmanager
def ingesting(folder: Path, publish: Callable[[str, bytes], None]) -> Iterator[Ingest]:
    """An ingest thread with a real store."""
    metrics, path = Metrics(), folder / f"{time.monotonic_ns()}.db"
    with closing(Store(path)) as store:
        store.requeue([WIRE])
        ingest = Ingest(
            store,
            Condition(path, 1 << 20, metrics, quiet()),
            TOPICS,
            Keys(),
            max_backlog=1_000_000_000,
            publish=publish,
            wake=lambda: None,
            metrics=metrics,
            log=quiet(),
        )
        stop = threading.Event()
        thread = threading.Thread(target=ingest.run, args=(stop,))
        thread.start()
        yield ingest
        stop.set()
        thread.join()


def ingest_from_memory(folder: Path) -> dict[str, float]:
    """Frames a second from the network thread's hands to the acknowledgement."""
    payload = Random(1).randbytes(PAYLOAD_BYTES)
    names = [f"cam{n}" for n in range(NODES)]
    messages = [frame(names[n % NODES], n // NODES, payload) for n in range(INGEST_FRAMES)]
    acknowledged: dict[str, int] = {}

    def publish(topic: str, data: bytes) -> None:
        acknowledged[topic] = ack.unpack(data).cumulative

    with ingesting(folder, publish) as ingest:
        begun_s, cpu_s = time.monotonic(), time.process_time()
        for message in messages:
            while ingest._inlet.room == 0:
                time.sleep(0.001)
            ingest.offer(message)
        while sum(acknowledged.values()) < INGEST_FRAMES:
            time.sleep(0.001)
        took_s, busy_s = time.monotonic() - begun_s, time.process_time() - cpu_s
    return {
        "frames_a_second": INGEST_FRAMES / took_s,
        "frames_a_cpu_second": INGEST_FRAMES / busy_s,
    }


def ingest_from_mosquitto(folder: Path) -> dict[str, float] | None:
    """The same through a broker, sent by a process of its own; None without mosquitto."""
    if brokers.mosquitto() is None:
        return None
    with brokers.Broker(folder, "mosquitto") as running:
        mqtt = Broker(
            Mqtt(host="127.0.0.1", port=running.port),
            TOPICS,
            metrics=Metrics(),
            log=quiet(),
            rng=Random(1),
        )
        with ingesting(folder, lambda topic, data: mqtt.publish(topic, data, 0, False)) as ingest:
            ready = threading.Event()
            mqtt.start(ingest.offer, ready.set)
            ready.wait(30)
            time.sleep(0.5)  # the broker has the subscriptions
            command = [sys.executable, __file__, str(running.port)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        mqtt.stop(1.0)
    return {"frames_a_second": MQTT_FRAMES / float(done.stdout)}


def send(port: int) -> None:
    """Publish frames as nodes do, at most so many without an acknowledgement; print the time."""
    payload = Random(1).randbytes(PAYLOAD_BYTES)
    settled = dict.fromkeys([f"cam{n}" for n in range(NODES)], 0)
    changed = threading.Condition()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    subscribed = threading.Event()
    client.on_connect = lambda c, *_: c.subscribe(TOPICS.of("+", "ack"))
    client.on_subscribe = lambda *_: subscribed.set()

    def on_message(_client: Client, _userdata: Any, message: Any) -> None:
        with changed:
            node = message.topic.split("/")[-2]
            settled[node] = max(settled[node], ack.unpack(message.payload).cumulative)
            changed.notify()

    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.loop_start()
    subscribed.wait(30)
    begun_s = time.monotonic()
    each = MQTT_FRAMES // NODES
    sent = dict.fromkeys(settled, 0)
    while min(settled.values()) < each:
        with changed:
            for node, number in sent.items():
                for pkt in range(number, min(each, settled[node] + IN_FLIGHT)):
                    message = frame(node, pkt, payload)
                    client.publish(message.topic, message.payload)
                    sent[node] = pkt + 1
            changed.wait(1.0)
    print(time.monotonic() - begun_s)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":  # the process that sends
    send(int(sys.argv[1]))
