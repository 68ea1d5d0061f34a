"""From an MQTT message to something the store takes. Pure: no I/O, no clock."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, TypeGuard

from tactic_codec.errors import PacketError
from tactic_codec.node_key import Purpose
from tactic_codec.packet import MAX_PACKET_BYTES
from tactic_gateway.keys import Keys
from tactic_gateway.records import Arrival, Birth, Ledger
from tactic_gateway.topics import Topics

MAX_JSON_BYTES = 65536
#: The longest payload that any topic takes.
MAX_PAYLOAD_BYTES = MAX_PACKET_BYTES
_UINT32 = 1 << 32
_INT64 = 1 << 62
_MAX_REASONS = _MAX_ALARMS = 32
_REASON = re.compile(r"[a-z_]{1,32}")


@dataclass(frozen=True, slots=True)
class Message:
    """What the broker delivered.

    Attributes
    ----------
    topic : str
    payload : bytes
    received_ns : int
        Unix time.
    answer_bytes : int or None
        How long an acknowledgement may be, as a bridge said with it; None: it said nothing.
    """

    topic: str
    payload: bytes
    received_ns: int
    answer_bytes: int | None = None


class RejectError(ValueError):
    """A message that is not stored; its text is the reason under which it is counted."""


def read(message: Message, topics: Topics, keys: Keys) -> Arrival | Birth | Ledger:
    """Check a message, open it if it is sealed, and take it apart.

    Raises
    ------
    RejectError
        ``topic``, ``birth``, ``health``, or the reason of a `PacketError`.
    """
    place = topics.parse(message.topic)
    if place is None:
        raise RejectError("topic")
    node, kind = place
    if kind == "f":
        return _arrival(node, message, keys)
    if kind == "birth":
        return _birth(node, message.payload, keys)
    if kind == "health":
        return _ledger(node, message, keys)
    raise RejectError("topic")


def _arrival(node: str, message: Message, keys: Keys) -> Arrival:
    try:
        packet, raw = keys.open(node, message.payload)
    except PacketError as fault:
        raise RejectError(fault.reason) from fault
    return Arrival(node, packet, raw, message.received_ns)


def _birth(node: str, payload: bytes, keys: Keys) -> Birth:
    text, body = _json(payload, "birth")
    boot, booted_unix_ns = body.get("boot"), body.get("booted_unix_ns")
    if not _is_number(boot, _UINT32):
        raise RejectError("birth")
    _check_proof(node, Purpose.BIRTH, body, keys)
    known = body.get("clock") == "synchronised" and _is_number(booted_unix_ns, _INT64)
    return Birth(node, boot, booted_unix_ns if known else None, text)


def _ledger(node: str, message: Message, keys: Keys) -> Ledger:
    _, body = _json(message.payload, "health")
    _check_proof(node, Purpose.HEALTH, body, keys)
    boot, waiting, ledger = (body.get(key) for key in ("boot", "outbox_packets", "ledger"))
    if not isinstance(ledger, dict) or not _is_number(boot, _UINT32):
        raise RejectError("health")
    dropped = ledger.get("dropped")
    if not isinstance(dropped, dict) or len(dropped) > _MAX_REASONS:
        raise RejectError("health")
    if not all(_REASON.fullmatch(reason) for reason in dropped):
        raise RejectError("health")
    return Ledger(
        node,
        boot,
        message.received_ns,
        captured=_count(ledger, "captured"),
        stored=_count(ledger, "stored"),
        pending=_count(ledger, "pending"),
        dropped={reason: _count(dropped, reason) for reason in dropped},
        waiting=waiting if _is_number(waiting, _INT64) else None,
        alarms=_alarms(body.get("alarms")),
    )


def _alarms(names: object) -> tuple[str, ...]:
    """What a node says is wrong with it; what is no name is let go."""
    if not isinstance(names, list):
        return ()
    known = {n for n in names[:_MAX_ALARMS] if isinstance(n, str) and _REASON.fullmatch(n)}
    return tuple(sorted(known))


def _count(counts: dict[str, Any], name: str) -> int:
    count = counts.get(name)
    if not _is_number(count, _INT64):
        raise RejectError("health")
    return count


def _json(payload: bytes, reason: str) -> tuple[str, dict[str, Any]]:
    """Text and content of a JSON object, or the reason to reject it."""
    if len(payload) > MAX_JSON_BYTES:
        raise RejectError(reason)
    try:
        # json.loads would also read UTF-16 and lone surrogates, which no text column takes.
        text = payload.decode("utf-8")
        body = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise RejectError(reason) from fault
    if not isinstance(body, dict):
        raise RejectError(reason)
    return text, body


def _check_proof(node: str, purpose: Purpose, body: dict[str, Any], keys: Keys) -> None:
    try:
        if key := keys.of(node):
            key.check_proof(purpose, body)
    except PacketError as fault:
        raise RejectError(fault.reason) from fault


def _is_number(value: object, limit: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < limit
