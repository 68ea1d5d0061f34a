"""Whose bundle the node runs, and that it never goes back to an older one."""

from __future__ import annotations

from tactic_codec import accepted
from tactic_codec.accepted import Accepted
from tactic_codec.bundle import Bundle
from tactic_device.config import BundleSettings
from tactic_device.slots import Slots


def open_bundle(settings: BundleSettings) -> Bundle:
    """Open the bundle in use, or the configured one, if it may run here.

    Raises
    ------
    BundleError
        It is not whole.
    SlotError
        The slots cannot be used.
    TrustError
        No trusted key signed it, or a newer one of its name has run on this node.
    """
    slot = Slots(settings.slots).current if settings.slots else None
    trust = settings.read_trust()
    if slot is not None:
        bundle = Bundle.open(slot, trust, device_only=True)
    else:
        bundle = Bundle.open(settings.path, trust)
    if record := _record(settings):
        record.check(bundle)
    return bundle


def accept(settings: BundleSettings, bundle: Bundle) -> None:
    """Note that a bundle works here: from now on no older one of its name will run.

    Raises
    ------
    TrustError
        The record cannot be written.
    """
    if record := _record(settings):
        record.add(bundle)


def _record(settings: BundleSettings) -> Accepted | None:
    return Accepted(settings.trust.with_name(accepted.FILE)) if settings.trust else None
