"""Golden files: what the code writes today equals them, and it reads them as the index says."""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tactic_codec import drop, nest, packet, stream
from tactic_codec.entropy import EntropyModel, read_models, write_models
from tactic_codec.errors import PacketError, StreamError, TableError
from tactic_codec.node_key import NodeKey, Purpose
from tactic_codec.tables import TableSet
from tactic_delivery import ack
from tactic_delivery.errors import AckError

VECTORS = Path(__file__).parents[1] / "vectors"
FOLDER = VECTORS / "v1"
INDEX: list[dict[str, Any]] = json.loads((FOLDER / "index.json").read_text())


def entries(kind: str, folder: str) -> pytest.MarkDecorator:
    found = [e for e in INDEX if e["type"] == kind and e["file"].startswith(folder)]
    return pytest.mark.parametrize("entry", found, ids=[e["file"] for e in found])


def content(entry: dict[str, Any]) -> bytes:
    return FOLDER.joinpath(entry["file"]).read_bytes()


def test_the_code_still_writes_the_stored_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(VECTORS.parent)
    maker = importlib.import_module("vectors.make_vectors")
    stored = {
        str(path.relative_to(FOLDER)): path.read_bytes()
        for path in FOLDER.rglob("*")
        if path.is_file()
    }
    assert maker.make() == stored


@entries("packet", "good")
def test_good_packet(entry: dict[str, Any]) -> None:
    found = packet.unpack(content(entry))
    fields = dict(entry["fields"])
    assert found.kind.name == fields.pop("kind")
    assert found.payload.hex() == fields.pop("payload_hex")
    assert {name: getattr(found, name) for name in fields} == fields
    assert packet.pack(found) == content(entry)


@entries("packet", "bad")
def test_bad_packet(entry: dict[str, Any]) -> None:
    with pytest.raises(PacketError) as caught:
        packet.unpack(content(entry))
    assert caught.value.reason == entry["reason"]


@entries("drop", "good")
def test_good_drop(entry: dict[str, Any]) -> None:
    found = [[r.reason.name, r.first, r.count] for r in drop.unpack(content(entry))]
    assert found == entry["records"]


@entries("drop", "bad")
def test_bad_drop(entry: dict[str, Any]) -> None:
    with pytest.raises(PacketError) as caught:
        drop.unpack(content(entry))
    assert caught.value.reason == entry["reason"]


@entries("tables", "good")
def test_good_tables(entry: dict[str, Any]) -> None:
    assert TableSet.from_bytes(content(entry)).sha256 == entry["sha256"]


@entries("tables", "bad")
def test_bad_tables(entry: dict[str, Any]) -> None:
    with pytest.raises(TableError):
        TableSet.from_bytes(content(entry))


@entries("entropy", "good")
def test_good_entropy_file(entry: dict[str, Any]) -> None:
    models = read_models(content(entry))
    assert hashlib.sha256(write_models(models)).hexdigest() == entry["sha256"]


@entries("entropy", "bad")
def test_bad_entropy_file(entry: dict[str, Any]) -> None:
    with pytest.raises(TableError):
        read_models(content(entry))


def key_of(entry: dict[str, Any]) -> NodeKey:
    salt = bytes.fromhex(entry.get("salt_hex", ""))
    return NodeKey(bytes.fromhex(entry["key_hex"]), entry["site"], entry["node"], lambda _: salt)


@entries("sealed", "good")
def test_good_sealed_packet(entry: dict[str, Any]) -> None:
    found = key_of(entry).unpack(content(entry))
    assert found.payload.hex() == entry["payload_hex"]
    assert packet.pack(key_of(entry).seal(found)) == content(entry)


@entries("sealed", "bad")
def test_bad_sealed_packet(entry: dict[str, Any]) -> None:
    with pytest.raises(PacketError) as caught:
        key_of(entry).unpack(content(entry))
    assert caught.value.reason == entry["reason"]


@entries("signed", "")
def test_signed_message(entry: dict[str, Any]) -> None:
    purpose = Purpose[entry["purpose"]]
    if entry["file"].startswith("good"):
        body = key_of(entry).open(purpose, content(entry))
        assert key_of(entry).sign(purpose, body) == content(entry)
    else:
        with pytest.raises(PacketError, match="forged"):
            key_of(entry).open(purpose, content(entry))


def array(name: str, shape: tuple[int, ...]) -> NDArray[np.int8]:
    return np.frombuffer((FOLDER / name).read_bytes(), np.int8).reshape(shape)


def model_of(entry: dict[str, Any]) -> EntropyModel:
    if "tables" in entry:
        return EntropyModel.static(TableSet.from_bytes((FOLDER / entry["tables"]).read_bytes()))
    number: int = entry["model"] if "model" in entry else nest.chain(entry["level"])
    return read_models((FOLDER / entry["entropy"]).read_bytes())[number]


def decode(entry: dict[str, Any]) -> stream.Decoded:
    count, height, width = entry["shape"]
    return stream.decode(content(entry), model_of(entry), (count, height, width))


@entries("stream", "good")
def test_good_stream(entry: dict[str, Any]) -> None:
    found, n = decode(entry), entry["symbols_decoded"]
    planes = array(entry["planes"], (-1, *entry["shape"][1:]))
    assert (found.symbols, found.whole) == (n, entry["whole_planes"])
    np.testing.assert_array_equal(found.planes.ravel()[:n], planes.ravel()[:n])
    lost = model_of(entry).settled(np.zeros_like(found.planes)).ravel()[n:]
    np.testing.assert_array_equal(found.planes.ravel()[n:], lost)


@entries("stream", "bad")
def test_bad_stream(entry: dict[str, Any]) -> None:
    with pytest.raises(StreamError):
        decode(entry)


@entries("nested", "good")
def test_what_arrives_of_a_nested_latent(entry: dict[str, Any]) -> None:
    decoded = decode(entry)
    channels, size = entry["channels"], tuple(entry["shape"][1:])
    found = nest.join(decoded.planes, decoded.whole, channels, entry["level"], entry["levels"])
    assert decoded.whole == entry["whole_planes"]
    assert found.symbols.shape == (channels, *size)
    assert found.symbols.tobytes().hex() == entry["symbols_hex"]
    assert found.levels.tolist() == entry["channel_levels"]


@pytest.mark.parametrize("entry", [e for e in INDEX if "latent" in e], ids=lambda e: e["file"])
def test_a_nested_latent_gives_its_planes_and_its_stream(entry: dict[str, Any]) -> None:
    latent = array(entry["latent"], (entry["channels"], *entry["shape"][1:]))
    layers = nest.layers(entry["level"], entry["levels"])
    planes = nest.split(nest.coarsen(latent, entry["level"] // 2), layers)
    stored = array(entry["all_planes"], (-1, *entry["shape"][1:]))
    np.testing.assert_array_equal(planes, stored[: len(planes)])
    whole, most_bytes = stream.encode(planes, model_of(entry)), entry["most_bytes"]
    assert (whole if most_bytes is None else stream.cut(whole, most_bytes)) == content(entry)


@entries("ack", "good")
def test_good_ack(entry: dict[str, Any]) -> None:
    found, fields = ack.unpack(content(entry)), entry["fields"]
    assert [list(r) for r in found.ranges] == fields["ranges"]
    assert found.boot == fields["boot"]
    assert found.cumulative == fields["cumulative"]
    assert found.window == fields["window"]


@entries("ack", "bad")
def test_bad_ack(entry: dict[str, Any]) -> None:
    with pytest.raises(AckError) as caught:
        ack.unpack(content(entry))
    assert caught.value.reason == entry["reason"]
