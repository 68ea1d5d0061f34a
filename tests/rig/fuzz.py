"""Fuzzing: mutated packets through everything that reads them, and the entropy decoder in C.

``python -m rig.fuzz [--json]``, or ``make fuzz``. The decoder is compiled with the address and
undefined-behaviour sanitisers for it; a finding ends that run at once.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random

from rig import streams
from rig.mutate import mutated
from tactic_codec import drop, nest, stream
from tactic_codec.bundle import Bundle
from tactic_codec.drop import DropRecord, Reason
from tactic_codec.errors import CodecError
from tactic_codec.node_key import NodeKey
from tactic_codec.packet import Kind, Packet, pack
from tactic_delivery import ack
from tactic_delivery.errors import DeliveryError
from tactic_delivery.ranges import Range
from tactic_gateway.decoder import Decoder
from tactic_gateway.errors import DecodeError
from tactic_gateway.keys import Keys
from tactic_gateway.reader import Message, RejectError, read
from tactic_gateway.receivers import Receivers
from tactic_gateway.records import Arrival
from tactic_gateway.topics import Topics

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "bundles/photo1000"
DECODER = ROOT / "codec/tactic_codec/librans.c"
LIMIT_S = 0.1
SETTLING = 20_000
_SECRET = bytes(range(32))
_TOPICS = Topics("tactic/v1", "lab")
_PROGRESS = 100_000


class NoStore:
    """Nothing is settled before."""

    def settled(self, _node: str, _boot: int) -> list[tuple[int, int]]:
        """No ranges."""
        return []


class Reader:
    """All that a packet meets between the network and the decoder, at both ends."""

    def __init__(self, bundle: Bundle) -> None:
        self.outcomes: Counter[str] = Counter()
        self._decoder = Decoder(bundle, 1)
        self._receivers = Receivers(NoStore())  # type: ignore[arg-type]
        self._keys = Keys({"sealed": NodeKey(_SECRET, "lab", "sealed")})

    def take(self, data: bytes, rng: Random) -> None:
        """One input; anything but the errors that are meant for it is a crash."""
        node = rng.choice(("open", "sealed"))
        try:
            arrival = read(Message(f"tactic/v1/lab/{node}/f", data, 0), _TOPICS, self._keys)
            assert isinstance(arrival, Arrival)
            receipt = self._receivers.record(arrival.node, arrival.packet)
            self._receivers.acknowledge([(arrival.node, arrival.packet.boot)], 64)
            if receipt.new and arrival.packet.kind is Kind.FRAME:
                self._decoder.latent([arrival.packet])
            self.outcomes["taken"] += 1
        except (RejectError, CodecError, DecodeError) as fault:
            self.outcomes[getattr(fault, "reason", str(fault))] += 1
        with suppress(DeliveryError):
            ack.unpack(data)


def seeds(bundle: Bundle) -> list[bytes]:
    """Valid packets of every kind, and acknowledgements."""
    codec, symbols = bundle.codec, bundle.probe()[1][0, 0]
    found = [ack.pack(ack.Ack(7, 5, 64, (Range(7, 2), Range(20, 100))))]
    key = NodeKey(_SECRET, "lab", "sealed")
    for level in range(codec.levels):
        layers = nest.layers(level, codec.levels)
        planes = nest.split(nest.coarsen(symbols, level // 2), layers)
        payload = stream.encode(planes, bundle.models[nest.chain(level)])
        frame = Packet(Kind.FRAME, 7, level, payload, codec.wire_id, level=level, layers=layers)
        found += [pack(frame), pack(key.seal(frame))]
    records = [DropRecord(Reason.FULL, 0, 3), DropRecord(Reason.DAMAGED, 9, 1)]
    found.append(pack(Packet(Kind.DROP, 7, 40, drop.pack(records))))
    found.append(pack(Packet(Kind.PART, 7, 41, b"words", captured=2, geometry=1)))
    return found


def fuzz_packets(inputs: int, seed: int) -> dict[str, object]:
    """Mutated packets: crashes, inputs over the limit of CPU time, growth of memory."""
    bundle = Bundle.open(BUNDLE)
    reader, valid, rng = Reader(bundle), seeds(bundle), Random(seed)
    crashes, slow, settled_kib = 0, 0, 0
    for number in range(inputs):
        data = mutated(valid, rng)
        begun_s = time.thread_time()
        try:
            reader.take(data, rng)
        except Exception as fault:
            crashes += 1
            _say(f"crash {type(fault).__name__}: {fault}; input {data.hex()}")
        slow += time.thread_time() - begun_s > LIMIT_S
        if number == SETTLING:
            settled_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if (number + 1) % _PROGRESS == 0:
            _say(f"{number + 1} packets")
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - settled_kib
    return {
        "packets": inputs,
        "crashes": crashes,
        "slow": slow,
        "grown_mib": round(grown_kib / 1024, 1) if inputs > SETTLING else 0.0,
        "outcomes": dict(reader.outcomes.most_common()),
    }


def fuzz_decoder(inputs: int, seed: int, source: Path = DECODER) -> dict[str, object]:
    """The C decoder under sanitisers, in a process of its own."""
    compiler = shutil.which("gcc")
    if compiler is None:
        return {"streams": 0, "findings": None, "why": "gcc is not installed"}
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "librans.so"
        flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1"]
        flags += ["-shared", "-fPIC", f"-I{DECODER.parent}"]
        command = [compiler, *flags, "-o", str(library), str(source)]
        subprocess.run(command, check=True)
        asked = [compiler, "-print-file-name=libasan.so"]
        preload = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
        # Python's own allocator hides from the sanitiser where a buffer ends.
        environment = {"PYTHONMALLOC": "malloc", "LD_PRELOAD": preload}
        environment["ASAN_OPTIONS"] = "detect_leaks=0"
        done = subprocess.run(
            [sys.executable, streams.__file__, str(library), str(inputs), str(seed)],
            env=os.environ | environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
    return {"streams": inputs, "findings": int(done.returncode != 0)}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Both; 0 if nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    found = fuzz_packets(given.inputs, given.seed) | fuzz_decoder(given.inputs, given.seed)
    lines = [f"{name}: {value}" for name, value in found.items()]
    print(json.dumps(found) if given.json else "\n".join(lines))
    grown = found["grown_mib"]
    assert isinstance(grown, float)
    return int(bool(found["crashes"] or found["slow"] or found["findings"]) or grown > 32)


if __name__ == "__main__":
    sys.exit(main())
