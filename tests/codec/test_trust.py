"""Signed bundles: what a trusted key signed runs, and nothing else does."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tactic_codec import trust as trust_file
from tactic_codec.accepted import Accepted
from tactic_codec.bundle import Bundle, Signatures, file_entry, write_manifest, write_signatures
from tactic_codec.contexts import Context
from tactic_codec.entropy import EntropyModel, write_models
from tactic_codec.errors import BundleError, TrustError
from tactic_codec.manifest import Codec, Encoder, Geometry, Head, Manifest, Probe
from tactic_codec.signing import Purpose, Signature, public_key, sign
from tactic_codec.tables import Table, TableSet
from tactic_codec.trust import Trust, TrustedKey

#: `TACTIC_TAMPERED=10000` is the full run; it takes a quarter of a minute.
TAMPERED = int(os.environ.get("TACTIC_TAMPERED", "1000"))
MOMENT = "2026-06-01T00:00:00Z"
OURS, NEXT, FOREIGN = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))


def pinned(*keys: Ed25519PrivateKey, counter: int = 1) -> Trust:
    names = ("ours", "next", "third")
    made = tuple(
        TrustedKey(name=n, public=public_key(k)) for n, k in zip(names, keys, strict=False)
    )
    return Trust(format=1, counter=counter, keys=made)


def signed(trust: Trust, *keys: Ed25519PrivateKey, moment: str = MOMENT) -> Trust:
    made = tuple(sign(key, Purpose.TRUST, trust.content, moment) for key in keys)
    return trust.model_copy(update={"signatures": made})


def make_bundle(root: Path, serial: int) -> Path:
    """A bundle of the right form; its networks are not networks."""
    files = {
        "device/encoder.onnx": b"onnx",
        "device/encoder.tflite": b"tflite",
        "gateway/decoder.onnx": b"decoder" * 9,
        "gateway/head.onnx": b"head",
        "gateway/labels.txt": b"cat\ndog\n",
        "probe/frames.npy": b"frames",
        "probe/latents.npy": b"latents",
        "device/entropy.bin": write_models(
            (EntropyModel(TableSet((Table.from_counts(np.ones(3), -1),)), (Context(0),) * 2),)
        ),
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    entry = {name: file_entry(root, name) for name in files}
    encoder = Encoder(onnx=entry["device/encoder.onnx"], tflite=entry["device/encoder.tflite"])
    codec = Codec(
        arch="test",
        stride=8,
        channels=2,
        geometries=(Geometry(height=16, width=24),),
        levels=1,
        encoders=(encoder,),
        entropy=entry["device/entropy.bin"],
        decoder=entry["gateway/decoder.onnx"],
    )
    head = Head(
        name="animals",
        task="classification",
        model=entry["gateway/head.onnx"],
        labels=entry["gateway/labels.txt"],
    )
    probe = Probe(frames=entry["probe/frames.npy"], latents=entry["probe/latents.npy"])
    fields = {"codec": codec, "heads": (head,), "probe": probe, "serial": serial}
    write_manifest(root, Manifest(format=1, name="test", created="2026", **fields))  # type: ignore[arg-type]
    return root


def sign_it(root: Path, *keys: Ed25519PrivateKey, moment: str = MOMENT) -> Path:
    content = (root / "manifest.json").read_bytes()
    return put(root, *(sign(key, Purpose.BUNDLE, content, moment) for key in keys))


def put(root: Path, *made: Signature) -> Path:
    """What `write_signatures` writes, without waiting for the disk."""
    (root / "signature.json").unlink(missing_ok=True)
    (root / "signature.json").write_text(Signatures(signatures=made).model_dump_json())
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return sign_it(make_bundle(tmp_path / "bundle", serial=7), OURS)


def test_a_trusted_signature_opens_the_bundle(root: Path) -> None:
    assert Bundle.open(root, pinned(OURS)).signer == "ours"
    assert Bundle.open(root, pinned(FOREIGN, OURS)).signer == "next"
    assert Bundle.open(root).signer is None
    sign_it(root, FOREIGN, OURS)
    assert Bundle.open(root, pinned(OURS)).signer == "ours"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: (r / "signature.json").unlink(), "not signed"),
        (lambda r: sign_it(r, FOREIGN), "signed by no key of the trust file"),
        (lambda r: (r / "manifest.json").write_text("{}"), "changed after key ours signed it"),
        (lambda r: (r / "signature.json").write_text("{}"), "signatures: Field required"),
        (lambda r: (r / "signature.json").write_bytes(b" " * (2 << 20)), "larger than"),
        (lambda r: (r / "gateway/head.onnx").write_bytes(b"evil"), "not the file"),
    ],
)
def test_what_is_not_ours_is_refused_in_one_line(
    root: Path, change: Callable[[Path], object], words: str
) -> None:
    change(root)
    with pytest.raises((TrustError, BundleError), match=words) as caught:
        Bundle.open(root, pinned(OURS))
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_a_signature_is_good_for_one_purpose(root: Path) -> None:
    content = (root / "manifest.json").read_bytes()
    other = sign(OURS, Purpose.TRUST, content, MOMENT)
    write_signatures(root, Signatures(signatures=(other,)))
    with pytest.raises(TrustError, match="changed"):
        Bundle.open(root, pinned(OURS))


@pytest.mark.parametrize(("moment", "good"), [("2025", False), ("2026", True), ("2027", False)])
def test_a_key_counts_for_what_was_signed_in_its_time(root: Path, moment: str, good: bool) -> None:
    key = TrustedKey(
        name="ours",
        public=public_key(OURS),
        not_before="2026-01-01T00:00:00Z",
        not_after="2026-12-31T23:59:59Z",
    )
    trust = Trust(format=1, counter=1, keys=(key,))
    sign_it(root, OURS, moment=f"{moment}-06-01T00:00:00Z")
    if good:
        assert Bundle.open(root, trust).signer == "ours"
    else:
        with pytest.raises(TrustError, match="not valid at"):
            Bundle.open(root, trust)


def test_rotation_goes_forward_by_a_trusted_key_only(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    first, second = pinned(OURS), signed(pinned(NEXT, counter=2), OURS)
    trust_file.write(path, first)

    def offer(trust: Trust) -> Trust:
        return trust_file.update(path, trust.model_dump_json().encode(), "new.json")

    for stranger in (
        pinned(FOREIGN, counter=2),
        signed(pinned(FOREIGN, counter=2), FOREIGN),
        signed(pinned(NEXT, counter=1), OURS),
        signed(pinned(NEXT, counter=2), OURS).model_copy(update={"counter": 3}),
    ):
        with pytest.raises(TrustError, match=r"^new\.json: "):
            offer(stranger)
        assert trust_file.read(path) == first
    assert offer(second) == trust_file.read(path) == second
    for old in (signed(first, OURS), signed(pinned(OURS, counter=3), OURS), second):
        with pytest.raises(TrustError):
            offer(old)
    # A node that missed one successor takes the next if a key that it still trusts signed it.
    trust_file.write(path, first)
    third = signed(pinned(NEXT, counter=3), NEXT, OURS)
    assert offer(third).counter == 3


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b'{"format": 1, "counter": 1, "keys": []}',
        b'{"format": 2, "counter": 1, "keys": []}',
        b"x" * 70000,
    ],
)
def test_a_trust_file_that_is_none(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "trust.json"
    path.write_bytes(text)
    with pytest.raises(TrustError, match=r"trust\.json: .*; get the trust file") as caught:
        trust_file.read(path)
    assert "\n" not in str(caught.value)


def test_a_node_never_goes_back(root: Path, tmp_path: Path) -> None:
    record = tmp_path / "accepted.json"
    bundle = Bundle.open(root, pinned(OURS))
    Accepted(record).add(bundle)
    Accepted(record).add(bundle)
    older = Bundle.open(sign_it(make_bundle(tmp_path / "old", serial=6), OURS), pinned(OURS))
    with pytest.raises(TrustError, match="serial 6, this node has run 7"):
        Accepted(record).check(older)
    twin = dataclasses.replace(bundle, digest="0" * 64)
    with pytest.raises(TrustError, match="another bundle test with serial 7"):
        Accepted(record).check(twin)
    newer = Bundle.open(sign_it(make_bundle(tmp_path / "new", serial=8), OURS), pinned(OURS))
    Accepted(record).add(newer)
    with pytest.raises(TrustError, match="serial 7, this node has run 8"):
        Accepted(record).check(bundle)
    record.write_text('{"bundles": 3}')
    with pytest.raises(TrustError, match="record of bundles cannot be read"):
        Accepted(record)


def mutants(root: Path, older: Path, rng: Random) -> Iterator[str]:
    """Spoil a bundle in one way after the other; what it was is restored before the next one."""
    originals = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    manifest, signature = root / "manifest.json", root / "signature.json"
    others = [p for p in originals if p not in (manifest, signature)]
    while True:
        kind = rng.choice(("manifest", "signature", "value", "time", "foreign", "file", "older"))
        if kind == "manifest":
            swap(manifest, spoil(originals[manifest], rng))
        elif kind == "signature":
            swap(signature, spoil(originals[signature], rng))
        elif kind in ("value", "time"):
            entry = json.loads(originals[signature])["signatures"][0]
            changed = dict(entry, value=spoil_hex(entry["value"], rng))
            if kind == "time":
                changed = dict(entry, signed=f"2026-06-01T00:00:{rng.randrange(1, 60):02d}Z")
            put(root, Signature(**changed))
        elif kind == "foreign":
            key = Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
            sign_it(root, key)
        elif kind == "file":
            path = rng.choice(others)
            swap(path, spoil(originals[path], rng))
        else:
            for path in (manifest, signature):
                swap(path, (older / path.name).read_bytes())
        yield kind
        for path, content in originals.items():
            if path.read_bytes() != content:
                swap(path, content)


def swap(path: Path, content: bytes) -> None:
    """Write a new file: ext4 waits for the disk when an old one is written over."""
    path.unlink()
    path.write_bytes(content)


def spoil(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data))
    kind = rng.randrange(4)
    if kind == 0:
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if kind == 1:
        return data[:at]
    if kind == 2:
        return data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at:]
    return data[:at] + data[at + 1 :]


def spoil_hex(text: str, rng: Random) -> str:
    return (int(text, 16) ^ 1 << rng.randrange(4 * len(text))).to_bytes(64, "big").hex()


def test_no_tampered_downgraded_or_foreign_bundle_is_accepted(root: Path, tmp_path: Path) -> None:
    trust, record = pinned(OURS, NEXT), Accepted(tmp_path / "accepted.json")
    genuine = Bundle.open(root, trust)
    record.add(genuine)
    older = sign_it(make_bundle(tmp_path / "older", serial=6), OURS)
    shutil.copytree(older, tmp_path / "copy")
    accepted, kinds = [], set()
    rng = Random(11)
    for _, kind in zip(range(TAMPERED), mutants(root, older, rng), strict=False):
        kinds.add(kind)
        try:
            bundle = Bundle.open(root, trust)
            record.check(bundle)
        except (BundleError, TrustError):
            continue
        # White space in signature.json changes nothing of what was signed.
        if kind != "signature" or bundle.digest != genuine.digest:
            accepted.append(kind)
    assert accepted == []
    assert len(kinds) == 7
    record.check(genuine)
