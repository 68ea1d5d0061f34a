"""A node with a key: what its outbox keeps is sealed once, and its acknowledgements have a tag."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tactic_codec import drop
from tactic_codec.config import load
from tactic_codec.errors import ConfigError
from tactic_codec.node_key import OVERHEAD_BYTES, NodeKey
from tactic_codec.packet import HEADER_BYTES, Kind, Packet
from tactic_delivery.ranges import Range
from tactic_device.config import DeviceConfig
from tactic_device.errors import OutboxError
from tactic_device.outbox import Outbox

MIB = 1 << 20
SECRET = bytes(range(32))


def key() -> NodeKey:
    return NodeKey(SECRET, "yard", "cam1")


def opened(folder: Path, sealer: NodeKey | None) -> Outbox:
    return Outbox(folder, Random(3), 4 * MIB, key=sealer)


def frame(size_bytes: int = 100) -> Packet:
    return Packet(Kind.FRAME, 0, 0, b"picture!" * (size_bytes // 8))


def kept(outbox: Outbox) -> dict[tuple[int, int], bytes]:
    found = {each: outbox.read(each) for each in outbox.pending.entries}
    return {(k.boot, k.pkt): data for k, data in found.items() if data is not None}


def test_what_is_kept_is_sealed_and_the_same_after_a_restart(tmp_path: Path) -> None:
    outbox = opened(tmp_path, key())
    sizes = [outbox.put(frame(), n).entry.size_bytes for n in range(20)]
    assert set(sizes) == {HEADER_BYTES + 96 + OVERHEAD_BYTES}
    before = kept(outbox)
    assert len(before) == 20
    assert all(key().unpack(data).payload == frame().payload for data in before.values())
    outbox.close()
    assert not any(b"picture!" in path.read_bytes() for path in tmp_path.iterdir())
    again = opened(tmp_path, key())
    assert kept(again) == before
    again.settle(outbox.boot, Range(0, 20))
    assert again.pending.ledger.as_dict()["stored"] == 20
    again.close()


def test_what_is_given_up_is_told_under_the_seal(tmp_path: Path) -> None:
    outbox = opened(tmp_path, key())
    for n in range(40):
        outbox.put(frame(120_000), n)
    dropped = outbox.pending.ledger.dropped.total()
    assert dropped > 0
    before = kept(outbox)
    outbox.close()
    again = opened(tmp_path, key())
    assert kept(again) == before
    again.put(frame(120_000), 41)
    packets = [key().unpack(data) for data in kept(again).values()]
    told = [drop.unpack(p.payload) for p in packets if p.kind is Kind.DROP]
    frames = sum(r.count for records in told for r in records if r.reason.name == "FULL")
    assert frames == again.pending.ledger.dropped.total() >= dropped
    again.close()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["put", "large", "restart", "settle"]), max_size=40))
def test_no_nonce_comes_twice_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    seen: dict[tuple[bytes, int, int], bytes] = {}
    folder = tmp_path_factory.mktemp("outbox")
    outbox = opened(folder, key())
    for now, step in enumerate([*steps, "put"]):
        if step == "restart":
            outbox.close()
            outbox = opened(folder, key())
        elif step == "settle":
            for each in list(outbox.pending.entries)[:3]:
                outbox.settle(each.boot, Range(each.pkt, 1))
        else:
            outbox.put(frame(120_000 if step == "large" else 100), now)
        for (boot, pkt), data in kept(outbox).items():
            salt = data[HEADER_BYTES : HEADER_BYTES + 8]
            assert seen.setdefault((salt, boot, pkt), data) == data
    outbox.close()


def test_a_key_that_comes_or_goes_needs_an_empty_outbox(tmp_path: Path) -> None:
    outbox = opened(tmp_path, None)
    outbox.put(frame(), 0)
    outbox.close()
    copy = shutil.copytree(tmp_path, tmp_path / "copy")
    with pytest.raises(OutboxError, match=r"from before node\.key_file was set or removed"):
        opened(copy, key())
    outbox = opened(tmp_path, None)
    assert len(kept(outbox)) == 1
    outbox.close()


CONFIG = """\
[node]
site = "yard"
node = "cam1"
key_file = "cam1.key"
[bundle]
path = "b"
unsigned = true
[source]
kind = "folder"
path = "p"
[outbox]
path = "o"
[encoder]
budget_bytes = 100
"""


def test_the_budget_holds_the_seal_too(tmp_path: Path) -> None:
    path = tmp_path / "device.toml"
    path.write_text(CONFIG)
    config = load(path, DeviceConfig)
    assert config.budget_bytes == 100 - OVERHEAD_BYTES
    with pytest.raises(ConfigError, match=r"cam1\.key: No such file"):
        config.node.read_key()
    path.write_text(CONFIG.replace("100", "47"))
    with pytest.raises(ConfigError, match=r"budget_bytes must be at least 48 with node\.key_file"):
        load(path, DeviceConfig)
