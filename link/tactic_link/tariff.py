"""What a link costs: money by its price list, energy by its transmitter."""

from __future__ import annotations

from tactic_link.channel import Meter
from tactic_link.preset import Preset

_MEGABYTE = 1e6
_MONTH_S = 30.4375 * 86400.0


def cost_usd(preset: Preset, meter: Meter, seconds: float, subscriptions: int = 1) -> float:
    """Price of what a meter counted.

    Parameters
    ----------
    preset : Preset
    meter : Meter
    seconds : float
        Time for which monthly fees are shared out.
    subscriptions : int
        How many monthly fees are paid.
    """
    price = preset.price
    counted = (
        (price.message, meter.messages),
        (price.megabyte, sum(meter.bytes.values()) / _MEGABYTE),
        (price.credit, meter.credits),
        (price.session, meter.sessions),
        (price.month, subscriptions * seconds / _MONTH_S),
    )
    return sum(figure.base * amount for figure, amount in counted if figure)


def energy_j(preset: Preset, meter: Meter) -> float:
    """Energy that the node spends on sending."""
    return preset.transmit.base * meter.airtime_ns / 1e9
