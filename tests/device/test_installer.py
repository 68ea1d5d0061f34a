"""Bundles over the air: only ours, only newer, tested apart, rolled back at the first fault."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tactic_codec import trust as trust_file
from tactic_codec.bundle import (
    MANIFEST,
    SIGNATURE,
    Bundle,
    Signatures,
    file_entry,
    write_manifest,
    write_signatures,
)
from tactic_codec.bundle_files import parse
from tactic_codec.errors import ConfigError, TrustError
from tactic_codec.manifest import Manifest
from tactic_codec.node_key import NodeKey, Purpose
from tactic_codec.packet import Packet
from tactic_codec.signing import Purpose as Signed
from tactic_codec.signing import public_key, sign
from tactic_codec.trust import Trust, TrustedKey
from tactic_delivery import chunk
from tactic_delivery.chunk import Chunk
from tactic_delivery.errors import CommandError
from tactic_delivery.kinds import Activate, BundleStatus, Install
from tactic_device import encoders, trial
from tactic_device.coder import Coder
from tactic_device.config import BundleSettings
from tactic_device.encoders import selection
from tactic_device.errors import EncoderError, SlotError, TrialError
from tactic_device.installer import Installer
from tactic_device.log import Log
from tactic_device.sources import Shot
from tactic_device.trial import Trial
from tactic_device.trusted import accept, open_bundle

OURS, FOREIGN = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
S = 1_000_000_000
SHOT = Shot(np.random.default_rng(1).integers(0, 256, (16, 24, 3), np.uint8), 0)
RUNTIME = "onnxruntime"


def release(
    original: Path, root: Path, serial: int, key: Ed25519PrivateKey = OURS, wrong: bool = False
) -> Path:
    """A signed successor of a bundle; ``wrong``: its probe frames demand other latents."""
    shutil.copytree(original, root)
    manifest = parse(Manifest, root, (root / MANIFEST).read_bytes())
    if wrong:
        latents = np.load(root / "probe/latents.npy")
        np.save(root / "probe/latents.npy", latents + np.int8(3))
        entry = file_entry(root, "probe/latents.npy")
        probe = manifest.probe.model_copy(update={"latents": entry})
        manifest = manifest.model_copy(update={"probe": probe})
    write_manifest(root, manifest.model_copy(update={"serial": serial}))
    content = (root / MANIFEST).read_bytes()
    made = sign(key, Signed.BUNDLE, content, "2026-01-01T00:00:00Z")
    write_signatures(root, Signatures(signatures=(made,)))
    return root


class Bench:
    """A node that runs release 1 and takes others over the air; time is an argument."""

    def __init__(self, folder: Path, bundle: Bundle, log: Log, key: NodeKey | None = None) -> None:
        pytest.importorskip(RUNTIME)
        self.folder = folder
        self.now_ns = 0
        pinned = TrustedKey(name="ours", public=public_key(OURS))
        trust_file.write(folder / "trust.json", Trust(format=1, counter=1, keys=(pinned,)))
        self.settings = BundleSettings(
            path=release(bundle.path, folder / "factory", 1),
            trust=folder / "trust.json",
            slots=folder / "slots",
            trial_s=30.0,
            frame_limit_s=5.0,
        )
        self.log = log
        self.key = key
        self.start()

    def start(self) -> None:
        """As a node starts, also after it was killed."""
        opened = open_bundle(self.settings)
        accept(self.settings, opened)
        self.coder = Coder(opened, encoders.choose(opened, 0, RUNTIME, 1).encoder, 0, 0)
        self.installer = Installer(self.settings, self.key, lambda: self.now_ns, self.log)

    @property
    def serial(self) -> int:
        """Of the bundle that codes frames now."""
        active = self.installer.trial.coder if self.installer.trial else self.coder
        return active.bundle.manifest.serial

    @property
    def outcome(self) -> dict[str, Any]:
        return self.installer.status(BundleStatus())

    def offer(self, source: Path) -> list[list[int]]:
        text, signature = ((source / name).read_text() for name in (MANIFEST, SIGNATURE))
        found: list[list[int]] = self.installer.install(
            Install(manifest=text, signature=signature)
        )["missing"]
        return found

    def send(self, source: Path) -> str:
        """Send all that is missing; give the digest of the manifest."""
        text = (source / MANIFEST).read_bytes()
        files = parse(Manifest, source, text).device_files
        for index, have in self.offer(source):
            content = (source / files[index].path).read_bytes()
            for offset in range(have, len(content), 1000):
                data = content[offset : offset + 1000]
                piece = Chunk(hashlib.sha256(text).digest()[:16], index, offset, data)
                message = chunk.pack(piece)
                self.installer.take_chunk(
                    self.key.sign(Purpose.CHUNK, message) if self.key else message
                )
        return hashlib.sha256(text).hexdigest()

    def activate(self, digest: str) -> float:
        trial_s: float = self.installer.activate(Activate(manifest=digest), self.coder, RUNTIME, 1)[
            "trial_s"
        ]
        return trial_s

    def frame(self) -> Packet:
        packet, self.coder = self.installer.encode(self.coder, SHOT)
        return packet


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the test in a process of its own out where it is not what is tested."""
    if "probe" not in request.node.name and "only_the_test" not in request.node.name:
        monkeypatch.setattr(selection, "probe", lambda *_: None)


@pytest.fixture
def bench(tmp_path: Path, bundle: Bundle, log: Log) -> Bench:
    return Bench(tmp_path, bundle, log)


@pytest.fixture
def make(tmp_path: Path, bundle: Bundle) -> Callable[..., Path]:
    return lambda serial, **how: release(bundle.path, tmp_path / f"release-{serial}", serial, **how)


def test_a_good_bundle_is_tried_and_kept(bench: Bench, make: Callable[..., Path]) -> None:
    digest = bench.send(make(2))
    assert bench.serial == 1
    assert bench.activate(digest) == 30.0
    assert bench.serial == 2
    bench.frame()
    assert (bench.outcome["outcome"], bench.outcome["slot"]) == ("trial", None)
    bench.now_ns += 31 * S
    bench.frame()
    assert (bench.outcome["outcome"], bench.outcome["slot"]) == ("kept", "a")
    assert bench.coder.bundle.manifest.serial == 2
    # It runs after a restart too, and the one before it never again.
    bench.start()
    assert bench.serial == 2
    with pytest.raises(TrustError, match="serial 1, this node has run 2"):
        bench.offer(make(1))
    bench.activate(bench.send(make(3)))
    bench.now_ns += 31 * S
    bench.frame()
    assert (bench.serial, bench.outcome["slot"]) == (3, "b")


@pytest.mark.parametrize("fault", ["raises", "slow", "killed"])
def test_a_bundle_that_fails_in_the_field_is_rolled_back_and_no_frame_is_lost(
    bench: Bench, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    expected = bench.frame()
    bench.activate(bench.send(make(2)))
    bench.frame()
    assert bench.installer.trial is not None
    if fault == "killed":
        bench.start()
        reason = "the node ended during the trial"
    else:
        whole = bench.installer.trial.coder

        class Failing:
            def encode(self, pixels: Any) -> Any:
                bench.now_ns += 6 * S
                if fault == "raises":
                    raise RuntimeError("kernel\nfault")
                return whole.encoder.encode(pixels)

        coder = dataclasses.replace(whole, encoder=whole.encoder)
        object.__setattr__(coder, "encoder", Failing())
        monkeypatch.setattr(bench.installer.trial, "coder", coder)
        assert bench.frame() == expected
        reason = {"raises": "RuntimeError: kernel fault", "slow": "a frame took 6.00 s"}[fault]
    assert bench.serial == 1
    assert bench.outcome["outcome"] == "rolled back"
    assert reason in bench.outcome["reason"]
    assert bench.outcome["slot"] is None
    # Nothing is in the way of the same bundle, mended, with a higher number.
    bench.activate(bench.send(make(3)))
    assert bench.serial == 3


def test_a_bundle_that_disagrees_with_its_probe_is_never_tried(
    bench: Bench, make: Callable[..., Path]
) -> None:
    digest = bench.send(make(2, wrong=True))
    with pytest.raises(EncoderError, match=r"100\.00% of the latents differ, by up to 3"):
        bench.activate(digest)
    assert (bench.serial, bench.outcome["outcome"]) == (1, "refused")
    assert bench.installer.trial is None


PROBES = {
    "crashes": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "hangs": "import time; time.sleep(60)",
    "slow": "",
}


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("crashes", "killed by SIGSEGV"),
        ("hangs", "gave no latents within 1 s"),
        ("slow", r"a frame took .* s, the limit is 1e-09 s"),
    ],
)
def test_a_bundle_that_crashes_hangs_or_is_slow_costs_only_the_test(
    bench: Bench,
    make: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    reason: str,
) -> None:
    digest = bench.send(make(2))
    if how == "slow":
        bench.installer._settings = bench.settings.model_copy(update={"frame_limit_s": 1e-9})
    else:
        monkeypatch.setattr("tactic_device.installer.SELF_TEST_S", 1.0)
        program = tmp_path / "python"
        program.write_text(f"#!{sys.executable}\n{PROBES[how]}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(EncoderError, match=reason):
        bench.activate(digest)
    assert (bench.serial, bench.outcome["outcome"]) == (1, "refused")


def test_only_what_a_trusted_key_signed_is_expected(
    bench: Bench, make: Callable[..., Path]
) -> None:
    with pytest.raises(TrustError, match="signed by no key of the trust file"):
        bench.offer(make(2, key=FOREIGN))
    good = make(3)
    (good / MANIFEST).write_text((good / MANIFEST).read_text().replace("tiny", "tony"))
    with pytest.raises(TrustError, match="changed after key ours signed it"):
        bench.offer(good)
    with pytest.raises(CommandError, match="no bundle was sent"):
        bench.activate("0" * 64)


def test_a_bundle_for_other_frames_is_refused(
    bench: Bench, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = bench.send(make(2))
    bench.coder = dataclasses.replace(bench.coder, geometry=0)
    codec = bench.coder.bundle.codec
    others = (codec.geometries[0].model_copy(update={"height": 64}), codec.geometries[1])
    manifest = bench.coder.bundle.manifest.model_copy(
        update={"codec": codec.model_copy(update={"geometries": others})}
    )
    object.__setattr__(bench.coder.bundle, "manifest", manifest)
    with pytest.raises(ConfigError, match="has no size 24x64"):
        bench.activate(digest)
    assert bench.outcome["outcome"] == "refused"


def test_one_thing_at_a_time(bench: Bench, make: Callable[..., Path]) -> None:
    first, second = make(2), make(3)
    digest = bench.send(first)
    bench.offer(second)
    with pytest.raises(CommandError, match="another bundle was sent"):
        bench.activate(digest)
    bench.offer(first)
    with pytest.raises(CommandError, match="another bundle was sent"):
        bench.activate("0" * 64)
    bench.activate(bench.send(first))
    for attempt in (lambda: bench.offer(second), lambda: bench.activate(digest)):
        with pytest.raises(CommandError, match="a bundle is on trial"):
            attempt()


def test_pieces_that_do_not_belong_are_let_go(
    tmp_path: Path, bundle: Bundle, log: Log, make: Callable[..., Path]
) -> None:
    key = NodeKey(bytes(32), "yard", "cam1")
    bench = Bench(tmp_path, bundle, log, key)
    source = make(2)
    text = (source / MANIFEST).read_bytes()
    ours = hashlib.sha256(text).digest()[:16]
    stray = Chunk(ours, 0, 0, b"x")
    bench.installer.take_chunk(key.sign(Purpose.CHUNK, chunk.pack(stray)))  # nothing is expected
    shutil.rmtree(bench.settings.path / "device")
    missing = bench.offer(source)
    assert missing
    for piece in (
        dataclasses.replace(stray, bundle=bytes(16)),
        dataclasses.replace(stray, file=65535),
        dataclasses.replace(stray, offset=4),
    ):
        bench.installer.take_chunk(key.sign(Purpose.CHUNK, chunk.pack(piece)))
    for message in (b"", chunk.pack(stray), b"\x02" + chunk.pack(stray)[1:], bytes(20000)):
        with pytest.raises(Exception, match=r"forged|form"):
            bench.installer.take_chunk(message)
        with pytest.raises(CommandError, match="form"):
            signed = key.sign(Purpose.CHUNK, message[:5] + bytes(20000))
            bench.installer.take_chunk(signed)
    assert bench.offer(source) == missing
    bench.activate(bench.send(source))
    assert bench.serial == 2


def test_a_full_disk_is_an_error_of_its_own(
    bench: Bench, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(2)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tactic_device.slots.replace_file", full)
        with pytest.raises(SlotError, match=r"slots: No space left on device; check bundle\.slots"):
            bench.offer(source)
    bench.activate(bench.send(source))
    assert bench.serial == 2


def test_a_frame_that_never_ends_ends_the_process(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(trial, "HANG_S", 0.01)

    class Hanging:
        def encode(self, pixels: Any) -> Any:
            while not ended:
                time.sleep(0.01)
            raise RuntimeError("the process would be gone")

    coder = dataclasses.replace(bench.coder)
    object.__setattr__(coder, "encoder", Hanging())
    attempt = Trial(coder, 1, 5.0, lambda: 0, ended.append)
    with pytest.raises(TrialError):
        attempt.encode(SHOT)
    assert ended == [1]


def test_slots_need_trust(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="slots need trust"):
        BundleSettings(path=tmp_path, unsigned=True, slots=tmp_path)
