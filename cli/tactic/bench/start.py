"""A node as it is started in the field: its memory, and when its first frame is kept."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

FRAMES = 40
_LOOK_S = 0.01

CONFIG = """[node]
site = "bench"
node = "bench"
[bundle]
path = "{bundle}"
unsigned = true
[source]
kind = "folder"
path = "pictures"
loop = true
limit = {limit}
drain_s = 0.0
[encoder]
runtime = "{runtime}"
geometry = "640x480"
[mqtt]
port = 1
[outbox]
path = "outbox"
ram_path = "ram"
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a node.

    Attributes
    ----------
    seconds : float
        From its start to its end, of which the frames are most.
    cpu_s : float
        Processor time, that of the probe included.
    rss_mb : float
        Largest resident memory, of 10^6 bytes, shared libraries included.
    """

    seconds: float
    cpu_s: float
    rss_mb: float


def run_node(bundle: Path, picture: NDArray[np.uint8], runtime: str, limit: int) -> Run:
    """Run a node without a broker until so many frames of 640x480 are kept."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pictures").mkdir()
        cv2.imwrite(str(folder / "pictures/0.png"), picture[:, :, ::-1])
        text = CONFIG.format(bundle=bundle.resolve(), limit=limit, runtime=runtime)
        (folder / "device.toml").write_text(text)
        command = [sys.executable, "-m", "tactic", "device", "run", "-c", "device.toml"]
        began_s = time.monotonic()
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as node:
            rss_mb = 0.0
            while not os.waitid(os.P_PID, node.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                rss_mb = max(rss_mb, _peak_mb(node.pid))
                time.sleep(_LOOK_S)
            seconds = time.monotonic() - began_s
            _, status, used = os.wait4(node.pid, 0)
            node.returncode = os.waitstatus_to_exitcode(status)
    if node.returncode:
        raise RuntimeError(f"the node ended with exit code {node.returncode}")
    return Run(round(seconds, 2), round(used.ru_utime + used.ru_stime, 2), round(rss_mb, 1))


def _peak_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line[:5] == "VmHWM"), 0.0)
