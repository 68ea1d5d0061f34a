"""Device and gateway as the separate processes that a user would run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tactic.demo.errors import DemoError

SITE, NODE = "demo", "cam1"

_GATEWAY = """\
[gateway]
site = "{site}"

[bundles]
paths = [{bundle}]
trust = "trust/trust.json"

[store]
path = "gateway.db"

[mqtt]
host = "127.0.0.1"
port = {port}
"""

_DEVICE = """\
[node]
site = "{site}"
node = "{node}"

[bundle]
path = {bundle}
trust = "trust/trust.json"

[source]
kind = "folder"
path = "frames"

[encoder]
level = 0
budget_bytes = 1200

[mqtt]
host = "127.0.0.1"
port = {port}

[outbox]
path = "outbox"
"""


def write_configs(folder: Path, bundle: Path, port: int) -> None:
    """Write ``gateway.toml`` and ``device.toml`` as a user would."""
    values = {
        "site": SITE,
        "node": NODE,
        "bundle": json.dumps(str(bundle.resolve())),
        "port": port,
    }
    (folder / "gateway.toml").write_text(_GATEWAY.format(**values))
    (folder / "device.toml").write_text(_DEVICE.format(**values))


class Daemon:
    """``tactic device run`` or ``tactic gateway run``, its log in a file; a context manager.

    Parameters
    ----------
    room : {"device", "gateway"}
    folder : Path
        Where ``ROOM.toml`` lies; ``ROOM.log`` is written beside it.
    """

    def __init__(self, room: str, folder: Path) -> None:
        self._room = room
        self._folder = folder
        self.log = folder / f"{room}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        config = self._folder / f"{self._room}.toml"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tactic", self._room, "run", "--config", str(config)],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def ended(self) -> bool:
        """Whether it has stopped by itself and without an error.

        Raises
        ------
        DemoError
            It stopped with an error; the message has its last words.
        """
        assert self.process
        code = self.process.poll()
        if code:
            lines = self.log.read_text(errors="replace").splitlines() or ["(no output)"]
            raise DemoError(f"tactic {self._room} run ended with code {code}: {lines[-1]}")
        return code == 0
