"""Sealed packets: what anybody else made, changed or moved does not open; no nonce comes twice."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tactic_codec import node_key
from tactic_codec.errors import ConfigError, PacketError
from tactic_codec.node_key import (
    OVERHEAD_BYTES,
    SALT_BYTES,
    NodeKey,
    Purpose,
    read_key,
    wire_bytes,
)
from tactic_codec.packet import HEADER_BYTES, Kind, Packet, pack, unpack

#: boots; `TACTIC_NONCES=1000000` is the full run, which takes a minute.
NONCES = int(os.environ.get("TACTIC_NONCES", "20000"))
SECRET = bytes(range(32))
FRAME = Packet(Kind.FRAME, 0x2ABC, 7, b"picture" * 20, 0xBEEF, 1234, layers=2)

UINT32 = st.integers(0, 2**32 - 1)


def key(node: str = "cam1", site: str = "yard", secret: bytes = SECRET) -> NodeKey:
    return NodeKey(secret, site, node)


@given(UINT32, UINT32, st.binary(max_size=200), st.sampled_from([Kind.FRAME, Kind.DROP]))
def test_what_is_sealed_opens_at_the_other_end(
    boot: int, pkt: int, payload: bytes, kind: Kind
) -> None:
    packet = Packet(kind, boot, pkt, payload, priority=3, level=2)
    data = pack(key().seal(packet))
    assert len(data) == HEADER_BYTES + len(payload) + OVERHEAD_BYTES
    opened = key().unpack(data)
    assert opened == dataclasses.replace(packet, sealed=True)
    assert wire_bytes(pack(opened)) == len(data)
    assert wire_bytes(pack(packet)) == len(pack(packet))
    with pytest.raises(PacketError) as caught:
        unpack(data)
    assert caught.value.reason == "sealed"


def test_the_payload_cannot_be_read() -> None:
    assert b"picture" not in pack(key().seal(FRAME))


def test_only_this_node_of_this_site_with_this_secret() -> None:
    data = pack(key().seal(FRAME))
    for other in (key("cam2"), key(site="lab"), key(secret=bytes(32))):
        with pytest.raises(PacketError) as caught:
            other.unpack(data)
        assert caught.value.reason == "forged"
    with pytest.raises(PacketError) as caught:
        key().unpack(pack(FRAME))
    assert caught.value.reason == "sealed"


def test_every_field_of_the_header_is_authenticated() -> None:
    sealed = key().seal(FRAME)
    changes = {"boot": 1, "pkt": 1, "bundle": 1, "captured": 1, "priority": 0, "level": 1}
    changes |= {"geometry": 1, "layers": 1, "kind": Kind.DROP}
    for name, value in changes.items():
        with pytest.raises(PacketError) as caught:
            key().unpack(pack(dataclasses.replace(sealed, **{name: value})))  # type: ignore[arg-type]
        assert caught.value.reason == "forged", name


def test_no_changed_bit_opens() -> None:
    sealed = key().seal(dataclasses.replace(FRAME, payload=b"x"))
    for at in range(len(sealed.payload) * 8):
        payload = bytearray(sealed.payload)
        payload[at // 8] ^= 1 << at % 8
        with pytest.raises(PacketError) as caught:
            key().unseal(dataclasses.replace(sealed, payload=bytes(payload)))
        assert caught.value.reason == "forged"
    for size in range(len(sealed.payload)):
        with pytest.raises(PacketError):
            key().unseal(dataclasses.replace(sealed, payload=sealed.payload[:size]))


def test_a_tag_is_good_for_one_purpose_one_node_and_one_body() -> None:
    body = b"acknowledged"
    signed = key().sign(Purpose.ACK, body)
    assert key().open(Purpose.ACK, signed) == body
    bad = [key("cam2").sign(Purpose.ACK, body), signed[:-1], signed + b"\0", b"", body]
    bad += [key().sign(each, body) for each in Purpose if each is not Purpose.ACK]
    bad += [bytes([signed[0] ^ 1]) + signed[1:]]
    for message in bad:
        with pytest.raises(PacketError, match="forged"):
            key().open(Purpose.ACK, message)


@pytest.mark.parametrize("nested", [[], [1, {"b": "ä", "a": [None, 1.5]}]])
def test_a_message_that_others_read_carries_its_proof(nested: list[Any]) -> None:
    body = {"boot": 7, "clock": "synchronised", "more": nested}
    proved = json.loads(json.dumps(key().prove(Purpose.BIRTH, body)))
    assert {name: proved[name] for name in body} == body
    key().check_proof(Purpose.BIRTH, proved)
    key().check_proof(Purpose.BIRTH, dict(reversed(proved.items())))
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    changed = [body, proved | {"boot": 8}, proved | {"new": 1}, proved | {"proof": 1}]
    changed += [proved | {"proof": "ä"}, proved | {"proof": ""}, {"proof": proved["proof"]}]
    changed += [key("cam2").prove(Purpose.BIRTH, body), key().prove(Purpose.HEALTH, body)]
    changed += [proved | {"more": deep}]
    for bad in changed:
        with pytest.raises(PacketError, match="forged"):
            key().check_proof(Purpose.BIRTH, bad)


def runs(rng: Random) -> Iterator[tuple[int, NodeKey]]:
    """Starts of a node at its worst: the counter is lost each time, and the card was cloned.

    Only 12 random bits then tell one boot from the other: each of them comes again and again.
    """
    while True:
        yield 1 << 12 | rng.getrandbits(12), key()


def test_no_nonce_comes_twice_under_one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[tuple[bytes, bytes]] = set()
    boots = []

    class Recorder:
        """In the place of the cipher: the key and the nonces that it is given."""

        def __init__(self, secret: bytes) -> None:
            self._secret = secret

        def encrypt(self, nonce: bytes, data: bytes, _associated: bytes) -> bytes:
            used.add((self._secret, nonce))
            return data

    ciphers = "cryptography.hazmat.primitives.ciphers.aead.ChaCha20Poly1305"
    monkeypatch.setattr(ciphers, Recorder)
    for boot, sealer in runs(Random(5)):
        for pkt in range(2):
            sealer.seal(Packet(Kind.FRAME, boot, pkt))
        boots.append(boot)
        if len(boots) == NONCES:
            break
    assert len(set(boots)) <= 4096
    assert len(used) == 2 * NONCES


def test_the_salt_of_a_run_is_random_and_travels() -> None:
    salts = {key().seal(FRAME).payload[:SALT_BYTES] for _ in range(100)}
    assert len(salts) == 100
    sealer = key()
    first, second = (sealer.seal(dataclasses.replace(FRAME, pkt=n)).payload for n in (1, 2))
    assert first[:SALT_BYTES] == second[:SALT_BYTES]
    assert first[SALT_BYTES:] != second[SALT_BYTES:]


def test_a_stranger_cannot_make_the_gateway_remember_without_end() -> None:
    gateway, rng = key(), Random(1)
    good = key().seal(FRAME)
    for _ in range(2 * node_key._MOST_RUNS):
        with pytest.raises(PacketError):
            gateway.unseal(dataclasses.replace(good, payload=rng.randbytes(40)))
    assert len(gateway._runs) <= node_key._MOST_RUNS
    assert gateway.unseal(good).payload == FRAME.payload


def test_a_key_file_is_read_only_if_it_is_one_and_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "cam1.key"
    with pytest.raises(ConfigError, match="node-key makes a key file"):
        read_key(path)
    path.write_text(SECRET.hex() + "\n")
    path.chmod(0o600)
    assert read_key(path) == SECRET
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(ConfigError, match="others may read this key; chmod 600"):
            read_key(path)
    path.chmod(0o600)
    for text in ("", SECRET.hex()[:-2], SECRET.hex() + "00", "z" * 64, "ß" * 32):
        path.write_text(text)
        with pytest.raises(ConfigError, match="not a key of 64 hexadecimal digits") as caught:
            read_key(path)
        assert not text or text[:8] not in str(caught.value)
