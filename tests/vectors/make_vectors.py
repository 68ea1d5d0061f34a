"""Write the golden files of the wire format: ``python -m vectors.make_vectors`` in ``tests``.

Files of a released version never change; new ones may be added. The test compares what this
script would write with what is stored, and reads every stored file back.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from pathlib import Path

from tactic_codec import drop, packet, stream
from tactic_codec.drop import DropRecord, Reason
from tactic_codec.node_key import NodeKey, Purpose
from tactic_codec.packet import Kind, Packet
from tactic_delivery import ack
from tactic_delivery.ack import Ack
from tactic_delivery.ranges import Range
from vectors import nested, streams
from vectors.streams import Entry, Files, entry_of

FOLDER = Path(__file__).parent / "v1"
TOP = 2**32 - 1


def packets(files: Files) -> list[Entry]:
    """Packets that are accepted, with their fields."""
    whole = stream.encode(streams.latents(), streams.MODEL)
    records = [DropRecord(Reason.FULL, 5, 300), DropRecord(Reason.REPLACED, 1000, 1)]
    good = {
        "frame": ("a frame", Packet(Kind.FRAME, 0x2ABC, 7, whole, 0xBEEF, 1234, layers=2)),
        "frame-cut": (
            "the first 20 bytes of the stream of a frame",
            Packet(Kind.FRAME, 0x2ABC, 8, whole[:20], 0xBEEF, 1234, 3, geometry=1, layers=2),
        ),
        "part": (
            "the rest of the stream that packet 8 opens",
            Packet(Kind.PART, 0x2ABC, 9, whole[20:], 0xBEEF, 8, 3, geometry=1, layers=2),
        ),
        "drop": ("two ranges given up", Packet(Kind.DROP, 0x2ABC, 1001, drop.pack(records))),
        "empty": ("no payload", Packet(Kind.FRAME, 0, 0)),
        "largest-fields": (
            "every field at its highest value",
            Packet(Kind.FRAME, TOP, TOP, b"\xff", 65535, TOP, 3, 7, 7, 4),
        ),
    }
    entries = []
    for name, (meaning, one) in good.items():
        files[f"good/{name}.bin"] = packet.pack(one)
        fields = {k: v for k, v in dataclasses.asdict(one).items() if k != "payload"}
        fields |= {"kind": one.kind.name, "payload_hex": one.payload.hex()}
        entries.append(entry_of(f"good/{name}.bin", "packet", meaning, fields=fields))
    return entries


def bad_packets(files: Files) -> list[Entry]:
    """Packets that are refused, with the reason."""
    frame = files["good/frame.bin"]
    part = files["good/part.bin"]
    bad = {
        "short": ("19 bytes", frame[:19]),
        "version": ("version 2", _with_check(frame, 0, 0b10_000_0_01)),
        "check": ("one bit of the payload differs", frame[:-1] + bytes([frame[-1] ^ 1])),
        "cut": ("the last byte is missing", frame[:-1]),
        "kind": ("kind 3 is reserved", _with_check(frame, 0, 0b01_011_0_01)),
        "sealed": ("sealed, where no key is known", _with_check(frame, 0, 0b01_000_1_01)),
        "part-index": ("part index 0", _with_check(part, 1, part[1] & 0b111_000_11)),
        "part-order": ("a part of a later frame", _with_check(part, 12, 9)),
    }
    reasons = {"cut": "check", "part-index": "part", "part-order": "part"}
    entries = []
    for name, (meaning, data) in bad.items():
        files[f"bad/packet-{name}.bin"] = data
        reason = reasons.get(name, name)
        entries.append(entry_of(f"bad/packet-{name}.bin", "packet", meaning, reason=reason))
    return entries


def drops(files: Files) -> list[Entry]:
    """Payloads of DROP packets."""
    records = [DropRecord(Reason.FULL, 0, 1), DropRecord(Reason.DAMAGED, 2**32 - 200, 200)]
    fields = [[r.reason.name, r.first, r.count] for r in records]
    files["good/drop-records.bin"] = drop.pack(records)
    entries = [entry_of("good/drop-records.bin", "drop", "first and last numbers", records=fields)]
    every = [DropRecord(reason, 20 * reason, 1 + reason) for reason in Reason]
    files["good/drop-reasons.bin"] = drop.pack(every)
    each = [[r.reason.name, r.first, r.count] for r in every]
    entries.append(entry_of("good/drop-reasons.bin", "drop", "every reason", records=each))
    files["good/drop-later-reason.bin"] = b"\xc8\x03\x04"
    later = [["OTHER", 3, 4]]
    entries.append(
        entry_of("good/drop-later-reason.bin", "drop", "reason 200 reads as OTHER", records=later)
    )
    bad = {
        "empty": ("no record", b""),
        "cut": ("count is missing", b"\x01\x05"),
        "zeros": ("5 written in two bytes", b"\x01\x85\x00\x01"),
        "long": ("a number of six bytes", b"\x01\x80\x80\x80\x80\x80\x01\x01"),
        "nothing": ("count 0", b"\x01\x05\x00"),
        "overflow": ("beyond 2^32", b"\x01\xff\xff\xff\xff\x0f\x02"),
        "overlap": ("5 to 6, then 6", b"\x01\x05\x02\x01\x06\x01"),
    }
    for name, (meaning, data) in bad.items():
        files[f"bad/drop-{name}.bin"] = data
        entries.append(entry_of(f"bad/drop-{name}.bin", "drop", meaning, reason="drop"))
    return entries


def acks(files: Files) -> list[Entry]:
    """Acknowledgements."""
    one = Ack(0x2ABC, 7, 64, (Range(100, 5), Range(9, 1)))
    whole = ack.pack(one)
    files["good/ack.bin"] = whole
    fields = {"boot": one.boot, "cumulative": 7, "window": 64, "ranges": [[100, 5], [9, 1]]}
    entries = [entry_of("good/ack.bin", "ack", "all below 7, 100 to 104, and 9", fields=fields)]
    overlap = whole[:12] + (7).to_bytes(4, "little") + whole[16:-4]
    bad = {
        "length": ("the last byte is missing", whole[:-1]),
        "version": ("version 2", b"\x02" + whole[1:]),
        "check": ("one bit differs", whole[:5] + bytes([whole[5] ^ 1]) + whole[6:]),
        "ranges": ("a range at the cumulative number", overlap + _crc(overlap)),
    }
    for name, (meaning, data) in bad.items():
        files[f"bad/ack-{name}.bin"] = data
        entries.append(entry_of(f"bad/ack-{name}.bin", "ack", meaning, reason=name))
    return entries


def sealed(files: Files) -> list[Entry]:
    """Packets and acknowledgements of a node that has a key."""
    place = {"key_hex": bytes(range(32)).hex(), "site": "yard", "node": "cam1"}
    salt = bytes(range(0xA0, 0xA8))
    key, other = (
        NodeKey(bytes(range(32)), "yard", node, lambda _: salt) for node in ("cam1", "cam2")
    )
    frame = Packet(Kind.FRAME, 0x2ABC, 7, b"picture", 0xBEEF, 1234, layers=2)
    files["good/sealed-frame.bin"] = whole = packet.pack(key.seal(frame))
    files["good/sealed-drop.bin"] = packet.pack(
        key.seal(Packet(Kind.DROP, 0x2ABC, 8, drop.pack([DropRecord(Reason.FULL, 5, 1)])))
    )
    entries = [
        entry_of(
            f"good/{name}.bin",
            "sealed",
            meaning,
            **place,
            salt_hex=salt.hex(),
            payload_hex=key.unpack(files[f"good/{name}.bin"]).payload.hex(),
        )
        for name, meaning in (("sealed-frame", "a frame"), ("sealed-drop", "a drop"))
    ]
    short = dataclasses.replace(frame, payload=bytes(23), sealed=True)
    bad = {
        "tag": (
            "one bit of the tag differs",
            "forged",
            _with_check(whole[:-1] + b"\0", 0, whole[0]),
        ),
        "header": ("the packet number differs", "forged", _with_check(whole, 8, 9)),
        "node": ("sealed by cam2 with the same key", "forged", packet.pack(other.seal(frame))),
        "short": ("23 bytes of payload", "sealed", packet.pack(short)),
        "plain": ("not sealed", "sealed", packet.pack(frame)),
        "check": ("one bit differs, and the check says so", "check", whole[:-1] + b"\0"),
    }
    for name, (meaning, reason, data) in bad.items():
        files[f"bad/sealed-{name}.bin"] = data
        entries.append(
            entry_of(f"bad/sealed-{name}.bin", "sealed", meaning, **place, reason=reason)
        )
    ack_bytes = files["good/ack.bin"]
    files["good/ack-signed.bin"] = key.sign(Purpose.ACK, ack_bytes)
    files["bad/ack-signed.bin"] = key.sign(Purpose.COMMAND, ack_bytes)
    meanings = {"good": "good/ack.bin with its tag", "bad": "with the tag of a command"}
    entries += [
        entry_of(f"{folder}/ack-signed.bin", "signed", meaning, **place, purpose="ACK")
        for folder, meaning in meanings.items()
    ]
    return entries


def make() -> Files:
    """Content of every file, by its path below ``v1``."""
    files: Files = {}
    makers = (packets, bad_packets, drops, acks, sealed, *streams.MAKERS, nested.nested)
    entries = [entry for maker in makers for entry in maker(files)]
    files["index.json"] = (json.dumps(entries, indent=1) + "\n").encode()
    return files


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def _with_check(data: bytes, at: int, value: int) -> bytes:
    """Change one byte of the header and make the check right again."""
    head = data[:at] + bytes([value]) + data[at + 1 : 16]
    return head + _crc(head + data[20:]) + data[20:]


if __name__ == "__main__":
    for name, content in make().items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
