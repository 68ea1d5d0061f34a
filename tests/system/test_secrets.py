"""Twelve secrets are planted in a system that works and fails in many ways; none gets out.

Looked through: what every process writes, what goes over the broker, and the broker's own log.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tactic.broker import setup
from tactic.trust.keys import write_secret
from tactic_device.cameras.opencv import without_secrets

if TYPE_CHECKING:
    from conftest import Site

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
WAIT_S = 60.0

PASSWORDS = {
    "of the node": "n0de-hunter2-xyzzy",
    "of the gateway": "g4te-hunter3-plugh",
    "that is wrong": "wr0ng-hunter4-plover",
    "in the URL of a camera": "cam-hunter5-fee",
    "token in the URL of a camera": "t0ken-hunter6-fie",
    "without a user": "l0ne-hunter7-foe",
}


def hashed(password: str) -> str:
    """What mosquitto keeps of a password: PBKDF2 with SHA-512."""
    salt = b"saltsaltsalt"
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


class Town:
    """A folder with a broker that asks for passwords, and everything that could leak."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.folder = site.folder
        self.secrets = dict(PASSWORDS)
        self.outputs: list[str] = []
        self.said: list[bytes] = []

    def plant(self) -> None:
        """Make keys and certificates; their secret halves are looked for, too."""
        for name, digit in (("node key", "7a"), ("other node key", "8b"), ("odd node key", "9c")):
            self.secrets[name] = digit * 32 if name != "odd node key" else digit * 31
        (self.folder / "keys").mkdir()
        for path, name in (("cam1.key", "node key"), ("keys/cam1.key", "node key")):
            write_secret(self.folder / path, self.secrets[name].encode())
        write_secret(self.folder / "other.key", self.secrets["other node key"].encode())
        write_secret(self.folder / "odd.key", self.secrets["odd node key"].encode())
        setup.init(self.folder / "tls", "lab", ["127.0.0.1"], 1, "tactic/v1", None)
        setup.add_node(self.folder / "tls", "cam1")
        for name, path in (
            ("private key of the node", "tls/nodes/cam1/cam1.key"),
            ("private key of the authority", "tls/ca/ca.key"),
        ):
            lines = (self.folder / path).read_text().splitlines()
            self.secrets[name] = lines[1]
        write_secret(self.folder / "signing.key", b"-----BEGIN PRIVATE KEY-----\nMC4hunter8\n")
        self.secrets["signing key"] = "MC4hunter8"
        for name in ("of the node", "of the gateway", "that is wrong"):
            (self.folder / f"{name.replace(' ', '-')}.txt").write_text(self.secrets[name] + "\n")

    def run(self, *arguments: object, code: int | None = None) -> None:
        """A command that ends by itself, and with this code."""
        done = subprocess.run(
            [sys.executable, "-m", "tactic", *map(str, arguments)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
        )
        self.outputs.append(done.stdout + done.stderr)
        assert done.returncode == code, done.stderr

    def run_until(self, event: str, *arguments: object) -> None:
        """A daemon, until it tells of an event; then it is told to end."""
        command = [sys.executable, "-m", "tactic", *map(str, arguments)]
        with subprocess.Popen(
            command,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as daemon:
            assert daemon.stdout is not None
            lines = []
            for line in daemon.stdout:
                lines.append(line)
                if f'"{event}"' in line:
                    break
            daemon.terminate()
            rest, said = daemon.communicate(timeout=WAIT_S)
        self.outputs.append("".join(lines) + rest + said)
        assert daemon.returncode == 0, said

    def edit(self, room: str, **changes: dict[str, Any]) -> Path:
        """A variant of a room's configuration: tables whose keys are added or replaced."""
        text = (self.folder / f"{room}.toml").read_text()
        for table, values in changes.items():
            for key, value in values.items():
                line = f"{key} = {json.dumps(value)}"
                head = re.escape(f"[{table.replace('__', '.')}]")
                if re.search(head, text) is None:
                    text += f"[{table.replace('__', '.')}]\n"
                text = re.sub(rf"({head}\n(?:[^\[]*\n)?){key} = .*\n", r"\1", text)
                text = re.sub(rf"({head}\n)", lambda m, line=line: f"{m[1]}{line}\n", text)  # type: ignore[misc]
        path = self.folder / f"{room}-{len(self.outputs)}.toml"
        path.write_text(text)
        return path

    def leaks(self) -> dict[str, str]:
        """Secrets that were found, and where."""
        places = {path.name: path.read_bytes() for path in self.folder.glob("*.log")}
        places["output"] = "\n".join(self.outputs).encode()
        places["broker's traffic"] = b"\n".join(self.said)
        places["store"] = (self.folder / "gateway.db").read_bytes()
        assert all(places.values()), "nothing was written: nothing was tried"
        return {
            name: place
            for name, secret in self.secrets.items()
            for place, content in places.items()
            if secret.encode() in content or base64.b64encode(secret.encode()) in content
        }


@pytest.fixture
def town(site: Site) -> Town:
    made = Town(site)
    made.plant()
    return made


@pytest.fixture
def port(town: Town) -> Iterator[int]:
    """A mosquitto that asks for passwords and logs everything."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    users = {"cam1": "of the node", "gateway": "of the gateway", "ear": "of the gateway"}
    lines = [f"{user}:{hashed(PASSWORDS[name])}\n" for user, name in users.items()]
    (town.folder / "users").write_text("".join(lines))
    (town.folder / "mosquitto.conf").write_text(
        f"listener {number} 127.0.0.1\nallow_anonymous false\nlog_type all\n"
        f"password_file {town.folder}/users\n" + ("user root\n" if os.getuid() == 0 else "")
    )
    with (town.folder / "broker.log").open("wb") as log:
        process = subprocess.Popen(
            [MOSQUITTO, "-c", str(town.folder / "mosquitto.conf")], stdout=log, stderr=log
        )
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", number)) == 0:
                break
        time.sleep(0.05)
    yield number
    process.terminate()
    process.wait(WAIT_S)


class Locked(BaseHTTPRequestHandler):
    """A camera that asks for a password, and takes none."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def camera() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Locked) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def listen(town: Town, port: int) -> Client:
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.username_pw_set("ear", PASSWORDS["of the gateway"])
    client.on_connect = lambda c, *_: c.subscribe("#", 1)
    client.on_message = lambda _c, _u, m: town.said.append(m.topic.encode() + bytes(m.payload))
    client.connect("127.0.0.1", port)
    client.loop_start()
    return client


def run_well(town: Town, port: int) -> None:
    """A node and a gateway with passwords and keys, as they should be."""
    site = town.site
    site.configure(port, node={"key_file": "cam1.key"})
    for room, user, name in (("device", "cam1", "of-the-node"), ("gateway", "gateway", "")):
        path = site.folder / f"{room}.toml"
        secret = {"password_file": f"{name}.txt"} if name else {}
        given = {"user": user, **(secret or {"password": PASSWORDS["of the gateway"]})}
        more = {"gateway": {"keys": "keys"}} if room == "gateway" else {}
        town.edit(room, mqtt=given, **more).replace(path)
    gateway, device = site.start("gateway"), site.start("device")
    assert device.wait(WAIT_S) == 0
    site.wait_for(lambda: site.events("gateway", "birth"), "the gateway's account of the node")
    (stopped,) = site.events("device", "stopped")
    assert stopped["ledger"]["stored"] == 12
    assert site.stop(gateway) == 0


def run_badly(town: Town, port: int, camera: int) -> None:
    """Everything that an operator gets wrong about secrets."""
    cam, token = PASSWORDS["in the URL of a camera"], PASSWORDS["token in the URL of a camera"]
    for place in (f"127.0.0.1:{camera}", "127.0.0.1:9", "nowhere.invalid"):
        url = f"http://admin:{cam}@{place}/video?token={token}"
        source = {"kind": "opencv", "url": url}
        # A stream that is not there is waited for.
        town.run_until("camera_lost", "device", "run", "-c", town.edit("device", source=source))
    bad = {"password": [PASSWORDS["that is wrong"]]}
    for room in ("device", "gateway"):
        town.run(room, "run", "-c", town.edit(room, mqtt=bad), code=3)
        both = {"password": PASSWORDS["that is wrong"], "password_file": "x.txt"}
        town.run(room, "run", "-c", town.edit(room, mqtt=both), code=3)
        wrong_tls = {"cert_file": "tls/ca/ca.pem", "key_file": "tls/nodes/cam1/cam1.key"}
        town.run(room, "run", "-c", town.edit(room, mqtt__tls=wrong_tls), code=3)
        no_pem = {"cert_file": "tls/ca/ca.pem", "key_file": "signing.key"}
        town.run(room, "run", "-c", town.edit(room, mqtt__tls=no_pem), code=3)
        text = (town.folder / f"{room}.toml").read_text()
        (town.folder / "broken.toml").write_text(
            text.replace("[mqtt]", f'[mqtt]\npassword = "{PASSWORDS["without a user"]}')
        )
        town.run(room, "run", "-c", "broken.toml", code=3)
    town.run("device", "run", "-c", town.edit("device", node={"key_file": "odd.key"}), code=3)
    shutil.copy(town.folder / "odd.key", town.folder / "keys/odd.key")
    (town.folder / "keys/odd.key").chmod(0o600)
    town.run("gateway", "run", "-c", "gateway.toml", code=3)
    (town.folder / "keys/odd.key").unlink()
    town.run("bundle", "sign", town.site.bundle, "--key", "signing.key", code=3)
    (town.folder / "tls/ca/ca.key").chmod(0o644)
    town.run("bundle", "sign", town.site.bundle, "--key", "tls/ca/ca.key", code=3)


def run_refused(town: Town, port: int) -> None:
    """A wrong password and a wrong key: the daemons go on, and say what is wrong."""
    site = town.site
    wrong = {"password_file": "that-is-wrong.txt"}
    device = town.edit("device", mqtt=wrong, source={"drain_s": 1.0}, outbox={"path": "second"})
    town.run("device", "run", "-c", device, code=0)
    other = {"key_file": "other.key"}
    device = town.edit("device", node=other, source={"drain_s": 2.0}, outbox={"path": "third"})
    gateway = site.start("gateway")
    site.wait_for(lambda: len(site.events("gateway", "mqtt_connected")) == 2, "the gateway")
    town.run("device", "run", "-c", device, code=0)
    town.run("node", "cam1", "ping", "--wait", "1", "-c", "gateway.toml", code=6)
    site.wait_for(lambda: site.counters().get("rejected.forged"), "packets with the wrong key")
    assert site.stop(gateway) == 0


def test_no_secret_is_told(town: Town, port: int, camera: int) -> None:
    assert len(town.secrets) == 12
    ear = listen(town, port)
    run_well(town, port)
    run_badly(town, port, camera)
    run_refused(town, port)
    ear.disconnect()
    ear.loop_stop()
    assert town.leaks() == {}
    assert "HTTP" in "".join(town.outputs) or "camera not found" in "".join(town.outputs)
    # The search finds what is there to be found.
    (town.folder / "planted.log").write_text(PASSWORDS["of the node"])
    assert town.leaks() == {"of the node": "planted.log"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://u:p@cam:554/live?token=t#f", "rtsp://cam:554/live"),
        ("http://cam/mjpeg", "http://cam/mjpeg"),
        ("http://u:p@[::1]:80/x", "http://::1:80/x"),
        ("http://[p", "the stream"),
        ("http://cam:p/x", "the stream"),
        ("p", "the stream"),
    ],
)
def test_a_url_is_shown_without_what_is_secret(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
