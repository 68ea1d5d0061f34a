"""``tactic demo``: the main job on real photos, as the processes that a user would run."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import closing
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from tactic.demo.broker import Broker
from tactic.demo.daemons import NODE, SITE, Daemon, write_configs
from tactic.demo.errors import DemoError
from tactic.demo.listener import Listener, Result
from tactic.demo.outcome import FrameOutcome, summarise
from tactic.demo.photos import Photo, photos, write_folder
from tactic.demo.rivals import smallest
from tactic.demo.sheet import draw_sheet
from tactic.evaluate.files import jpeg, webp
from tactic.trust.bundles import sign_bundle
from tactic.trust.roots import init
from tactic_codec.bundle import Bundle
from tactic_codec.packet import unpack
from tactic_codec.types import FrameKey
from tactic_device.fit import fit
from tactic_gateway.decoder import Decoder
from tactic_gateway.store import Store
from tactic_gateway.task import Classifier

#: without a new result for so long, what is missing counts as lost
PATIENCE_S = 60.0
_LOOK_S = 0.1

Say = Callable[[str], None]


def run_demo(out: Path, *, as_json: bool, train_first: bool) -> None:
    """Run everything, print one line a frame and the summary.

    Parameters
    ----------
    out : Path
        Emptied first, if it is a folder of an earlier demo.
    as_json : bool
        Only one JSON object on standard output; progress goes to standard error.
    train_first : bool
        Train and export a small bundle from the same photos first.

    Raises
    ------
    TacticError
        One line that names the cause and the remedy.
    """
    started_s = time.monotonic()
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    folder = _fresh(out)
    frames = list(photos())
    say = console.print
    say(f"{len(frames)} frames of real photos and clips")
    path = _bundle(folder, frames, train_first, say)
    bundle = _sign(folder, path)
    write_folder(frames, folder / "frames")
    broker, results, duplicates = _transmit(folder, path, frames, say)
    outcomes = _judge(folder, bundle, frames, results, say)
    draw_sheet(outcomes, folder / "contact-sheet.png")
    summary = summarise(outcomes, duplicates, time.monotonic() - started_s, broker)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    if as_json:
        print(json.dumps(summary))
    else:
        _print_summary(summary, folder, say)
    if summary["lost"] or duplicates:
        sys.exit(1)


def _fresh(out: Path) -> Path:
    marker = out / ".tactic-demo"
    if out.exists() and any(out.iterdir()) and not marker.exists():
        raise DemoError(f"{out}: not empty and not of an earlier demo; choose another --out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    marker.touch()
    return out


def _bundle(folder: Path, frames: list[Photo], train_first: bool, say: Say) -> Path:
    if train_first:
        try:
            from tactic.demo.training import train_bundle
        except ImportError as fault:
            raise DemoError(
                f"--train needs {fault.name}, which is not installed: "
                "pip install '.[demo,train]' in a checkout of tactic"
            ) from fault
        return train_bundle(folder, frames, say)
    path = Path(__file__).parents[3] / "bundles" / "photo1000"
    if not path.is_dir():
        raise DemoError(f"{path}: the shipped bundle is not there; run from a checkout")
    # The demo signs its bundle, and what ships stays as it is.
    return shutil.copytree(path, folder / "bundle")


def _sign(folder: Path, path: Path) -> Bundle:
    """Make a trust root for this demo alone, and sign the bundle with it."""
    init(folder / "trust", "demo")
    return sign_bundle(path, folder / "trust/demo.key", serial=1)


def _transmit(
    folder: Path, bundle: Path, frames: list[Photo], say: Say
) -> tuple[str, list[Result], int]:
    """Run broker, gateway and device until every frame has its result.

    Returns the broker's name, the results, and how many arrived more than once.
    """
    with Broker(folder) as broker:
        say(f"broker {broker.name} on 127.0.0.1:{broker.port}; gateway and device start")
        write_configs(folder, bundle, broker.port)
        with (
            Listener(SITE, broker.port) as listener,
            Daemon("gateway", folder) as gateway,
            Daemon("device", folder) as device,
        ):
            arrived, since_s = 0, time.monotonic()
            while time.monotonic() < since_s + PATIENCE_S:
                gateway.ended()
                if len(listener.results()) > arrived:
                    arrived, since_s = len(listener.results()), time.monotonic()
                if device.ended() and arrived >= len(frames):
                    break
                time.sleep(_LOOK_S)
            results = listener.results()
            return broker.name, results, listener.messages - len(results)


def _judge(
    folder: Path, bundle: Bundle, frames: list[Photo], results: list[Result], say: Say
) -> list[FrameOutcome]:
    """Compare every result with the clean answer and with JPEG and WebP."""
    geometry = bundle.codec.geometries[0]
    head = Classifier(bundle, bundle.manifest.heads[0], threads=0, top=1)
    decoder = Decoder(bundle, threads=0)
    outcomes = []
    with closing(Store(folder / "gateway.db")) as store:
        for photo, result in zip_longest(frames, results[: len(frames)]):
            original = fit(photo.pixels, geometry.height, geometry.width)
            clean = head.answers(original[None])[0].classes[0]
            outcome = FrameOutcome(
                name=photo.name,
                original=original,
                reconstruction=_decode(store, decoder, result) if result else None,
                clean_label=clean.label,
                label=result["classes"][0]["label"] if result else None,
                score=result["classes"][0]["score"] if result else None,
                agrees=bool(result) and result["classes"][0]["index"] == clean.index,
                wire_bytes=result["wire_bytes"] if result else None,
                latency_ms=result["latency_ms"] if result else None,
                jpeg_bytes=smallest(jpeg, original, clean.index, head.classes),
                webp_bytes=smallest(webp, original, clean.index, head.classes),
            )
            outcomes.append(outcome)
            say(outcome.line())
    return outcomes


def _decode(store: Store, decoder: Decoder, result: Result) -> NDArray[np.uint8]:
    key = FrameKey(NODE, result["boot"], result["seq"])
    job = store.job(key)
    assert job is not None, "a published result has its packets in the store"
    return decoder.reconstruct(key, [unpack(raw) for raw in job.raws]).pixels


def _print_summary(summary: dict[str, int | float | str | None], folder: Path, say: Say) -> None:
    say("")
    say(
        f"{summary['results']} of {summary['frames']} frames answered, {summary['lost']} lost, "
        f"{summary['duplicates']} duplicated, in {summary['seconds']} s over {summary['broker']}"
    )
    say(f"agreement with the answer on the uncompressed frame: {summary['agreement']:.0%}")
    say(
        f"bytes for the same answer: tactic {summary['bytes_same_answer']}, "
        f"JPEG {summary['jpeg_bytes_same_answer']}, WebP {summary['webp_bytes_same_answer']}"
    )
    say(f"contact sheet: {folder / 'contact-sheet.png'}")
