"""A process that is killed and started again; its output is appended to one log."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_PATIENCE_S = 60.0


class Child:
    """Starts at once.

    Parameters
    ----------
    command : sequence of str
    folder : Path
        Where it runs; gets ``NAME.log``.
    name : str
    """

    def __init__(self, command: Sequence[str], folder: Path, name: str) -> None:
        self._command = command
        self._folder = folder
        self.log = folder / f"{name}.log"
        self.kills = 0
        self._born = 0
        self._process = self._start()

    def kill(self) -> None:
        """``kill -9``, and again from the start."""
        self.down()
        self.up()

    def down(self) -> None:
        """``kill -9``."""
        self.kills += 1
        self._process.kill()
        self._process.wait()

    def up(self) -> None:
        """Start it again."""
        self._process = self._start()

    def end(self) -> int:
        """SIGTERM; the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self, timeout_s: float = _PATIENCE_S) -> int:
        """Wait until it ends by itself; the exit code.

        Raises
        ------
        subprocess.TimeoutExpired
        """
        return self._process.wait(timeout_s)

    def remove(self) -> None:
        """End it without a word, for good."""
        self._process.kill()
        self._process.wait()

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def events(self, name: str) -> list[dict[str, Any]]:
        """Events of one name since its last start, from a log of JSON lines."""
        return [event for event in self._events() if event.get("event") == name]

    def _events(self) -> Iterator[dict[str, Any]]:
        for line in self.log.read_bytes()[self._born :].split(b"\n"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                yield found

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self._born = log.tell()
            return subprocess.Popen(
                self._command,
                cwd=self._folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
