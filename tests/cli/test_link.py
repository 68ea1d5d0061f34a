"""``tactic link``: what it prints, and what a user gets wrong."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tactic import app
from tactic_codec.errors import TacticError
from tactic_link.traces import Setting, Traces, write

CONFIGURATION, LINK = 3, 10
Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process; what it printed."""

    def call(*arguments: str) -> str:
        app.app(["link", *arguments], standalone_mode=False)
        return capsys.readouterr().out

    return call


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    """A file of traces: tactic at 400 bytes, JPEG at 1,600."""
    right = np.ones(40)
    sizes = np.full(40, 400)
    settings = (
        Setting("tactic", {"level": 0, "share": 1.0}, sizes, right),
        Setting("jpeg", {"quality": 10, "scale": 1.0}, 4 * sizes, right),
    )
    path = tmp_path / "traces.npz"
    write(path, Traces(settings, right, {"bundle": "none"}))
    return path


def test_presets(run: Run) -> None:
    rows = json.loads(run("presets", "--json"))
    assert {"geo", "leo-uhf", "lorawan-dr0"} <= {row["preset"] for row in rows}
    assert "leo-uhf" in run("presets")
    assert "PolyITAN" in run("presets", "leo-uhf")


def test_passes(run: Run) -> None:
    found = json.loads(run("passes", "--days", "1", "--mask", "20", "--json"))
    assert found["passes"]
    assert all(each["highest_deg"] > 20 for each in found["passes"])


def test_simulate(run: Run, traces: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = ("simulate", "leo-uhf", "--traces", str(traces), "--days", "0.1", "--fps", "0.2")
    result = json.loads(run(*given, "--against", "jpeg", "--json", "--out", str(out)))
    assert result == json.loads((out / "result.json").read_text())
    assert (out / "result.png").stat().st_size > 10_000
    ours, theirs = result["codecs"]["tactic"], result["codecs"]["jpeg"]
    assert ours["correct"] > theirs["correct"] > 0
    assert result["seconds"] == 8640
    text = run(*given, "--against", "jpeg")
    assert "correct decisions of tactic per one of jpeg" in text
    assert "…" not in text
    assert "jpeg" not in json.loads(run(*given, "--against", "", "--json"))["codecs"]


def test_nodes_keep_to_a_configuration(run: Run, traces: Path, tmp_path: Path) -> None:
    node = tmp_path / "device.toml"
    before = Path("device/device.example.toml").read_text().partition("\n[rate]")[0]
    node.write_text(f"{before}\n[rate]\nday_bytes = 100_000\noverhead_bytes = 0\n")
    given = ("simulate", "nb-iot-nb1", "--traces", str(traces), "--days", "0.1", "--fps", "0.2")
    free = json.loads(run(*given, "--json"))["codecs"]["tactic"]
    kept = json.loads(run(*given, "--node", str(node), "--alarms", "0.05", "--json"))
    ours = kept["codecs"]["tactic"]
    assert ours["frames"] * 400 <= 100_000 < free["frames"] * 400
    assert ours["dropped"] > 0 and 0 < ours["alarms"] < ours["frames"]
    node.write_text(before)
    with pytest.raises(TacticError, match=r"device.toml: \[rate\] has no budget"):
        run(*given, "--node", str(node))


def test_traces_from_a_report(run: Run, tmp_path: Path) -> None:
    def cell(kind: str, size: int | None, **said: object) -> dict[str, object]:
        figures = {"right": "1" * 30 + "0" * 10, "bytes": size and [size] * 40}
        return {"configuration": {"kind": kind} | said, "figures": figures, "machine": "one"}

    ours, theirs = ({"cell": f"codec-{name}-s1", "digest": ""} for name in ("ours", "aware-b1"))
    report = {
        "preset": {"name": "cpu"},
        "commit": "0" * 12,
        "date": "2026-01-01",
        "cells": [
            cell("CleanHead", None),
            cell("Uncompressed", None),
            cell("Learned", 400, codec=ours, level=0),
            cell("Learned", 200, codec=ours, level=0, share=0.5),
            cell("Learned", 100, codec=theirs, level=0),
            cell("File", 1580, codec="jpeg", quality=5, scale=1.0),
        ],
    }
    path = tmp_path / "beyond.json"
    path.write_text(json.dumps(report))
    given = ("simulate", "leo-uhf", "--traces", str(path), "--days", "0.1", "--fps", "0.2")
    result = json.loads(run(*given, "--against", "jpeg", "--json"))
    assert result["traces"]["head"] == "tuned to each setting"
    kinds = [(each["codec"], each.get("share")) for each in result["settings"]]
    assert sorted(kinds, key=str) == [
        ("head", None),
        ("jpeg", None),
        ("tactic", 0.5),
        ("tactic", 1.0),
    ]
    assert result["codecs"]["tactic"]["correct"] > result["codecs"]["jpeg"]["correct"] > 0
    path.write_text(json.dumps(report | {"cells": []}))
    with pytest.raises(TacticError, match="no report of tactic reproduce beyond"):
        run(*given)


def test_sweep(run: Run, traces: Path) -> None:
    given = ("sweep", "leo-uhf", "--traces", str(traces), "--days", "0.1", "--fps", "0.2")
    found = json.loads(run(*given, "--vary", "up.rate=1.2,9.6", "--against", "jpeg", "--json"))
    slow, fast = (point["codecs"]["tactic"]["correct"] for point in found["points"])
    assert 2 * slow < fast
    assert "mask" in run(*given, "--vary", "mask=5,14", "--against", "jpeg")


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("presets", "moon"), "no preset", LINK),
        (("presets", "none.toml"), "none.toml", CONFIGURATION),
        (("passes", "geo"), "no passes", LINK),
        (("passes", "--station", "Kyiv"), "NAME:LATITUDE:LONGITUDE", LINK),
        (("passes", "--start", "soon"), "2026-05-20", LINK),
        (("simulate", "geo"), "--bundle and --photos", LINK),
        (("simulate", "geo", "--traces", "none.npz"), "none.npz: no such file", LINK),
        (("simulate", "geo", "--mask", "5"), "no passes", LINK),
        (("proxy", "lorawan-dr0"), "datagrams", LINK),
        (("proxy", "geo", "--listen", "here"), "HOST:PORT", LINK),
    ],
)
def test_a_mistake_is_one_line(run: Run, arguments: tuple[str, ...], words: str, code: int) -> None:
    with pytest.raises(TacticError) as fault:
        run(*arguments)
    assert words in str(fault.value)
    assert "\n" not in str(fault.value)
    assert fault.value.exit_code == code


def test_a_process_ends_with_the_code(fails: Callable[..., None]) -> None:
    fails(LINK, ("no preset", "leo-uhf"), "link", "presets", "moon")


def test_a_vary_that_is_none(run: Run, traces: Path) -> None:
    for text in ("fps", "fps=a", "up.none=1", "=1"):
        with pytest.raises(TacticError, match="--vary"):
            run("sweep", "geo", "--traces", str(traces), "--vary", text)


def test_a_bridge_without_a_configuration_or_a_port(run: Run, tmp_path: Path) -> None:
    with pytest.raises(TacticError, match=r"bridge\.toml") as fault:
        run("bridge", "--config", str(tmp_path / "bridge.toml"))
    assert fault.value.exit_code == CONFIGURATION
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        (tmp_path / "bridge.toml").write_text(
            f'[bridge]\nsite = "lab"\nlisten = "udp://127.0.0.1:{other.getsockname()[1]}"\n'
            '[[nodes]]\nnode = "cam1"\naddress = "127.0.0.1"\nmtu_bytes = 51\n'
        )
        with pytest.raises(TacticError, match=r"change bridge\.listen") as fault:
            run("bridge", "--config", str(tmp_path / "bridge.toml"))
    assert fault.value.exit_code == LINK
