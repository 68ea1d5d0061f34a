"""A bundle over the air, by the commands that a user has: sent, tried, kept, and decoded."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from tactic.app import app
from tactic_gateway.errors import NodeError

if TYPE_CHECKING:
    from conftest import Site
    from tactic.demo.broker import Broker


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    if result.exception is not None:
        raise result.exception
    return result


def rows(site: Site, query: str) -> list[tuple[int, ...]]:
    with closing(sqlite3.connect(site.folder / "gateway.db")) as db:
        return db.execute(query).fetchall()


@pytest.fixture
def released(site: Site, tiny_bundle: Path) -> tuple[Path, Path]:
    """Two signed releases; the second one's codec has another id, so its frames tell."""
    run("trust", "init", site.folder / "root")
    made = []
    for serial in (1, 2):
        root = shutil.copytree(tiny_bundle, site.folder / f"release-{serial}")
        manifest = json.loads((root / "manifest.json").read_text())
        manifest["codec"]["arch"] = f"tiny-{serial}"
        (root / "manifest.json").write_text(json.dumps(manifest))
        key = site.folder / "root/release.key"
        run("bundle", "sign", root, "--key", key, "--serial", serial)
        made.append(root)
    return made[0], made[1]


def test_a_bundle_is_sent_tried_kept_and_its_frames_are_decoded(
    site: Site, broker: Broker, released: tuple[Path, Path]
) -> None:
    first, second = released
    site.bundle = first
    site.configure(
        broker.port,
        source={"kind": "folder", "path": "pictures", "loop": True, "fps": 10.0},
        bundle={"trust": "root/trust.json", "slots": "slots", "trial_s": 2.0},
    )
    for room, key in (("device", "path"), ("gateway", "paths")):
        path = site.folder / f"{room}.toml"
        text = path.read_text().replace("unsigned = true\n", "")
        if key == "paths":
            both = json.dumps([str(first), str(second)])
            text = text.replace(json.dumps([str(first)]), both)
            text = text.replace("[bundles]", '[bundles]\ntrust = "root/trust.json"')
        path.write_text(text)
    config = site.folder / "gateway.toml"
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
