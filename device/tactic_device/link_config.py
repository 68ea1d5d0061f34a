"""How a node's packets leave it, of `device.toml`: the bearers, what goes first, the budgets."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

from pydantic import Field, model_validator

from tactic_codec import broker
from tactic_codec.config import LocalPath, Section, UdpPlace
from tactic_delivery.allowance import Budgets
from tactic_delivery.datagrams import LEAST_DATAGRAM_BYTES, on_link_bytes
from tactic_delivery.limits import Limits
from tactic_delivery.schedule import Schedule
from tactic_device.passes import read_passes

S = 1_000_000_000

#: on their way at once over a link of datagrams, and so many however much it loses
_DATAGRAM_PACKETS = 8
_LEAST_PACKETS = 4


class Mqtt(broker.Mqtt):
    """The broker, and how often it is told how the node is."""

    health_s: float = Field(default=30.0, ge=0.1)


class Datagram(Section):
    """A link without IP, in the place of the broker: datagrams to the driver of its modem.

    ``send_to`` is the driver; ``listen``, where its datagrams come in if it does not answer to
    where those of the node came from. A datagram carries at most ``mtu_bytes``. The first
    acknowledgement is waited for ``first_timeout_s``, which has to be longer than a round trip;
    into silence, packets are sent one by one, ever more rarely, at last every ``most_timeout_s``.
    ``poll_s`` after a packet that was not answered an empty datagram asks for the answer (0: none).
    """

    send_to: UdpPlace
    listen: UdpPlace | None = None
    mtu_bytes: int = Field(ge=LEAST_DATAGRAM_BYTES, le=65_507)
    first_timeout_s: float = Field(default=30.0, ge=0.5, le=86_400.0)
    most_timeout_s: float = Field(default=3600.0, ge=0.5, le=86_400.0)
    poll_s: float = Field(default=0.0, ge=0.0, le=86_400.0)

    @model_validator(mode="after")
    def _first_is_shorter(self) -> Self:
        if self.first_timeout_s > self.most_timeout_s:
            raise ValueError("first_timeout_s must not be longer than most_timeout_s")
        return self

    @property
    def first_ns(self) -> int:
        """``first_timeout_s`` in nanoseconds."""
        return int(self.first_timeout_s * S)

    @property
    def most_ns(self) -> int:
        """``most_timeout_s`` in nanoseconds."""
        return int(self.most_timeout_s * S)

    def limits(self, sending: Limits, rate_bps: float | None) -> Limits:
        """What the sender has to know of such a link.

        One packet asks whether there is a gateway. What goes at once is also what the driver has
        to take in while its modem sends. A radio loses datagrams without being full, so losses
        hardly slow the node down: what does are budgets, and silence. Where the link's rate is
        known, a second of it may always be on its way.
        """
        return replace(
            sending,
            window_packets=_DATAGRAM_PACKETS,
            first_credit=1,
            probe_ns=self.first_ns,
            first_timeout_ns=self.first_ns,
            most_timeout_ns=self.first_ns,
            least_backlog=_LEAST_PACKETS,
            least_window=_LEAST_PACKETS,
            least_bytes=int(rate_bps / 8) if rate_bps else 0,
        )


class Sending(Section):
    """What goes first.

    While live frames and backlog both wait, at least ``live_share`` of the bytes are live. When a
    gateway or broker returns, the node begins within ``start_within_s``, at random.
    """

    live_share: float = Field(default=0.75, gt=0.0, lt=1.0)
    start_within_s: float = Field(default=2.0, ge=0.0, le=60.0)

    @property
    def limits(self) -> Limits:
        """As the sender takes them."""
        start_within_ns = int(self.start_within_s * 1e9)
        return Limits(live_share=self.live_share, start_within_ns=start_within_ns)


class Rate(Section):
    """What the link may be given; without any budget every frame is sent at one level.

    ``rate_bps``: bits a second, of which ``burst_s`` may go at once. ``duty_cycle``: share of
    airtime in any hour, at ``air_bps`` bits a second on air. ``day_bytes`` and ``day_cost``: in any
    24 hours; the price is ``per_mb`` and ``per_message``, in the currency of ``day_cost``.
    ``overhead_bytes``: what the link adds to each packet, or, where packets are cut into datagrams
    of ``datagram_bytes``, to each of these; ``per_message`` is for each likewise. ``coarsest`` is
    the last level that frames may get before some are skipped. ``alarm_share`` of each budget is
    for alarms only. ``passes``: a table of contacts known beforehand.
    """

    rate_bps: float | None = Field(default=None, gt=0.0)
    burst_s: float = Field(default=10.0, ge=1.0)
    duty_cycle: float | None = Field(default=None, gt=0.0, le=1.0)
    air_bps: float | None = Field(default=None, gt=0.0)
    day_bytes: int | None = Field(default=None, ge=1000)
    day_cost: float | None = Field(default=None, gt=0.0)
    per_mb: float = Field(default=0.0, ge=0.0)
    per_message: float = Field(default=0.0, ge=0.0)
    overhead_bytes: int = Field(default=80, ge=0)
    datagram_bytes: int | None = Field(default=None, ge=LEAST_DATAGRAM_BYTES)
    alarm_share: float = Field(default=0.1, ge=0.0, lt=1.0)
    coarsest: int | None = Field(default=None, ge=0, le=7)
    passes: LocalPath | None = None

    @model_validator(mode="after")
    def _budgets_have_what_they_need(self) -> Self:
        if self.duty_cycle is not None and self.air_bps is None:
            raise ValueError("duty_cycle needs air_bps")
        if self.day_cost is not None and not self.per_mb and not self.per_message:
            raise ValueError("day_cost needs per_mb or per_message")
        return self

    @property
    def budgets(self) -> Budgets | None:
        """As the state machines take them; None where nothing is limited."""
        limits = (self.rate_bps, self.duty_cycle, self.day_bytes, self.day_cost, self.passes)
        if all(limit is None for limit in limits):
            return None
        return Budgets(
            rate_bps=self.rate_bps,
            burst_s=self.burst_s,
            duty_cycle=self.duty_cycle,
            day_bytes=self.day_bytes,
            day_usd=self.day_cost,
            usd_per_mb=self.per_mb,
            usd_per_message=self.per_message,
            overhead_bytes=self.overhead_bytes,
            datagram_bytes=self.datagram_bytes,
            alarm_share=self.alarm_share,
        )

    def airtime_ns(self, size_bytes: int) -> int:
        """Time on air of a packet."""
        assert self.air_bps is not None, "checked beside duty_cycle"
        on_link = on_link_bytes(size_bytes, self.overhead_bytes, self.datagram_bytes)
        return round(8e9 * on_link / self.air_bps)

    def schedule(self, boot_unix_ns: int) -> Schedule | None:
        """Contacts on the clock that counts from the start of the machine.

        Raises
        ------
        ConfigError
            The table cannot be used.
        """
        return read_passes(self.passes, boot_unix_ns) if self.passes else None
