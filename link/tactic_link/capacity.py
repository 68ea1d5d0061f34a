"""What a link can carry at best: volumes, and how long one frame takes on it."""

from __future__ import annotations

from tactic_delivery.datagrams import CONTINUATION_BYTES
from tactic_link.channel import air_ns
from tactic_link.preset import Always, Cycle, Preset, Way

_S = 1e9
#: what MQTT 5 adds to a packet: a PUBLISH with a topic alias
PUBLISH_BYTES = 11


def volume_bytes(preset: Preset, contact_s: float, fair_use: bool = False) -> float:
    """Most bytes that the node can send in so many seconds of contact, nothing lost.

    Of datagrams of full size, only what they carry counts; of IP, every bit of the rate.

    Parameters
    ----------
    preset : Preset
    contact_s : float
    fair_use : bool
        Keep to the optional budgets as well.
    """
    up = preset.up
    if preset.bearer == "ip" and up.rate:
        return up.rate.base / 8.0 * contact_s * airtime_share(preset, fair_use)
    size_bytes = up.mtu.base
    airtime_s = contact_s * airtime_share(preset, fair_use)
    return size_bytes * airtime_s / (air_ns(up, int(size_bytes)) / _S)


def frame_airtime_s(preset: Preset, packet_bytes: int) -> float:
    """How long a packet takes on air, with every header."""
    up = preset.up
    if preset.bearer == "ip":
        return air_ns(up, packet_bytes + PUBLISH_BYTES) / _S
    most = int(up.mtu.base)
    whole, rest = divmod(max(0, packet_bytes - most), most - CONTINUATION_BYTES)
    total_ns = air_ns(up, min(packet_bytes, most)) + whole * air_ns(up, most)
    return (total_ns + (air_ns(up, rest + CONTINUATION_BYTES) if rest else 0)) / _S


def contact_share(preset: Preset) -> float | None:
    """Share of the time in which there is contact; None where it has to be computed."""
    if isinstance(preset.contact, Always):
        return 1.0
    if isinstance(preset.contact, Cycle):
        return preset.contact.on.base / (preset.contact.on.base + preset.contact.off.base)
    return None


def round_trip_s(preset: Preset) -> float:
    """A small packet there and its acknowledgement back, nothing waiting."""
    there = air_ns(preset.up, 22) + preset.up.delay.ns
    back = air_ns(preset.way(Way.DOWN), 16) + preset.down.delay.ns
    wait = preset.answers.delay.ns if preset.answers else 0
    return (there + wait + back) / _S


def airtime_share(preset: Preset, fair_use: bool) -> float:
    """Share of the time of contact in which the node may send, by its budgets."""
    held = [b for b in preset.budgets if fair_use or not b.optional]
    return min([1.0, *(b.airtime.base / b.window.base for b in held)])
