"""Bundles over the air: received in pieces, tested apart, tried, then kept or rolled back."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tactic_codec import accepted
from tactic_codec.accepted import Accepted
from tactic_codec.bundle import MANIFEST, Bundle, find_signer
from tactic_codec.bundle_files import parse
from tactic_codec.errors import ConfigError
from tactic_codec.manifest import Manifest
from tactic_codec.node_key import NodeKey, Purpose
from tactic_codec.packet import Packet
from tactic_delivery import chunk
from tactic_delivery.errors import CommandError
from tactic_delivery.kinds import Activate, Arguments, Install
from tactic_device import encoders
from tactic_device.coder import Coder
from tactic_device.config import BundleSettings
from tactic_device.encoders import Limits
from tactic_device.errors import EncoderError, TrialError
from tactic_device.log import Log
from tactic_device.slots import Slots
from tactic_device.sources import Shot
from tactic_device.trial import Trial

SELF_TEST_S = 20.0

Result = dict[str, Any]


class Installer:
    """What came over the air, and what is on trial.

    Parameters
    ----------
    settings : BundleSettings
        With ``slots`` and ``trust``.
    key : NodeKey or None
    clock_ns : callable
    log : Log

    Raises
    ------
    SlotError, TrustError
        Slots or record cannot be used.
    """

    def __init__(
        self,
        settings: BundleSettings,
        key: NodeKey | None,
        clock_ns: Callable[[], int],
        log: Log,
    ) -> None:
        assert settings.slots is not None and settings.trust is not None, "the model demands both"
        self._settings = settings
        self._key = key
        self._clock_ns = clock_ns
        self._log = log
        self._slots = Slots(settings.slots)
        self._record = Accepted(settings.trust.with_name(accepted.FILE))
        self._lock = threading.Lock()
        self._expected: Manifest | None = None
        self._staged: tuple[Bundle, Path] | None = None
        self.trial: Trial | None = None
        if self._slots.outcome.get("outcome") == "trial":
            self._note("rolled back", reason="the node ended during the trial")

    def install(self, arguments: Arguments) -> Result:
        """Expect a bundle: check whose it is, say what is missing of it."""
        assert isinstance(arguments, Install)
        if self.trial:
            raise CommandError("busy", "a bundle is on trial")
        manifest_text = arguments.manifest.encode()
        signature = arguments.signature.encode()
        where = Path("the bundle offered")
        trust = self._settings.read_trust()
        assert trust is not None, "slots need trust"
        signer = find_signer(where, manifest_text, signature, trust)
        manifest = parse(Manifest, where / MANIFEST, manifest_text)
        digest = hashlib.sha256(manifest_text).hexdigest()
        self._record.check(Bundle(where, manifest, (), digest, signer))
        here = [self._settings.path, *self._slots.all]
        with self._lock:
            missing = self._slots.expect(manifest_text, signature, manifest.device_files, here)
            self._expected = manifest
        return {"missing": [list(each) for each in missing]}

    def take_chunk(self, message: bytes) -> None:
        """Take a piece of a file; what does not belong is let go.

        Raises
        ------
        PacketError, CommandError
            It is no piece, or not from the gateway.
        """
        piece = chunk.unpack(self._key.open(Purpose.CHUNK, message) if self._key else message)
        with self._lock:
            text = self._slots.incoming_manifest
            manifest = self._expected
            if text is None or manifest is None:
                return
            ours = hashlib.sha256(text).digest()[: chunk.BUNDLE_BYTES] == piece.bundle
            if ours and piece.file < len(manifest.device_files):
                self._slots.write(manifest.device_files[piece.file], piece.offset, piece.data)

    def activate(self, arguments: Arguments, coder: Coder, runtime: str, threads: int) -> Result:
        """Test a bundle that is whole, and begin its trial."""
        assert isinstance(arguments, Activate)
        if self.trial:
            raise CommandError("busy", "a bundle is on trial")
        with self._lock:
            text, manifest = self._slots.incoming_manifest, self._expected
            if text is None or manifest is None:
                raise CommandError("arguments", "no bundle was sent")
            if hashlib.sha256(text).hexdigest() != arguments.manifest:
                raise CommandError("arguments", "another bundle was sent")
            slot = self._slots.stage(manifest.device_files)
            self._expected = None
        bundle = Bundle.open(slot, self._settings.read_trust(), device_only=True)
        self._record.check(bundle)
        try:
            fresh = _fit(coder, bundle, runtime, threads, self._settings.frame_limit_s)
        except (EncoderError, ConfigError) as fault:
            self._note("refused", bundle, reason=str(fault))
            raise
        self._staged = bundle, slot
        until_ns = self._clock_ns() + int(self._settings.trial_s * 1e9)
        self._note("trial", bundle)
        limit_s = self._settings.frame_limit_s
        self.trial = Trial(fresh, until_ns, limit_s, self._clock_ns)
        return {"trial_s": self._settings.trial_s}

    def status(self, _arguments: Arguments) -> Result:
        """What became of the latest bundle."""
        return {**self._slots.outcome, "slot": self._slots.current and self._slots.current.name}

    def encode(self, coder: Coder, shot: Shot) -> tuple[Packet, Coder]:
        """Make a packet with the bundle on trial, or with ``coder`` where it fails.

        Returns
        -------
        Packet
        Coder
            The one to use from now on: ``coder`` until the trial has ended well.
        """
        if self.trial is None:
            return coder.encode(shot), coder
        try:
            packet = self.trial.encode(shot)
        except TrialError as fault:
            self.trial = None
            self._note("rolled back", self._on_trial()[0], reason=str(fault))
            return coder.encode(shot), coder
        if not self.trial.passed:
            return packet, coder
        bundle, slot = self._on_trial()
        self._slots.switch(slot)
        self._record.add(bundle)
        self._note("kept", bundle)
        kept, self.trial = self.trial.coder, None
        return packet, kept

    def _on_trial(self) -> tuple[Bundle, Path]:
        assert self._staged is not None, "a trial has a bundle"
        return self._staged

    def _note(self, outcome: str, bundle: Bundle | None = None, reason: str | None = None) -> None:
        facts: Result = dict(self._slots.outcome) if bundle is None else _facts(bundle)
        facts |= {"outcome": outcome, "reason": reason}
        self._slots.note(facts)
        (self._log.warning if reason else self._log.info)("bundle", **facts)


def _facts(bundle: Bundle) -> Result:
    manifest = bundle.manifest
    return {"name": manifest.name, "serial": manifest.serial, "manifest": bundle.digest}


def _fit(coder: Coder, bundle: Bundle, runtime: str, threads: int, limit_s: float) -> Coder:
    """A coder of a new bundle for the frame size, level and budget of the present one.

    Raises
    ------
    ConfigError
        It has no such frame size.
    EncoderError
        Its encoder crashes, hangs, is too slow or gives other latents than its probe frames have.
    """
    size = coder.bundle.codec.geometries[coder.geometry]
    if size not in bundle.codec.geometries:
        raise ConfigError(f"bundle {bundle.manifest.name} has no size {size.width}x{size.height}")
    same = coder.level < bundle.codec.levels
    level = coder.level if same else bundle.manifest.default_level
    choice = encoders.choose(bundle, level, runtime, threads, Limits(limit_s, SELF_TEST_S))
    return replace(
        coder,
        bundle=bundle,
        encoder=choice.encoder,
        geometry=bundle.codec.geometries.index(size),
        level=level,
    )
