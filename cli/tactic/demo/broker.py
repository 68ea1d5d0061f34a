"""A real MQTT broker on a free port of this machine: mosquitto, or one that pip installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tactic.demo.errors import BrokerMissingError

_START_S = 30.0
# Debian installs mosquitto where only root's PATH looks.
_PATH = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin"

_MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
"""

_IOTCORE = """\
id = 0

[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10

[v5.1]
name = "demo"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 100
"""


class Broker:
    """A broker process, as a context manager.

    Parameters
    ----------
    folder : Path
        For its configuration and log.
    name : {"mosquitto", "iotcore"}, optional
        Mosquitto where it is installed, unless told.

    Attributes
    ----------
    name : str
        ``mosquitto`` or ``iotcore``.
    port : int
        On 127.0.0.1.
    """

    def __init__(self, folder: Path, name: str | None = None) -> None:
        self.port = free_port()
        program = mosquitto() if name != "iotcore" else None
        self.name = "mosquitto" if program else "iotcore"
        self._folder = folder
        # iotcore knows its configuration's format by the suffix
        self._config = folder / ("mosquitto.conf" if program else "iotcore.toml")
        self._command = (
            [program, "-c", str(self._config)]
            if program
            else [sys.executable, "-m", "iotcore", "--config", str(self._config)]
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        text = _MOSQUITTO if self.name == "mosquitto" else _IOTCORE
        self._config.write_text(text.format(port=self.port))
        with (self._folder / "broker.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stop()

    def _wait(self) -> None:
        assert self._process
        deadline_s = time.monotonic() + _START_S
        while time.monotonic() < deadline_s and self._process.poll() is None:
            with socket.socket() as probe:
                probe.settimeout(0.2)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise BrokerMissingError(
            f"broker {self.name} does not start; see {self._folder / 'broker.log'}, "
            "or install mosquitto"
        )

    def _stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def mosquitto() -> str | None:
    """Path of mosquitto, if it is installed."""
    return shutil.which("mosquitto", path=_PATH)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
