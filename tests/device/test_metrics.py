"""The node's figures as Prometheus reads them."""

from __future__ import annotations

import socket
import sys
import urllib.request
from typing import Any

import pytest

from tactic_codec.errors import ConfigError
from tactic_device.config import MetricsSettings
from tactic_device.metrics import Endpoint

FACTS: dict[str, Any] = {
    "frames": 7,
    "payload_bytes": 700,
    "acks": 3,
    "outbox_bytes": 4096,
    "temperature_c": None,
    "ledger": {"captured": 9, "stored": 6, "pending": 2, "dropped": {"gated": 1}},
    "alarms": ["drift"],
    "drift": {"reference": "learnt", "distance": 0.01, "limit": 0.004, "bits": None},
}


def test_every_figure_is_served() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    with Endpoint(MetricsSettings(port=0), lambda: FACTS) as endpoint:
        place = f"http://127.0.0.1:{endpoint.port}/metrics"
        text = urllib.request.urlopen(place).read().decode()
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["tactic_frames_total",] == 7
    assert found["tactic_sent_bytes_total",] == 0
    assert found["tactic_outbox_bytes",] == 4096
    assert found["tactic_ledger", "captured"] == 9
    assert found["tactic_dropped_total", "gated"] == 1
    assert found["tactic_alarm", "drift"] == 1
    assert found["tactic_drift_limit",] == 0.004
    assert ("tactic_temperature_c",) not in found
    assert found["process_resident_memory_bytes",] > 0


def test_nothing_is_served_unless_asked() -> None:
    with Endpoint(MetricsSettings(), dict) as endpoint:
        assert endpoint.port is None


def test_a_port_that_is_taken_is_a_mistake_of_the_configuration() -> None:
    pytest.importorskip("prometheus_client")
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigError, match="choose another port"),
    ):
        Endpoint(MetricsSettings(port=taken.getsockname()[1]), dict)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigError, match="pip install prometheus-client"):
        Endpoint(MetricsSettings(port=0), dict)
