"""Faults of a camera node, each planted the way it happens, for `tactic doctor` to find.

Nothing here knows how the doctor looks. ``python -m rig.plant`` plants one fault after the other
into a healthy node, has the doctor examine it, runs the command that it prints in a shell, and has
it look again.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from paho.mqtt import publish

from rig.tiny import write_tiny_bundle
from tactic.demo.broker import Broker

TACTIC = str(Path(sys.executable).with_name("tactic"))
SITE, NODE = "yard", "cam1"
_HOLD = """import fcntl, sys, time
fcntl.flock(file := open(sys.argv[1], "w"), fcntl.LOCK_EX)
print(flush=True)
time.sleep(600)"""


class Home:
    """A healthy node: a system's tree with the service, pictures, two bundles, broker, gateway.

    Attributes
    ----------
    root, config, outbox, memory, pictures : Path
    environment : dict
        Of the doctor and of the shell that runs its remedies.
    """

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.root = folder / "root"
        self.config = self.root / "etc/tactic/device.toml"
        self.state = self.root / "var/lib/tactic"
        self.outbox = self.state / "outbox"
        self.pictures = self.state / "pictures"
        self.bundles = self.state / "bundles"
        self.memory = Path(tempfile.mkdtemp(prefix="tactic-plant-", dir="/dev/shm"))
        self.environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
        self._bundle = bundle
        self._broker = Broker(folder)
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._broker.__enter__()
        self._make_system()
        self._make_state()
        self.tell(f"{SITE}/_gateway/state", {"state": "online"})
        self.tell(f"{SITE}/{NODE}/state", {"state": "offline", "boot": 1})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()
        self._broker.__exit__(kind, fault, at)
        self._end_other_brokers()
        shutil.rmtree(self.memory, ignore_errors=True)

    @property
    def port(self) -> int:
        """Of the broker."""
        return self._broker.port

    def stop_broker(self) -> None:
        """The broker is gone."""
        self._broker.__exit__(None, None, None)

    def tell(self, topic: str, body: dict[str, Any]) -> None:
        """Publish a retained message."""
        text = json.dumps(body)
        publish.single(f"tactic/v1/{topic}", text, 1, True, "127.0.0.1", self.port)

    def set(self, table: str, key: str, value: object) -> None:
        """Write a key into the configuration."""
        text = self.config.read_text()
        line = f"{key} = {json.dumps(value)}"
        before, head, rest = text.partition(f"[{table}]\n")
        if not head:
            self.config.write_text(f"{text}\n[{table}]\n{line}\n")
            return
        inside, gap, after = rest.partition("\n[")
        inside = re.sub(rf"(?m)^{key} *=.*\n?", "", f"{inside}\n")
        self.config.write_text(f"{before}{head}{line}\n{inside}{gap}{after}")

    def examine(self, before: str = "") -> dict[str, dict[str, str]]:
        """What the doctor says, by id; ``before`` runs first, in the same shell."""
        words = ["doctor", "--json", "--root", str(self.root), "--config", str(self.config)]
        line = f"{shlex.join([TACTIC, *words])} > {shlex.quote(str(self.root / 'said.json'))}"
        subprocess.run(
            ["bash", "-c", f"{before}\n{line}"],
            env=self.environment,
            cwd=self.root,
            capture_output=True,
            check=False,
        )
        said = json.loads((self.root / "said.json").read_text())
        return {each["id"]: each for each in said["checks"]}

    def _make_system(self) -> None:
        for name in ("etc/systemd/system", "dev", "proc", "var/lib"):
            (self.root / name).mkdir(parents=True)
        (self.root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
        (self.root / "etc/group").write_text("root:x:0:\nvideo:x:44:\n")
        (self.root / "dev/watchdog").touch()
        words = ["device", "install", "--root", str(self.root), "--site", SITE, "--node", NODE]
        subprocess.run([TACTIC, *words], check=True, capture_output=True, env=self.environment)
        for daemon, text in (
            ("system", "[Manager]\nRuntimeWatchdogSec=15\n"),
            ("journald", "[Journal]\nSystemMaxUse=64M\n"),
        ):
            folder = self.root / f"etc/systemd/{daemon}.conf.d"
            folder.mkdir()
            (folder / "ours.conf").write_text(text)

    def _make_state(self) -> None:
        for name in ("tiny", "spare"):
            shutil.copytree(self._bundle, self.bundles / name)
        self.pictures.mkdir()
        for number in range(3):
            grey = np.full((40, 60, 3), 60 * number + 10, np.uint8)
            cv2.imwrite(str(self.pictures / f"{number}.png"), grey)
        self.outbox.mkdir(mode=0o700)
        self.own(self.outbox)
        self.memory.chmod(0o700)
        self.own(self.memory)
        tables: dict[str, dict[str, object]] = {
            "node": {"site": SITE, "node": NODE},
            "bundle": {"path": str(self.bundles / "tiny"), "unsigned": True},
            "source": {"kind": "folder", "path": str(self.pictures), "fps": 1.0},
            "encoder": {"runtime": "onnxruntime"},
            "outbox": {"path": str(self.outbox), "ram_path": str(self.memory)},
            "mqtt": {"host": "127.0.0.1", "port": self.port},
        }
        self.config.write_text("")
        for table, values in tables.items():
            for key, value in values.items():
                self.set(table, key, value)

    def own(self, path: Path) -> None:
        """Give a file to the service's user."""
        lines = (self.root / "etc/passwd").read_text().splitlines()
        fields = next(line.split(":") for line in lines if line.startswith("tactic:"))
        os.chown(path, int(fields[2]), int(fields[3]))

    def _end_other_brokers(self) -> None:
        """A remedy may have started one on the same port."""
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if words[:1] == [b"mosquitto"] and str(self.port).encode() in words:
                    os.kill(int(folder.name), signal.SIGTERM)


@dataclass(frozen=True)
class Fault:
    """A fault, and the id that the doctor shall name."""

    name: str
    plant: Callable[[Home], object]


def misspell(home: Home) -> None:
    home.config.write_text(home.config.read_text().replace("fps =", "fsp ="))


def write_password_for_all(home: Home) -> None:
    home.set("mqtt", "user", NODE)
    home.set("mqtt", "password", "secret")
    home.config.chmod(0o644)


def leave_password_file_open(home: Home) -> None:
    path = home.config.with_name("password")
    path.write_text("secret\n")
    path.chmod(0o644)
    home.set("mqtt", "user", NODE)
    home.set("mqtt", "password_file", str(path))


def damage_bundle(home: Home) -> None:
    path = home.bundles / "tiny/device/entropy.bin"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def trust_nobody(home: Home) -> None:
    folder = home.config.parent
    subprocess.run([TACTIC, "trust", "init", folder], check=True, capture_output=True)
    trust = next(path for path in folder.glob("*.json") if "installed" not in path.name)
    text = home.config.read_text()
    home.config.write_text(text.replace("unsigned = true", f'trust = "{trust}"'))


def break_picture(home: Home) -> None:
    (home.pictures / "0.png").write_bytes(b"no picture")


def give_outbox_away(home: Home) -> None:
    os.chown(home.outbox, 12345, 12345)


def wait_on_disk(home: Home) -> None:
    home.set("outbox", "ram_path", str(home.state / "ram"))


def open_memory(home: Home) -> None:
    home.memory.chmod(0o777)


def hold_outbox(home: Home) -> None:
    lock = home.outbox / "lock"
    process = subprocess.Popen([sys.executable, "-c", _HOLD, lock], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    home.processes.append(process)


def be_twice(home: Home) -> None:
    home.tell(f"{SITE}/{NODE}/state", {"state": "online", "boot": 7})


def let_passes_end(home: Home) -> None:
    path = home.config.with_name("passes.csv")
    with path.open("w", newline="") as file:
        now_s = int(time.time())
        rows = csv.writer(file)
        rows.writerow(["start_unix_s", "end_unix_s", "rate_bps"])
        rows.writerow([now_s - 7200, now_s - 3600, 9600])
    home.set("rate", "passes", str(path))


def forget_python_coder(home: Home) -> None:
    home.environment["TACTIC_RANS"] = "python"


def edit_unit(home: Home) -> None:
    path = home.root / "etc/systemd/system/tactic-device.service"
    path.write_text(re.sub(r"WatchdogSec=\d+\n", "", path.read_text()))


def disable(home: Home) -> None:
    (home.root / "etc/systemd/system/multi-user.target.wants/tactic-device.service").unlink()


def leave_group(home: Home) -> None:
    path = home.root / "etc/group"
    path.write_text(path.read_text().replace("video:x:44:tactic", "video:x:44:"))


def take_state(home: Home) -> None:
    os.chown(home.state, 0, 0)


def forget(daemon: str) -> Callable[[Home], None]:
    return lambda home: (home.root / f"etc/systemd/{daemon}.conf.d/ours.conf").unlink()


def setting(table: str, key: str, value: object) -> Callable[[Home], None]:
    return lambda home: home.set(table, key, value)


def overrun(home: Home) -> None:
    home.set("source", "fps", 10.0)
    home.set("rate", "rate_bps", 200.0)


#: faults of one tuple do not hide each other
GROUPS: tuple[tuple[Fault, ...], ...] = (
    (Fault("config.valid", misspell),),
    (
        Fault("bundle.trusted", trust_nobody),
        Fault("config.node_key", lambda h: h.set("node", "key_file", str(h.state / "cam1.key"))),
        Fault("service.installed", edit_unit),
        Fault("service.enabled", disable),
        Fault("service.user", leave_group),
        Fault("service.state", take_state),
        Fault("service.watchdog", forget("system")),
        Fault("service.journal", forget("journald")),
    ),
    (
        Fault("config.private", write_password_for_all),
        Fault("bundle.whole", damage_bundle),
        Fault("source.gives", break_picture),
        Fault("outbox.owner", give_outbox_away),
        Fault("outbox.space", setting("outbox", "max_bytes", 10**15)),
        Fault("outbox.in_memory", wait_on_disk),
        Fault("gateway.online", setting("node", "site", "yrad")),
    ),
    (
        Fault("config.secrets", leave_password_file_open),
        Fault("bundle.geometry", setting("encoder", "geometry", "99x98")),
        Fault("encoder.runtime", setting("encoder", "runtime", "litert")),
        Fault("source.there", lambda h: h.set("source", "path", str(h.state / "elsewhere"))),
        Fault("outbox.memory_room", setting("outbox", "ram_bytes", 10**13)),
        Fault("outbox.memory_owner", open_memory),
        Fault("node.unique", be_twice),
        Fault("link.passes", let_passes_end),
    ),
    (
        Fault("bundle.level", setting("encoder", "level", 6)),
        Fault("outbox.one_node", hold_outbox),
        Fault("broker.reached", Home.stop_broker),
    ),
    (
        Fault("encoder.budget", setting("encoder", "budget_bytes", 60)),
        Fault("link.budget", overrun),
        Fault("coder.compiled", forget_python_coder),
    ),
)
BAD = frozenset({"fault", "warning"})


def can_run() -> str | None:
    """Why this machine cannot plant, or None."""
    if os.geteuid() != 0:
        return "needs root: users and owners are changed below a folder"
    path = f"{os.environ['PATH']}:/usr/sbin"
    tools = ("mosquitto", "systemctl", "systemd-sysusers", "usermod")
    missing = [tool for tool in tools if not shutil.which(tool, path=path)]
    return f"needs {', '.join(missing)}" if missing else None


@dataclass(frozen=True)
class Outcome:
    """What came of planting some faults at once: which were named, and which were mended."""

    planted: tuple[str, ...]
    named: frozenset[str]
    mended: frozenset[str]
    remedies: dict[str, str]


def try_out(faults: Iterable[Fault], bundle: Path) -> Outcome:
    """Plant faults into a healthy node, and do what the doctor says."""
    faults = tuple(faults)
    names = {fault.name for fault in faults}
    with tempfile.TemporaryDirectory(prefix="tactic-plant-") as folder:
        Path(folder).chmod(0o755)
        with Home(Path(folder), bundle) as home:
            healthy = home.examine()
            for fault in faults:
                fault.plant(home)
            ill = home.examine()
            named = {name for name in names if ill[name]["state"] in BAD}
            named -= {name for name in names if healthy[name]["state"] in BAD}
            remedies = {name: ill[name]["remedy"] for name in ill if name in named}
            well = home.examine("\n".join(remedies.values()))
            mended = {name for name in named if well[name]["state"] not in BAD}
    return Outcome(tuple(sorted(names)), frozenset(named), frozenset(mended), remedies)


def main() -> int:
    """Plant every fault alone; 0 if each was named and mended."""
    if why := can_run():
        print(f"cannot plant: {why}")
        return 1
    total = right = 0
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_tiny_bundle(Path(folder) / "tiny")
        for fault in (fault for group in GROUPS for fault in group):
            found = try_out([fault], bundle)
            named, mended = fault.name in found.named, fault.name in found.mended
            total, right = total + 1, right + (named and mended)
            print(f"{fault.name:22} named {named!s:5} mended {mended!s:5}", flush=True)
            print(f"{'':22} $ {found.remedies.get(fault.name)}", flush=True)
    print(f"{right} of {total} faults named and mended")
    return int(right < total)


if __name__ == "__main__":
    sys.exit(main())
