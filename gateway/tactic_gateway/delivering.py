"""A bundle to a node: its manifest, the pieces that are missing, and what becomes of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tactic_codec.bundle import MANIFEST, SIGNATURE, Bundle
from tactic_codec.bundle_files import read_small
from tactic_codec.errors import BundleError
from tactic_delivery import chunk
from tactic_delivery.chunk import BUNDLE_BYTES, Chunk
from tactic_gateway.errors import NodeError
from tactic_gateway.remote import REPEAT_S, Remote

CHUNK_BYTES = 4096
WINDOW_CHUNKS = 32
LOOK_S = 2.0
MOST_ROUNDS_WITHOUT_PROGRESS = 10

Say = Callable[[str], None]


def deliver(remote: Remote, path: Path, patience_s: float, say: Say) -> dict[str, Any]:
    """Send a bundle, have it tried, and wait for the end of the trial.

    Pieces are sent a window at a time; then the node is asked again what it lacks. So it does not
    matter which get lost, and a transfer that was broken off goes on where it stood.

    Parameters
    ----------
    remote : Remote
    path : Path
        A signed bundle.
    patience_s : float
        For each answer of the node.
    say : callable
        Takes one line of progress.

    Returns
    -------
    dict
        What the node says of the bundle: ``outcome`` is ``kept``.

    Raises
    ------
    BundleError
        The bundle is not whole, or not signed.
    NodeError
        The node refuses it, rolls it back, or does not answer.
    """
    bundle = Bundle.open(path)
    text = read_small(path / MANIFEST, "give the directory of a bundle")
    if not (path / SIGNATURE).exists():
        raise BundleError(f"{path}: not signed; sign it with tactic bundle sign")
    signature = read_small(path / SIGNATURE, "sign it with tactic bundle sign")
    offer = {"manifest": text.decode(), "signature": signature.decode()}
    _send(remote, bundle, offer, patience_s, say)
    digest = hashlib.sha256(text).hexdigest()
    return try_out(remote, digest, patience_s, say)


def try_out(remote: Remote, digest: str, patience_s: float, say: Say) -> dict[str, Any]:
    """Have a bundle that a node holds tried, and wait for the end; see `deliver`."""
    response = remote.call("activate", {"manifest": digest}, patience_s)
    if (response.status, response.reason) == ("rejected", "boot"):
        # It has started again since it was asked, and its answer was lost: a trial is over by that.
        trial_s = 0.0
    else:
        trial_s = float(_done(response)["trial_s"])
        say(f"tested; on trial for {trial_s:g} s")
    found = _wait_for_end(remote, digest, trial_s + patience_s)
    if found["outcome"] != "kept":
        raise NodeError(f"{remote.node}: {found['outcome']}: {found.get('reason')}")
    return found


def _wait_for_end(remote: Remote, digest: str, patience_s: float) -> dict[str, Any]:
    """Ask until the trial has ended; the node may be restarted meanwhile."""
    deadline_s = time.monotonic() + patience_s
    while True:
        time.sleep(LOOK_S)
        try:
            found = _done(remote.call("bundle", {}, REPEAT_S))
            if found.get("manifest") == digest and found.get("outcome") != "trial":
                return found
        except NodeError:
            if time.monotonic() > deadline_s:
                raise
        if time.monotonic() > deadline_s:
            raise NodeError(
                f"{remote.node}: the trial does not end, or never began; see its log, then install "
                "the bundle again"
            )


def _send(
    remote: Remote, bundle: Bundle, offer: dict[str, Any], patience_s: float, say: Say
) -> None:
    files = bundle.manifest.device_files
    ours = bytes.fromhex(bundle.digest)[:BUNDLE_BYTES]
    missing = _done(remote.call("install", offer, patience_s))["missing"]
    idle = 0
    while missing:
        left_bytes = sum(files[index].size_bytes - have for index, have in missing)
        say(f"{left_bytes} bytes to send")
        room = WINDOW_CHUNKS
        for index, have in missing:
            content = bundle.read(files[index])
            for offset in range(have, len(content), CHUNK_BYTES)[:room]:
                data = content[offset : offset + CHUNK_BYTES]
                remote.send(chunk.pack(Chunk(ours, index, offset, data)))
                room -= 1
        before, missing = missing, _done(remote.call("install", offer, patience_s))["missing"]
        idle = idle + 1 if missing == before else 0
        if idle == MOST_ROUNDS_WITHOUT_PROGRESS:
            raise NodeError(f"{remote.node}: nothing arrives; may this gateway publish there?")


def _done(response: Any) -> dict[str, Any]:
    if response.status != "done":
        detail = response.result.get("detail", response.reason)
        raise NodeError(f"bundle {response.status}: {detail}")
    result: dict[str, Any] = response.result
    return result
