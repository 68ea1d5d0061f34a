"""What a node's own configuration lets it send, for the nodes of a simulation."""

from __future__ import annotations

from pathlib import Path

from tactic_codec.config import load
from tactic_delivery.allowance import Budgets
from tactic_delivery.schedule import Contact, Schedule
from tactic_device.config import DeviceConfig
from tactic_link import windows
from tactic_link.channel import air_ns
from tactic_link.errors import LinkError
from tactic_link.preset import Preset
from tactic_link.rated import Rated

_BLOCK_BYTES = 1000


def rated_by(
    node: Path | None,
    alarms: float,
    preset: Preset,
    contacts: windows.Contacts,
    seconds: float,
) -> Rated | None:
    """Read ``[rate]`` of a node's configuration; None where nothing is to be kept to.

    Where it names a table of passes, the nodes know the contacts of the simulation.

    Raises
    ------
    ConfigError
        The file cannot be used.
    LinkError
        It has no budget.
    """
    if node is None:
        return Rated(Budgets(), alarms=alarms) if alarms else None
    rate = load(node, DeviceConfig).rate
    budgets = rate.budgets
    if budgets is None:
        raise LinkError(f"{node}: [rate] has no budget; give one, or leave out --node")
    schedule = _schedule(preset, contacts, seconds) if rate.passes else None
    return Rated(budgets, (), rate.coarsest, alarms, schedule)


def _schedule(preset: Preset, contacts: windows.Contacts, seconds: float) -> Schedule:
    known = windows.within(contacts, round(seconds * windows.S))
    usual_bps = 8 * _BLOCK_BYTES / air_ns(preset.up, _BLOCK_BYTES) * windows.S
    return Schedule([Contact(w.start_ns, w.end_ns, w.rate_bps or usual_bps) for w in known])
