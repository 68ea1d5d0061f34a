"""The bundles of a configuration, verified, and what their workers have to know."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tactic_codec import rans
from tactic_codec.bundle import Bundle
from tactic_codec.errors import BundleError
from tactic_codec.trusting import NOBODY
from tactic_gateway.config import GatewayConfig
from tactic_gateway.log import Log
from tactic_gateway.messages import Setup


def open_bundles(config: GatewayConfig, log: Log | None = None) -> dict[int, Bundle]:
    """Open every bundle, by the short id that packets have.

    Raises
    ------
    BundleError
        One cannot be used, or two have the same short id.
    TrustError
        No trusted key vouches for one.
    """
    bundles: dict[int, Bundle] = {}
    trust = config.bundles.read_trust()
    for path in config.bundles.paths:
        bundle = Bundle.open(path, trust)
        wire = bundle.codec.wire_id
        if wire in bundles:
            raise BundleError(
                f"{path}: its wire id {wire:04x} is also that of another path; remove one of them"
            )
        bundles[wire] = bundle
        if log:
            log.info(
                "bundle_open",
                path=path,
                name=bundle.manifest.name,
                id=bundle.codec.id,
                signed_by=bundle.signer or NOBODY,
            )
    if log:
        log.info("entropy_coder", backend=rans.backend(), why=rans.why())
    return bundles


def setup(config: GatewayConfig, bundles: Mapping[int, Bundle]) -> Setup:
    """Say to workers how to work."""
    return Setup(
        bundles=tuple((str(each.path), each.digest) for each in bundles.values()),
        threads=max(1, (os.cpu_count() or 1) // config.workers.processes),
        top=config.results.top,
        memory_bytes=config.workers.memory_limit_bytes,
        parent=os.getpid(),
    )
