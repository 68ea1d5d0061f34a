"""Nodes that keep to budgets of their own, with the rate control of the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from tactic_codec.nest import chain
from tactic_delivery.allowance import Allowance, Budgets
from tactic_delivery.datagrams import cut
from tactic_delivery.rate import RateControl
from tactic_delivery.schedule import Schedule
from tactic_link.channel import air_ns
from tactic_link.preset import Preset
from tactic_link.traces import Setting
from tactic_link.windows import S

#: as the device's own default
DELAY_NS = 60 * S


@dataclass(frozen=True, slots=True)
class Rated:
    """What nodes may spend, and how they may code.

    Attributes
    ----------
    budgets : Budgets
        Of each node.
    coarser : tuple of Setting
        Beside the setting that is simulated, from fine to coarse, of the same photos.
    coarsest : int or None
        The last level that :meth:`beside` adds; None: that of the codec.
    alarms : float
        Share of the frames that are alarms.
    schedule : Schedule or None
        Contacts that the nodes know beforehand.
    """

    budgets: Budgets
    coarser: tuple[Setting, ...] = ()
    coarsest: int | None = None
    alarms: float = 0.0
    schedule: Schedule | None = None

    def beside(self, setting: Setting, settings: Sequence[Setting]) -> Rated:
        """The same with the coarser levels of a setting's chain, as its encoder gives them."""
        level = setting.knobs.get("level")
        if level is None:
            return replace(self, coarser=())
        whole = {
            each.knobs["level"]: each
            for each in settings
            if each.codec == setting.codec and each.knobs["share"] == 1
        }
        last = max(whole) if self.coarsest is None else self.coarsest
        chained = [other for other in range(level + 1, last + 1) if chain(other) == chain(level)]
        return replace(self, coarser=tuple(whole[other] for other in chained if other in whole))

    def begin(self, preset: Preset, levels: Sequence[int]) -> tuple[Allowance, RateControl]:
        """State machines of one node."""

        @lru_cache(maxsize=4096)
        def airtime_ns(size_bytes: int) -> int:
            if preset.bearer == "ip":
                return air_ns(preset.up, size_bytes)
            parts = cut(bytes(size_bytes), int(preset.up.mtu.base))
            return sum(air_ns(preset.up, len(part)) for part in parts)

        allowance = Allowance(self.budgets, airtime_ns, DELAY_NS)
        return allowance, RateControl(levels, allowance, self.schedule)
