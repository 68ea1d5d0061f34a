"""The ground bridge: datagrams of nodes to packets on MQTT, acknowledgements back to datagrams."""

from __future__ import annotations

from dataclasses import replace

from tactic_delivery import ack as ack_message
from tactic_delivery.errors import AckError


def trim(raw: bytes, most_bytes: int) -> bytes:
    """Take ranges off the end of an acknowledgement until it fits into a datagram.

    Parameters
    ----------
    raw : bytes
        An acknowledgement; a sealed one, which cannot be read, stays as it is.
    most_bytes : int
    """
    if len(raw) <= most_bytes:
        return raw
    try:
        ack = ack_message.unpack(raw)
    except AckError:
        return raw
    while ack.ranges and len(raw) > most_bytes:
        ack = replace(ack, ranges=ack.ranges[:-1])
        raw = ack_message.pack(ack)
    return raw
