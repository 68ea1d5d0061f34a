"""Bundle, runtimes, entropy coder, and whether they keep up."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tactic_codec import nest, rans
from tactic_codec.bundle import MANIFEST, Bundle
from tactic_codec.errors import BundleError, ConfigError, TacticError, TrustError
from tactic_codec.packet import HEADER_BYTES
from tactic_device.coder import Coder, find_geometry, find_level
from tactic_device.config import LEAST_BUDGET_BYTES, DeviceConfig
from tactic_device.doctor import remedy
from tactic_device.doctor.base import (
    Case,
    Check,
    Finding,
    fault,
    good,
    skipped,
    warning,
    with_coder,
    with_config,
)
from tactic_device.encoders import choose
from tactic_device.sources import Shot

_LOOPS = 5


def whole(case: Case, config: DeviceConfig) -> Finding:
    """Whether every file of the bundle is what its manifest declares."""
    path = case.slot or config.bundle.path
    try:
        bundle = Bundle.open(path, device_only=case.slot is not None)
    except BundleError as problem:
        return fault(str(problem), _another(case, config))
    return good(f"{path}: bundle {bundle.manifest.name} is whole")


def _another(case: Case, config: DeviceConfig) -> str:
    """Use a bundle that is whole, if there is one on this machine."""
    if case.slot is not None and config.bundle.slots is not None:
        link = config.bundle.slots / "current"
        return f"{remedy.sudo(link)}{remedy.quote('rm', link)}"
    folders = {config.bundle.path.parent, case.path.parent, Path.cwd() / "bundles"}
    for path in sorted({m.parent for f in folders if f.is_dir() for m in f.glob(f"*/{MANIFEST}")}):
        try:
            Bundle.open(path)
        except TacticError:
            continue
        return remedy.set_key(case.path, "bundle.path", f'"{path.resolve()}"')
    install = remedy.tactic("device", "install", "--bundle", "BUNDLE")
    return f"{remedy.as_root()}{install}"


def trusted(case: Case, config: DeviceConfig) -> Finding:
    """Whether the bundle may run here."""
    if config.bundle.unsigned:
        return good("unsigned = true: bundles that nobody signed may run here")
    found = case.bundle
    if isinstance(found, TrustError):
        trust = config.bundle.trust
        assert trust is not None, "the configuration model demands one of both"
        keys = sorted(trust.parent.glob("*.key"))
        key = keys[0] if keys else "RELEASE.key"
        path = config.bundle.path
        command = remedy.tactic("bundle", "sign", path, "--key", key)
        return fault(str(found), f"{remedy.sudo(path)}{command}")
    if isinstance(found, TacticError):
        return skipped("the bundle is not whole")
    return good(f"the bundle is signed by {found.signer}")


def geometry(case: Case, config: DeviceConfig) -> Finding:
    """Whether the bundle has the frame size."""
    bundle = case.bundle
    if isinstance(bundle, TacticError):
        return skipped("the bundle cannot be opened")
    try:
        index = find_geometry(bundle, config.encoder.geometry)
    except ConfigError as problem:
        first = bundle.codec.geometries[0]
        value = f'"{first.width}x{first.height}"'
        return fault(str(problem), remedy.set_key(case.path, "encoder.geometry", value))
    size = bundle.codec.geometries[index]
    return good(f"frames are coded at {size.width}x{size.height}")


def level(case: Case, config: DeviceConfig) -> Finding:
    """Whether the bundle has the rate level."""
    bundle = case.bundle
    if isinstance(bundle, TacticError):
        return skipped("the bundle cannot be opened")
    try:
        found = find_level(bundle, config.encoder.level)
    except ConfigError as problem:
        value = str(bundle.manifest.default_level)
        return fault(str(problem), remedy.set_key(case.path, "encoder.level", value))
    return good(f"frames are coded at rate level {found}")


def runtime(case: Case, config: DeviceConfig) -> Finding:
    """Whether a runtime gives the right latents."""
    bundle = case.bundle
    if isinstance(bundle, TacticError):
        return skipped("the bundle cannot be opened")
    found = case.choice
    if isinstance(found, ConfigError):
        return skipped("the rate level is not there")
    if not isinstance(found, TacticError):
        return good(f"{found.runtime} gives the latents that the bundle expects")
    if config.encoder.runtime != "auto":
        try:
            choose(bundle, bundle.manifest.default_level, "auto", config.encoder.threads)
        except TacticError:
            pass
        else:
            return fault(str(found), remedy.set_key(case.path, "encoder.runtime", '"auto"'))
    return fault(str(found), remedy.pip("install", "ai-edge-litert", "onnxruntime"))


def compiled(_case: Case) -> Finding:
    """Whether the entropy coder is the fast one."""
    if rans.backend() == "c":
        return good("the entropy coder is compiled")
    text = f"the entropy coder is the slow Python twin: {rans.why()}"
    if "TACTIC_RANS" in os.environ:
        return warning(text, "unset TACTIC_RANS")
    return warning(text, remedy.pip("install", "--force-reinstall", "--no-deps", "tactic-edge"))


def speed(case: Case, config: DeviceConfig, coder: Coder) -> Finding:
    """Whether frames can be coded as fast as they are asked for."""
    shot = _shots(coder)[0]
    coder.encode(shot)
    began_s = time.perf_counter()
    for _ in range(_LOOPS):
        coder.encode(shot)
    took_s = (time.perf_counter() - began_s) / _LOOPS
    fps = config.source.fps
    if fps * took_s > 1:
        return warning(
            f"a frame takes {1000 * took_s:.0f} ms to code, so {fps:g} frames a second do not fit",
            remedy.set_key(case.path, "source.fps", f"{0.5 / took_s:.1f}"),
        )
    return good(f"a frame takes {1000 * took_s:.1f} ms to code")


def budget(case: Case, config: DeviceConfig, coder: Coder) -> Finding:
    """Whether the budget of a frame holds a picture at all."""
    most_bytes = config.encoder.budget_bytes
    if most_bytes is None:
        return good("no frame is cut: encoder.budget_bytes is not set")
    # The first layer of a stream is the whole picture at its coarsest.
    coarsest = coder.bundle.codec.levels - 1
    coarsest -= (coarsest - coder.level) % 2
    least_bytes = max(
        HEADER_BYTES + len(coder.code(coder.latent(s), s, coarsest, None).payload)
        for s in _shots(coder)
    )
    if most_bytes < least_bytes:
        return fault(
            f"encoder.budget_bytes is {most_bytes}, and a whole picture at the coarsest level "
            f"takes {least_bytes}: the gateway would see parts of pictures",
            remedy.set_key(case.path, "encoder.budget_bytes", str(2 * least_bytes)),
        )
    return good(f"a frame may take {most_bytes} bytes, the coarsest picture takes {least_bytes}")


def usual_bytes(coder: Coder, rate_level: int) -> int:
    """Bytes of a packet with a probe frame, at a level of the coder's chain."""
    sizes = [
        HEADER_BYTES + len(coder.code(coder.latent(shot), shot, rate_level, None).payload)
        for shot in _shots(coder)
    ]
    return max(LEAST_BUDGET_BYTES, round(float(np.mean(sizes))))


def chain_levels(coder: Coder) -> range:
    """Rate levels that the same encoder gives, from the configured one to the coarsest."""
    return range(coder.level, coder.bundle.codec.levels, nest.chains(coder.bundle.codec.levels))


def _shots(coder: Coder) -> list[Shot]:
    frames: NDArray[np.uint8] = coder.bundle.probe()[0]
    return [Shot(np.ascontiguousarray(frame), 0) for frame in frames]


CHECKS: tuple[tuple[str, Check], ...] = (
    ("bundle.whole", with_config(whole)),
    ("bundle.trusted", with_config(trusted)),
    ("bundle.geometry", with_config(geometry)),
    ("bundle.level", with_config(level)),
    ("encoder.runtime", with_config(runtime)),
    ("encoder.speed", with_coder(speed)),
    ("encoder.budget", with_coder(budget)),
    ("coder.compiled", compiled),
)
