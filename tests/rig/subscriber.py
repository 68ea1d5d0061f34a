"""An application that reads results: one JSON line for each, whatever becomes of the broker.

Arguments: the port of the broker.
"""

from __future__ import annotations

import json
import sys

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion


def say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def on_message(_client: Client, _data: object, message: MQTTMessage) -> None:
    result = json.loads(message.payload)
    say(event="result", boot=result["boot"], seq=result["seq"])


def main(port: int) -> None:
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_connect = lambda c, *_: c.subscribe("tactic/v1/+/+/result/#", 1)
    client.on_message = on_message
    client.reconnect_delay_set(1, 2)
    client.connect_async("127.0.0.1", port)
    say(event="running")
    client.loop_forever(retry_first_connection=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
