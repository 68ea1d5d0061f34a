"""A node as an operator's command sees it."""

from __future__ import annotations

from pathlib import Path

from paho.mqtt.client import MQTTMessage

from tactic_gateway.config import Bundles, Gateway, GatewayConfig, StoreSection
from tactic_gateway.remote import Remote


def test_a_topic_that_is_no_text_is_let_go(tmp_path: Path) -> None:
    config = GatewayConfig(
        gateway=Gateway(site="lab"),
        bundles=Bundles(paths=(tmp_path,), unsigned=True),
        store=StoreSection(path=tmp_path / "gateway.db"),
    )
    node = Remote(config, "cam1")
    for topic in (b"\xff/res", b"tactic/v1/lab/cam1/res"):
        message = MQTTMessage(topic=topic)
        message.payload = topic
        node._on_message(node._client, None, message)
    assert node._heard.get_nowait() == b"tactic/v1/lab/cam1/res"
    assert node._heard.empty()
