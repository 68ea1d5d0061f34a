"""The node's figures for Prometheus, over HTTP on a port of its own. Optional."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from tactic_codec.errors import ConfigError
from tactic_device.config import MetricsSettings

Facts = Callable[[], dict[str, Any]]

_COUNTERS = {
    "frames": "Frames of the source since the node started.",
    "payload_bytes": "Bytes of their payloads.",
    "sent_packets": "Packets sent, those sent again included.",
    "sent_bytes": "Their bytes.",
    "sent_again": "Packets sent again because nothing acknowledged them in time.",
    "acks": "Acknowledgements taken.",
    "acks_rejected": "Acknowledgements that made no sense.",
}
_GAUGES = {
    "outbox_bytes": "Bytes of the outbox on the disk.",
    "outbox_memory_bytes": "Bytes of the outbox in memory.",
    "outbox_packets": "Packets without an acknowledgement.",
    "temperature_c": "Temperature of the hottest zone, degrees Celsius.",
}
_DRIFT = {
    "distance": "How far the latest frames are from the reference.",
    "limit": "Distance at which the drift alarm rises.",
    "bits": "Bits a symbol that they would take under the reference.",
}


class Endpoint:
    """Serves the figures while it is open, as a context manager.

    Parameters
    ----------
    settings : MetricsSettings
        Without a port nothing is served.
    facts : callable
        Gives the figures; called from another thread.

    Raises
    ------
    ConfigError
        The package is missing, or the port is taken.
    """

    def __init__(self, settings: MetricsSettings, facts: Facts) -> None:
        self._facts = facts
        self._server: Any = None
        self._thread: Any = None
        if settings.port is None:
            return
        try:
            import prometheus_client
        except ImportError as fault:
            raise ConfigError(
                "metrics.port needs a package: pip install prometheus-client, or remove it"
            ) from fault
        registry = prometheus_client.CollectorRegistry(auto_describe=False)
        registry.register(self)
        prometheus_client.ProcessCollector(registry=registry)
        try:
            self._server, self._thread = prometheus_client.start_http_server(
                settings.port, settings.host, registry
            )
        except OSError as fault:
            raise ConfigError(
                f"metrics: {settings.host}:{settings.port}: {fault.strerror}; choose another port"
            ) from fault

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    @property
    def port(self) -> int | None:
        """Where it listens; None where it does not."""
        return self._server.server_port if self._server else None

    def collect(self) -> Iterator[Any]:
        """Yield metric families, as prometheus_client asks for them."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        facts = self._facts()
        for name, text in _COUNTERS.items():
            yield CounterMetricFamily(f"tactic_{name}", text, value=facts.get(name, 0))
        for name, value, text in _gauges(facts):
            yield GaugeMetricFamily(f"tactic_{name}", text, value=value)
        ledger = facts["ledger"]
        states = GaugeMetricFamily("tactic_ledger", "Frames of the ledger.", labels=["state"])
        for state in ("captured", "stored", "pending"):
            states.add_metric([state], ledger[state])
        yield states
        dropped = CounterMetricFamily("tactic_dropped", "Frames given up.", labels=["reason"])
        for reason, count in ledger["dropped"].items():
            dropped.add_metric([reason], count)
        yield dropped
        alarms = GaugeMetricFamily("tactic_alarm", "Alarms that hold now.", labels=["name"])
        for name in facts["alarms"]:
            alarms.add_metric([name], 1)
        yield alarms


def _gauges(facts: Mapping[str, Any]) -> Iterator[tuple[str, float, str]]:
    """What is known now; a figure that the machine does not have is left out."""
    for name, text in _GAUGES.items():
        if (value := facts.get(name)) is not None:
            yield name, value, text
    for name, text in _DRIFT.items():
        if (value := facts["drift"].get(name)) is not None:
            yield f"drift_{name}", value, text
