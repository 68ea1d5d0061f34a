"""From an MQTT message to something the store takes. Pure: no I/O, no clock."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tactic_codec.errors import PacketError
from tactic_codec.packet import MAX_PACKET_BYTES
from tactic_gateway.keys import Keys
from tactic_gateway.records import Arrival, Birth
from tactic_gateway.topics import Topics

MAX_BIRTH_BYTES = 65536
#: The longest payload that any topic takes.
MAX_PAYLOAD_BYTES = MAX_PACKET_BYTES
_UINT32 = 1 << 32


@dataclass(frozen=True, slots=True)
class Message:
    """What the broker delivered; ``received_ns`` is Unix time."""

    topic: str
    payload: bytes
    received_ns: int


class RejectError(ValueError):
    """A message that is not stored; its text is the reason under which it is counted."""


def read(message: Message, topics: Topics, keys: Keys) -> Arrival | Birth:
    """Check a message, open it if it is sealed, and take it apart.

    Raises
    ------
    RejectError
        ``topic``, ``birth``, or the reason of a `PacketError`.
    """
    place = topics.parse(message.topic)
    if place is None:
        raise RejectError("topic")
    node, kind = place
    if kind == "f":
        return _arrival(node, message, keys)
    if kind == "birth":
        return _birth(node, message.payload)
    raise RejectError("topic")


def _arrival(node: str, message: Message, keys: Keys) -> Arrival:
    try:
        packet, raw = keys.open(node, message.payload)
    except PacketError as fault:
        raise RejectError(fault.reason) from fault
    return Arrival(node, packet, raw, message.received_ns)


def _birth(node: str, payload: bytes) -> Birth:
    try:
        if len(payload) > MAX_BIRTH_BYTES:
            raise RejectError("birth")
        # json.loads would also read UTF-16 and lone surrogates, which no text column takes.
        text = payload.decode("utf-8")
        body = json.loads(text)
        boot, booted_unix_ns = body["boot"], body.get("booted_unix_ns")
        synchronised = body.get("clock") == "synchronised"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        raise RejectError("birth") from fault
    if not _is_number(boot, _UINT32):
        raise RejectError("birth")
    known = synchronised and _is_number(booted_unix_ns, 1 << 63)
    return Birth(node, boot, booted_unix_ns if known else None, text)


def _is_number(value: object, limit: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < limit
