"""The service is written below a root, verified by systemd's own tools, and removed again."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tactic_codec.bundle import Bundle
from tactic_codec.config import load
from tactic_device.config import DeviceConfig
from tactic_device.errors import ServiceError
from tactic_device.log import is_journal
from tactic_device.service import layout
from tactic_device.service.install import install, uninstall
from tactic_device.service.layout import Choices
from tactic_device.service.system import System, hidden_by, tactic_command

CHOICES = Choices("yard", "cam1", "broker.lan", "picamera2")
TOOLS = ("systemctl", "systemd-sysusers", "systemd-analyze", "userdel")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The tree of a card's image, as far as it matters."""
    if os.geteuid() != 0 or not all(map(shutil.which, TOOLS)):
        pytest.skip("needs root, systemd's tools and userdel")
    (tmp_path / "root/etc/systemd/system").mkdir(parents=True)
    (tmp_path / "root/etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (tmp_path / "root/etc/group").write_text("root:x:0:\nvideo:x:44:\n")
    return tmp_path / "root"


def tree(root: Path) -> dict[str, str]:
    """Every file with its digest, but for what the tools for users leave behind."""
    passing = re.compile(r"etc/(\.pwd\.lock|g?shadow|passwd-|group-|g?shadow-)$")
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in root.rglob("*")
        if not passing.match(name := path.relative_to(root).as_posix())
    }


def set_up(root: Path, bundle: Path | None = None, *, dry: bool = False) -> list[str]:
    said: list[str] = []
    install(root, Path("/opt/tactic/bin/tactic"), CHOICES, bundle, dry=dry, say=said.append)
    return said


def test_what_was_installed_is_removed_again(root: Path, bundle: Bundle) -> None:
    before = tree(root)
    rehearsed = set_up(root, bundle.path, dry=True)
    assert tree(root) == before
    assert set_up(root, bundle.path) == rehearsed
    system = System(root)
    assert system.user() is not None
    assert system.groups() == {"video"}
    assert (root / layout.WANTED).is_symlink()
    assert Bundle.open(root / layout.BUNDLE).codec.id == bundle.codec.id
    found = (root / layout.CONFIG).stat()
    assert (found.st_mode & 0o777, found.st_uid) == (0o640, 0)
    assert found.st_gid == system.user()[1]  # type: ignore[index]
    uninstall(root, purge=False, dry=False, say=lambda _: None)
    assert tree(root) == before


def test_what_somebody_added_or_changed_stays_until_purged(root: Path) -> None:
    before = tree(root)
    set_up(root)
    (root / layout.CONFIG).write_text("# mine\n")
    (root / layout.STATE / "outbox").mkdir()
    (root / layout.STATE / "outbox/frames.seg").write_text("frames")
    set_up(root)
    assert (root / layout.CONFIG).read_text() == "# mine\n"
    said: list[str] = []
    uninstall(root, purge=False, dry=False, say=said.append)
    assert "--purge" in said[-1]
    assert (root / layout.CONFIG).exists()
    assert (root / layout.STATE / "outbox/frames.seg").exists()
    assert not (root / layout.UNIT).exists()
    # Its files are still there: nobody else shall get its number.
    assert System(root).user() is not None
    uninstall(root, purge=True, dry=False, say=said.append)
    assert tree(root).keys() - before.keys() <= {"etc/sysusers.d", "var", "var/lib"}
    assert System(root).user() is None


def test_the_unit_is_sound_and_hardened(root: Path) -> None:
    set_up(root)
    unit_text = (root / layout.UNIT).read_text()
    assert layout.command_of(unit_text) == Path("/opt/tactic/bin/tactic")
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", _runnable(root)], capture_output=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, b"")
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", root / layout.UNIT],
        capture_output=True,
        check=True,
    ).stdout.decode()
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", told)
    assert exposure
    assert float(exposure[1]) <= 2.5
    numbers = {key: int(re.search(rf"^{key}=(\d+)", unit_text, re.M)[1]) for key in HANG}  # type: ignore[index]
    assert numbers["WatchdogSec"] * 1.5 + numbers["TimeoutAbortSec"] + numbers["RestartSec"] <= 25


HANG = ("WatchdogSec", "TimeoutAbortSec", "RestartSec")


def _runnable(root: Path) -> Path:
    """The unit with a command that exists here, which is what verify looks for."""
    text = (root / layout.UNIT).read_text().replace("/opt/tactic/bin/tactic", "/bin/true")
    (root / layout.UNIT).write_text(text)
    return root / layout.UNIT


@pytest.mark.parametrize("source", ["folder", "video", "opencv", "picamera2"])
def test_the_configuration_loads(tmp_path: Path, source: str) -> None:
    path = tmp_path / "device.toml"
    path.write_text(layout.config(Choices("yard", "cam1", "broker.lan", source)))
    config = load(path, DeviceConfig)
    assert config.source.kind == source
    assert config.mqtt.host == "broker.lan"
    assert config.outbox.path == Path("/var/lib/tactic/outbox")


def test_a_command_that_the_service_cannot_reach_is_refused(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        hidden = Path(folder) / "venv/bin/tactic"
        hidden.parent.mkdir(parents=True)
        assert hidden_by(hidden) == Path(folder)
        with pytest.raises(ServiceError, match=r"/opt/tactic"):
            install(Path("/"), hidden, CHOICES, None, dry=True, say=print)
    assert tactic_command(Path(sys.executable)).name == "tactic"
    with pytest.raises(ServiceError, match="missing"):
        tactic_command(tmp_path / "python")


def test_the_journal_is_told_priorities(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w") as stream:
        found = os.fstat(stream.fileno())
        here = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert is_journal(stream, here)
        assert not is_journal(stream, {"JOURNAL_STREAM": "1:2"})
        assert not is_journal(stream, {})
    assert not is_journal(io.StringIO(), here)
