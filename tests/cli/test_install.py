"""A bundle over the air, by the commands that a user has: sent, tried, kept, and decoded."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from rig.tiny import ENCODER
from tactic.app import app
from tactic_codec.bundle import file_entry
from tactic_gateway.errors import NodeError

if TYPE_CHECKING:
    from conftest import Site
    from tactic.demo.broker import Broker


ROLLED_BACK_S = 60.0
#: The tiny encoder with a loop in it that takes seconds; the probe of a bundle finds it too slow.
SLOW = ENCODER.replace(
    "int64[2] steps = {4, 4}>",
    "int64[2] steps = {4, 4}, int64 turns = {6000000}, bool go = {1}>",
).replace(
    "thinned = Slice (frame, starts,",
    """waited = Loop (turns, go, starts) <body = turn (int64 i, bool on, int64[2] at)
        => (bool still, int64[2] same) { still = Identity (on) same = Abs (at) }>
    thinned = Slice (frame, waited,""",
)


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    if result.exception is not None:
        raise result.exception
    return result


def rows(site: Site, query: str) -> list[tuple[int, ...]]:
    with closing(sqlite3.connect(site.folder / "gateway.db")) as db:
        return db.execute(query).fetchall()


Release = Callable[..., Path]


@pytest.fixture
def release(site: Site, tiny_bundle: Path) -> Release:
    """Makes signed releases; each one's codec has another id, so its frames tell."""
    run("trust", "init", site.folder / "root")

    def make(serial: int, **files: bytes) -> Path:
        root = shutil.copytree(tiny_bundle, site.folder / f"release-{serial}")
        manifest = json.loads((root / "manifest.json").read_text())
        manifest["codec"]["arch"] = f"tiny-{serial}"
        if "latents" in files:
            (root / "probe/latents.npy").write_bytes(files["latents"])
            manifest["probe"]["latents"] = file_entry(root, "probe/latents.npy").model_dump()
        if "encoder" in files:
            (root / "device/encoder.onnx").write_bytes(files["encoder"])
            entry = file_entry(root, "device/encoder.onnx").model_dump()
            manifest["codec"]["encoders"][0]["onnx"] = entry
        (root / "manifest.json").write_text(json.dumps(manifest))
        key = site.folder / "root/release.key"
        run("bundle", "sign", root, "--key", key, "--serial", serial)
        return root

    return make


def configure(site: Site, port: int, bundles: list[Path], trial_s: float) -> Path:
    """A site that runs only what is signed, the first one at the node; the gateway's file."""
    site.bundle = bundles[0]
    site.configure(
        port,
        source={"kind": "folder", "path": "pictures", "loop": True, "fps": 10.0},
        bundle={"trust": "root/trust.json", "slots": "slots", "trial_s": trial_s},
    )
    device, gateway = (site.folder / f"{room}.toml" for room in ("device", "gateway"))
    device.write_text(device.read_text().replace("unsigned = true\n", ""))
    text = gateway.read_text().replace("unsigned = true", 'trust = "root/trust.json"')
    every = json.dumps([str(path) for path in bundles])
    gateway.write_text(text.replace(json.dumps([str(bundles[0])]), every))
    return gateway


def test_a_bundle_is_sent_tried_kept_and_its_frames_are_decoded(
    site: Site, broker: Broker, release: Release
) -> None:
    first, second = release(1), release(2)
    config = configure(site, broker.port, [first, second], trial_s=2.0)
    gateway, device = site.start("gateway"), site.start("device")
    site.wait_for(lambda: site.events("device", "gateway_online"), "the node")
    done = run("node", "cam1", "install", second, "--config", config)
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["outcome"], found["serial"], found["slot"]) == ("kept", 2, "a")
    assert [e["outcome"] for e in site.events("device", "bundle")] == ["trial", "kept"]
    with pytest.raises(NodeError, match="serial 1, this node has run 2"):
        run("node", "cam1", "install", first, "--config", config)
    # After a restart the node runs it too; frames of both are decoded, each with its own.
    assert site.stop(device) == 0
    device = site.start("device")
    site.wait_for(lambda: len(site.events("device", "started")) == 2, "the restart")
    time.sleep(1)
    assert site.stop(device) == 0
    (ledger, last) = (each["ledger"] for each in site.events("device", "stopped"))
    assert last["captured"] > ledger["captured"]
    started = [each["bundle"] for each in site.events("device", "started")]
    assert started[0] != started[1]
    frames = "SELECT count(*), count(DISTINCT bundle) FROM packets WHERE kind = 0"
    site.wait_for(
        lambda: rows(site, "SELECT count(*) FROM results")[0][0] == rows(site, frames)[0][0],
        "a result for every frame",
    )
    assert rows(site, frames)[0][1] == 2
    assert site.stop(gateway) == 0


def test_faulty_bundles_are_rolled_back_within_a_minute(
    site: Site, broker: Broker, release: Release
) -> None:
    from onnx import parser

    first = release(1)
    wrong = io.BytesIO()
    np.save(wrong, np.load(first / "probe/latents.npy") ^ np.int8(64))
    disagrees = release(2, latents=wrong.getvalue())
    slow = release(3, encoder=parser.parse_model(SLOW).SerializeToString())
    no_network = release(4, encoder=b"no network")
    config = configure(site, broker.port, [first], trial_s=300.0)
    gateway, device = site.start("gateway"), site.start("device")
    site.wait_for(lambda: site.events("device", "gateway_online"), "the node")
    for bundle, reason in (
        (disagrees, "of the latents differ"),
        (slow, "a frame took|gave no latents"),
        (no_network, "onnxruntime"),
    ):
        begun_s = time.monotonic()
        with pytest.raises(NodeError, match=reason):
            run("node", "cam1", "install", bundle, "--config", config, "--wait", 60)
        assert time.monotonic() - begun_s <= ROLLED_BACK_S
        assert site.events("device", "bundle")[-1]["outcome"] == "refused"

    # One that passes its probe, and takes the node down with it in its trial.
    crashes = release(5)
    begun_s = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        command = ("node", "cam1", "install", crashes, "--config", config)
        asked = pool.submit(run, *command)
        site.wait_for(
            lambda: site.events("device", "bundle")[-1]["outcome"] == "trial", "the trial"
        )
        device.kill()
        device.wait()
        device = site.start("device")
        with pytest.raises(NodeError, match="rolled back: the node ended during the trial"):
            asked.result()
    assert time.monotonic() - begun_s <= ROLLED_BACK_S
    started = site.events("device", "started")
    assert [event["bundle"] for event in started] == [started[0]["bundle"]] * 2
    # The gateway knows only the first bundle: its frames flow, those of the trial wait.
    done = rows(site, "SELECT count(*) FROM results")[0][0]
    site.wait_for(lambda: rows(site, "SELECT count(*) FROM results")[0][0] > done, "results")
    assert site.stop(device) == 0
    assert site.stop(gateway) == 0
