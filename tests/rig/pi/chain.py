"""A node on the emulated Pi, a broker and a gateway on this machine."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

from rig.child import Child
from rig.pi.lines import Line
from rig.pi.root import SHARED, Board, PiError, Root
from tactic.demo.broker import Broker, mosquitto
from tactic_codec.packet import Kind, unpack

PATIENCE_S = 1800.0
_GATEWAY = """\
[gateway]
site = "lab"
[bundles]
paths = ["../bundle"]
unsigned = true
[store]
path = "gateway.db"
[mqtt]
port = {port}
"""
_DEVICE = """\
[node]
site = "lab"
node = "pi"
[bundle]
path = "../bundle"
unsigned = true
[source]
kind = "folder"
path = "../frames"
limit = {frames}
fps = 0
drain_s = 600.0
[encoder]
runtime = "auto"
[mqtt]
host = "127.0.0.1"
port = {port}
[outbox]
path = "outbox"
"""


def run(
    root: Root,
    board: Board,
    share: Path,
    python: list[str],
    settings: dict[str, str],
    frames: int,
) -> list[Line]:
    """Send frames through all of it; ``python`` and ``settings``: how the node is started.

    Raises
    ------
    PiError
        Something does not start, or nothing arrives.
    """
    if mosquitto() is None:
        raise PiError("not installed: apt install mosquitto")
    folder = share / f"chain-{board.cpu}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(folder, "mosquitto"))
        (folder / "gateway.toml").write_text(_GATEWAY.format(port=broker.port))
        (folder / "device.toml").write_text(_DEVICE.format(port=broker.port, frames=frames))
        command = [sys.executable, "-m", "tactic", "gateway", "run", "--config", "gateway.toml"]
        gateway = Child(command, folder, "gateway")
        stack.callback(gateway.end)
        inside = f"{SHARED}/{folder.name}/device.toml"
        arguments = [*python, "-m", "tactic", "device", "run", "--config", inside]
        node = Child(root.command(board, arguments, settings), folder, "device")
        stack.callback(node.remove)
        return _account(board, folder, node, frames)


def _account(board: Board, folder: Path, node: Child, frames: int) -> list[Line]:
    try:
        code = node.wait(PATIENCE_S)
    except subprocess.TimeoutExpired as fault:
        raise PiError(f"the node does not end; see {folder / 'device.log'}") from fault
    if code or not node.events("stopped"):
        raise PiError(f"the node ended with {code}; see {folder / 'device.log'}")
    ledger = node.events("stopped")[-1]["ledger"]
    started = node.events("started")[-1]
    deadline_s = time.monotonic() + 120
    while (found := _stored(folder))[1] < frames and time.monotonic() < deadline_s:
        time.sleep(0.5)
    stored, answered = found
    whole = (ledger["captured"], ledger["stored"], stored, answered) == (frames,) * 4
    told = f"captured {ledger['captured']}, stored {stored}, answered {answered}"
    first = started["runtime"] == "litert" and not started["refused"]
    return [
        Line(board.name, "node, mosquitto, gateway", told, whole),
        Line(board.name, "runtime that the node chose", started["runtime"], first),
    ]


def _stored(folder: Path) -> tuple[int, int]:
    """Frames in the gateway's store, and those with a result."""
    with closing(sqlite3.connect(folder / "gateway.db", timeout=30)) as db:
        packets = [unpack(raw) for (raw,) in db.execute("SELECT raw FROM packets")]
        answered: int = db.execute("SELECT COUNT(*) FROM results").fetchone()[0]
    return sum(packet.kind is Kind.FRAME for packet in packets), answered
