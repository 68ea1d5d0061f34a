"""Which frames are coded, and how: change gating first, then rate control."""

from __future__ import annotations

import time

from tactic_codec.drop import Reason
from tactic_codec.node_key import OVERHEAD_BYTES
from tactic_codec.packet import HEADER_BYTES, Packet
from tactic_delivery.allowance import ALARM, Allowance
from tactic_delivery.rate import Choice, RateControl
from tactic_delivery.skips import Skips
from tactic_device.coder import Coder
from tactic_device.config import LEAST_BUDGET_BYTES, DeviceConfig
from tactic_device.dispatch import Dispatch
from tactic_device.drift import Drift
from tactic_device.health import boot_clock_ns
from tactic_device.ring import Ring
from tactic_device.sources import Shot

#: a packet may wait so long in the network's queues between its booking and its last bit on air
AIR_DELAY_NS = 60_000_000_000


def allowance_of(config: DeviceConfig) -> Allowance | None:
    """What ``[rate]`` lets the link have; None without budgets."""
    budgets = config.rate.budgets
    return Allowance(budgets, config.rate.airtime_ns, AIR_DELAY_NS) if budgets else None


class Admission:
    """Codes a frame, or skips it and sees that it is accounted for.

    Parameters
    ----------
    config : DeviceConfig
    dispatch : Dispatch
    allowance : Allowance or None
        The sender has the same.
    drift : Drift or None
        Looks at every frame.

    Attributes
    ----------
    ring : Ring
        What was left off; whoever numbers a packet tells it.

    Raises
    ------
    ConfigError
        The table of passes cannot be used.
    """

    def __init__(
        self,
        config: DeviceConfig,
        dispatch: Dispatch,
        allowance: Allowance | None,
        drift: Drift | None = None,
    ) -> None:
        self._coarsest = config.rate.coarsest
        self._priority = config.frames.priority
        self._seal_bytes = OVERHEAD_BYTES if config.node.key_file else 0
        self._dispatch = dispatch
        self._drift = drift
        self._gate = config.gating.gate()
        self._skips = Skips()
        self.ring = Ring(config.refine.ring_bytes)
        self._first_layers = config.refine.first_layers
        self._control: RateControl | None = None
        if allowance:
            schedule = config.rate.schedule(time.time_ns() - boot_clock_ns())
            least_bytes = LEAST_BUDGET_BYTES + self._seal_bytes
            self._control = RateControl((0,), allowance, schedule, least_bytes=least_bytes)

    def miss(self, frames: int, now_ns: int) -> None:
        """Account for frames that a camera gave and the node had no time for."""
        self._skips.note(Reason.BUSY, now_ns, frames)

    def told(self, margin: float, now_ns: int) -> None:
        """How far the answer on a frame that was sent is from another one; see `Gate.told`."""
        if self._gate:
            self._gate.told(margin, now_ns)

    def encode(self, coder: Coder, shot: Shot, now_ns: int) -> Packet | None:
        """Make a packet; None where the frame is skipped."""
        for reason, frames in self._skips.due(now_ns):
            self._dispatch.skip(reason, frames)
        latent = coder.latent(shot)
        if self._drift:
            self._drift.look(coder, latent)
        alarm = self._priority >= ALARM
        if self._gate and not alarm and not self._gate.opens(latent, now_ns):
            self._skips.note(Reason.GATED, now_ns)
            return None
        choice = self._choose(coder, now_ns)
        if choice is None:
            self._skips.note(Reason.BUDGET, now_ns)
            return None
        if self._gate:
            self._gate.note(latent, now_ns)
        budget_bytes = choice.budget_bytes
        if budget_bytes is not None:
            budget_bytes -= self._seal_bytes
        packet = self._shorten(coder, coder.code(latent, shot, choice.level, None), budget_bytes)
        if self._control:
            size_bytes = HEADER_BYTES + len(packet.payload) + self._seal_bytes
            # A stream is cut at whole words.
            whole = choice.budget_bytes is None or size_bytes < choice.budget_bytes - 1
            self._control.note(now_ns, choice.level, size_bytes, whole)
        return packet

    def close(self) -> None:
        """Account for the frames that were skipped last."""
        for reason, frames in self._skips.take():
            self._dispatch.skip(reason, frames)

    def _shorten(self, coder: Coder, packet: Packet, budget_bytes: int | None) -> Packet:
        """Leave off the later layers, and what exceeds the budget."""
        if self._first_layers and packet.layers > self._first_layers and self._priority < ALARM:
            beginning_bytes = coder.beginning(packet, self._first_layers)
            budget_bytes = min(beginning_bytes, budget_bytes or beginning_bytes)
        return packet if budget_bytes is None else self.ring.cut(packet, budget_bytes)

    def _choose(self, coder: Coder, now_ns: int) -> Choice | None:
        control = self._control
        if control is None:
            return Choice(coder.level, _sum(coder.budget_bytes, self._seal_bytes))
        # The gateway may have changed both since the last frame.
        last = coder.bundle.codec.levels - 1
        coarsest = last if self._coarsest is None else min(last, self._coarsest)
        # Every other level comes from the same encoder.
        control.levels = tuple(range(coder.level, max(coarsest, coder.level) + 1, 2))
        control.most_bytes = _sum(coder.budget_bytes, self._seal_bytes)
        return control.choose(now_ns, self._priority, self._dispatch.waiting_bytes)


def _sum(budget_bytes: int | None, more_bytes: int) -> int | None:
    return None if budget_bytes is None else budget_bytes + more_bytes
