"""Write the golden files of the wire format: ``python tests/vectors/make_vectors.py``.

Files of a released version never change; new ones may be added. The test compares what this
script would write with what is stored, and reads every stored file back.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tactic_codec import drop, packet, stream
from tactic_codec.contexts import MAX_BIAS, MAX_WEIGHT, Context, Tap
from tactic_codec.drop import DropRecord, Reason
from tactic_codec.entropy import EntropyModel, write_models
from tactic_codec.packet import Kind, Packet
from tactic_codec.tables import SCALE, Table, TableSet
from tactic_delivery import ack
from tactic_delivery.ack import Ack
from tactic_delivery.ranges import Range

FOLDER = Path(__file__).parent / "v1"
Entry = dict[str, Any]
Files = dict[str, bytes]

TABLES = TableSet(
    (
        Table(-2, (300, 2000, SCALE - 4801, 2000, 500), 1),
        Table(0, (SCALE,), 0),
        Table(-128, (SCALE // 256,) * 256, 0),
        Table(5, (1, 0, 0, 2), SCALE - 3),
    )
)
MODEL = EntropyModel.static(TABLES)
# Eight tables, each wider than the one before, and a constant one.
CHOICE = TableSet(
    (
        *(Table(-n, ((20,) * n + (SCALE - 40 * n - 1,) + (20,) * n), 1) for n in range(1, 9)),
        Table(-3, (SCALE,), 0),
    )
)
NEAR = (Tap(0, 0, 0, 700), Tap(1, -1, 0, 50), Tap(2, -1, 1, -300), Tap(2, 0, -1, 500))
MIXED = (Tap(0, 0, 0, 200), Tap(0, 1, 1, -90), Tap(1, 0, 0, 75), Tap(2, 0, -1, 64))
ORDINARY = EntropyModel(
    CHOICE,
    (
        Context(2),
        Context(8),
        Context(0, MIXED, NEAR, bias=300, bins=2, lowest=44, fractions=4),
        Context(1, scale=(Tap(2, 0, 0, 128), Tap(3, -1, 0, 512)), bias=1, bins=7, lowest=40),
    ),
)
EXTREME = EntropyModel(
    CHOICE,
    (
        Context(0, mean=(Tap(0, 0, -1, MAX_WEIGHT),), bins=2, fractions=4),
        Context(3, scale=(Tap(0, 0, 0, -MAX_WEIGHT),), bias=MAX_BIAS, bins=5, lowest=109),
        Context(0, mean=(Tap(1, -1, 1, -MAX_WEIGHT),), bias=-MAX_BIAS, bins=8, lowest=127),
        Context(7, mean=(Tap(0, 1, 0, MAX_WEIGHT), Tap(2, 0, 0, MAX_WEIGHT))),
    ),
)
MODELS = (ORDINARY, EXTREME)
TOP = 2**32 - 1
LAYERS, SHAPE = (1, 2, 1), (3, 4)
GEOMETRY: Entry = {"tables": "good/tables.bin", "layers": list(LAYERS), "shape": list(SHAPE)}


def latents() -> NDArray[np.int8]:
    """Symbols (4, 3, 4) from a small congruential generator: the same everywhere."""
    state, values = 1, []
    for _ in range(48):
        state = (state * 1103515245 + 12345) % 2**31
        values.append(state >> 16)
    symbols = np.array(values).reshape(4, *SHAPE)
    symbols[0] = symbols[0] % 5 - 2
    symbols[0, 1, 1] = -128
    symbols[1] = 0
    symbols[2:] = symbols[2:] % 256 - 128
    return symbols.astype(np.int8)


def packets(files: Files) -> list[Entry]:
    """Packets that are accepted, with their fields."""
    whole = stream.encode(latents(), MODEL, LAYERS, 3)
    records = [DropRecord(Reason.FULL, 5, 300), DropRecord(Reason.REPLACED, 1000, 1)]
    good = {
        "frame": ("a frame", Packet(Kind.FRAME, 0x2ABC, 7, whole, 0xBEEF, 1234, layers=3)),
        "frame-cut": (
            "the first 20 bytes of the stream of a frame",
            Packet(Kind.FRAME, 0x2ABC, 8, whole[:20], 0xBEEF, 1234, 3, geometry=1, layers=3),
        ),
        "part": (
            "the rest of the stream that packet 8 opens",
            Packet(Kind.PART, 0x2ABC, 9, whole[20:], 0xBEEF, 8, 3, geometry=1, layers=3),
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
        entries.append(_entry(f"good/{name}.bin", "packet", meaning, fields=fields))
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
        "sealed": ("encryption is reserved", _with_check(frame, 0, 0b01_000_1_01)),
        "part-index": ("part index 0", _with_check(part, 1, part[1] & 0b111_000_11)),
        "part-order": ("a part of a later frame", _with_check(part, 12, 9)),
    }
    reasons = {"cut": "check", "part-index": "part", "part-order": "part"}
    entries = []
    for name, (meaning, data) in bad.items():
        files[f"bad/packet-{name}.bin"] = data
        reason = reasons.get(name, name)
        entries.append(_entry(f"bad/packet-{name}.bin", "packet", meaning, reason=reason))
    return entries


def drops(files: Files) -> list[Entry]:
    """Payloads of DROP packets."""
    records = [DropRecord(Reason.FULL, 0, 1), DropRecord(Reason.DAMAGED, 2**32 - 200, 200)]
    fields = [[r.reason.name, r.first, r.count] for r in records]
    files["good/drop-records.bin"] = drop.pack(records)
    entries = [_entry("good/drop-records.bin", "drop", "first and last numbers", records=fields)]
    files["good/drop-later-reason.bin"] = b"\xc8\x03\x04"
    later = [["OTHER", 3, 4]]
    entries.append(
        _entry("good/drop-later-reason.bin", "drop", "reason 200 reads as OTHER", records=later)
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
        entries.append(_entry(f"bad/drop-{name}.bin", "drop", meaning, reason="drop"))
    return entries


def tables(files: Files) -> list[Entry]:
    """Table files."""
    data = TABLES.to_bytes()
    files["good/tables.bin"] = data
    meaning = "steep, constant, flat, and mostly escape"
    entries = [_entry("good/tables.bin", "tables", meaning, sha256=TABLES.sha256)]
    bad = {
        "cut": ("the last byte is missing", data[:-1]),
        "trailing": ("one byte too many", data + b"\0"),
        "version": ("format 2", data[:4] + b"\x02" + data[5:]),
        "sum": ("a frequency is 1 too high", data[:12] + bytes([data[12] + 1]) + data[13:]),
    }
    for name, (meaning, content) in bad.items():
        files[f"bad/tables-{name}.bin"] = content
        entries.append(_entry(f"bad/tables-{name}.bin", "tables", meaning))
    return entries


def streams(files: Files) -> list[Entry]:
    """Entropy-coded streams with the symbols they give."""
    symbols, entries = latents(), []
    files["good/latents.bin"] = symbols.tobytes()
    whole = stream.encode(symbols, MODEL, LAYERS, 3)
    base = stream.encode(symbols, MODEL, LAYERS, 1)
    good = {
        "whole": ("three layers", whole, 3),
        "base": ("the base layer only", base, 1),
        "cut": ("the first 20 bytes of three layers", whole[:20], 3),
        "state": ("nothing but the state", whole[:4], 3),
    }
    for name, (meaning, data, upto) in good.items():
        found = stream.decode(data, MODEL, LAYERS, upto, SHAPE)
        expected = {
            "symbols": "good/latents.bin",
            "symbols_decoded": found.symbols_decoded,
            "complete_layers": found.complete_layers,
        }
        files[f"good/stream-{name}.bin"] = data
        entry = _entry(f"good/stream-{name}.bin", "stream", meaning, upto=upto)
        entries.append(entry | GEOMETRY | expected)
    bad = {
        "empty": ("no state", b""),
        "half-word": ("an odd number of bytes", whole[:-1]),
        "low-state": ("state below 2^16", b"\xff\xff\0\0" + whole[4:]),
        "trailing": ("a word left over", whole + b"\0\0"),
        "final-state": ("the last word differs", whole[:-1] + bytes([whole[-1] ^ 128])),
        # The escape of channel 0 (slot 16383), then the raw bits of 0, which has a frequency.
        "escape": ("a needless escape", bytes([255, 63, 64, 0, 0, 32])),
    }
    for name, (meaning, data) in bad.items():
        files[f"bad/stream-{name}.bin"] = data
        entries.append(_entry(f"bad/stream-{name}.bin", "stream", meaning, upto=3) | GEOMETRY)
    return entries


def entropy(files: Files) -> list[Entry]:
    """Entropy files; a file is bad by one change to a good one."""
    data = write_models(MODELS)
    files["good/entropy.bin"] = data
    digest, meaning = hashlib.sha256(data).hexdigest(), "two levels, the second with extremes"
    entries = [_entry("good/entropy.bin", "entropy", meaning, sha256=digest)]
    # Contexts: 11 bytes each and 6 a tap. The third begins at 30, its first tap at 41.
    changes = {
        "version": ("format 2", {4: 2}),
        "levels": ("no level", {5: 0}),
        "channels": ("no channel", {6: 0}),
        "constant": ("a context with taps chooses a constant table", {30: 8, 32: 1, 34: 1}),
        "missing": ("a table that is not there", {30: 2}),
        "bins": ("no bin", {32: 0}),
        "lowest": ("lowest step 128", {33: 128}),
        "fractions": ("2 fractions", {34: 2}),
        "bias": ("a bias above 2^28", {40: 17}),
        "late": ("a tap on the symbol itself", {59: 2, 61: 0, 62: 0}),
        "order": ("a tap before the one that precedes it", {47: 0, 49: 0, 50: 255}),
        "far": ("a tap two rows away", {49: 2}),
        "weight": ("a weight of -32768", {45: 0, 46: 128}),
    }
    bad = {name: (text, _with_bytes(data, new)) for name, (text, new) in changes.items()}
    bad |= {
        "cut": ("the last byte is missing", data[:-1]),
        "trailing": ("one byte too many", data + b"\0"),
    }
    for name, (text, content) in bad.items():
        files[f"bad/entropy-{name}.bin"] = content
        entries.append(_entry(f"bad/entropy-{name}.bin", "entropy", text))
    return entries


def context_streams(files: Files) -> list[Entry]:
    """Streams whose tables are chosen by contexts."""
    symbols, entries = latents(), []
    symbols[1] = -3
    symbols[2:] //= 16
    symbols[3, 1] = (-128, 127, 127, -128)
    files["good/latents-contexts.bin"] = symbols.tobytes()
    for level, name in enumerate(("contexts", "extremes")):
        whole = stream.encode(symbols, MODELS[level], LAYERS, 3)
        for part, data in (("", whole), ("-cut", whole[: len(whole) // 4 * 2])):
            found = stream.decode(data, MODELS[level], LAYERS, 3, SHAPE)
            file = f"good/stream-{name}{part}.bin"
            files[file] = data
            entry = _entry(file, "stream", f"{len(data)} of {len(whole)} bytes", upto=3)
            entry |= {"entropy": "good/entropy.bin", "level": level}
            entry |= {"layers": list(LAYERS), "shape": list(SHAPE)}
            entry |= {"symbols": "good/latents-contexts.bin"}
            entry |= {"symbols_decoded": found.symbols_decoded}
            entries.append(entry | {"complete_layers": found.complete_layers})
    return entries


def acks(files: Files) -> list[Entry]:
    """Acknowledgements."""
    one = Ack(0x2ABC, 7, 64, (Range(100, 5), Range(9, 1)))
    whole = ack.pack(one)
    files["good/ack.bin"] = whole
    fields = {"boot": one.boot, "cumulative": 7, "window": 64, "ranges": [[100, 5], [9, 1]]}
    entries = [_entry("good/ack.bin", "ack", "all below 7, 100 to 104, and 9", fields=fields)]
    overlap = whole[:12] + (7).to_bytes(4, "little") + whole[16:-4]
    bad = {
        "length": ("the last byte is missing", whole[:-1]),
        "version": ("version 2", b"\x02" + whole[1:]),
        "check": ("one bit differs", whole[:5] + bytes([whole[5] ^ 1]) + whole[6:]),
        "ranges": ("a range at the cumulative number", overlap + _crc(overlap)),
    }
    for name, (meaning, data) in bad.items():
        files[f"bad/ack-{name}.bin"] = data
        entries.append(_entry(f"bad/ack-{name}.bin", "ack", meaning, reason=name))
    return entries


def make() -> Files:
    """Content of every file, by its path below ``v1``."""
    files: Files = {}
    makers = (packets, bad_packets, drops, tables, streams, acks, entropy, context_streams)
    entries = [entry for maker in makers for entry in maker(files)]
    files["index.json"] = (json.dumps(entries, indent=1) + "\n").encode()
    return files


def _entry(file: str, kind: str, meaning: str, **more: object) -> Entry:
    return {"file": file, "type": kind, "meaning": meaning, **more}


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def _with_bytes(data: bytes, changes: dict[int, int]) -> bytes:
    changed = bytearray(data)
    for at, value in changes.items():
        changed[at] = value
    return bytes(changed)


def _with_check(data: bytes, at: int, value: int) -> bytes:
    """Change one byte of the header and make the check right again."""
    head = data[:at] + bytes([value]) + data[at + 1 : 16]
    return head + _crc(head + data[20:]) + data[20:]


if __name__ == "__main__":
    for name, content in make().items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
