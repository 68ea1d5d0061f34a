"""The service, and what keeps a machine alive for a year: watchdog and a bounded journal."""

from __future__ import annotations

import re
from pathlib import Path

from tactic_device.doctor import remedy
from tactic_device.doctor.base import Case, Check, Finding, fault, good, skipped, warning
from tactic_device.service import layout
from tactic_device.service.system import find

_SYSTEMD = Path("etc/systemd")


def installed(case: Case) -> Finding:
    """Whether the unit is the one of this version."""
    path = case.root / layout.UNIT
    if not (case.root / _SYSTEMD).is_dir():
        return skipped("there is no systemd here")
    command = f"{remedy.as_root()}{remedy.tactic('device', 'install', *_root(case))}"
    if not path.is_file():
        return warning(f"{path}: the node is no service, and does not start by itself", command)
    text = path.read_text(encoding="utf-8")
    named = layout.command_of(text)
    if named is None or text != layout.unit(named):
        return warning(f"{path}: the unit is not that of this version", command)
    if case.root == Path("/") and not named.is_file():
        return fault(f"{path}: {named} is not there", command)
    return good("the node is a service")


def enabled(case: Case) -> Finding:
    """Whether the service starts with the machine."""
    if not (case.root / layout.UNIT).is_file():
        return skipped("the node is no service")
    if (case.root / layout.WANTED).is_symlink():
        return good("the service starts with the machine")
    command = f"{remedy.as_root()}{remedy.quote(*case.system.enable(True))}"
    return fault("the service does not start with the machine", command)


def user(case: Case) -> Finding:
    """Whether the service's user is there and may use cameras."""
    if not (case.root / layout.UNIT).is_file():
        return skipped("the node is no service")
    if case.system.user() is None:
        command = f"{remedy.as_root()}{remedy.quote(*case.system.make_user())}"
        return fault(f"there is no user {layout.USER}", command)
    missing = sorted(set(layout.GROUPS) - case.system.groups())
    if missing:
        prefix = [] if case.root == Path("/") else ["--prefix", case.root]
        words = ("usermod", *prefix, "-aG", ",".join(missing), layout.USER)
        command = f"{remedy.as_root()}{remedy.quote(*words)}"
        return fault(f"user {layout.USER} is not in group {', '.join(missing)}", command)
    return good(f"user {layout.USER} may use cameras")


def state(case: Case) -> Finding:
    """Whether the service's folder is its own."""
    path = case.root / layout.STATE
    ids = case.system.user()
    if ids is None or not path.is_dir():
        return skipped("the node is no service")
    if path.stat().st_uid != ids[0]:
        words = ("chown", f"{ids[0]}:{ids[1]}", path)
        command = f"{remedy.as_root()}{remedy.quote(*words)}"
        return fault(f"{path} does not belong to {layout.USER}", command)
    return good(f"{path} belongs to {layout.USER}")


def watchdog(case: Case) -> Finding:
    """Whether the board restarts itself when even systemd hangs."""
    if not (case.root / _SYSTEMD).is_dir() or not (case.root / "dev/watchdog").exists():
        return skipped("this machine has no watchdog")
    if _setting(case.root, "system", "RuntimeWatchdogSec"):
        return good("the board restarts itself when it hangs")
    command = _drop_in(case.root, "system", "Manager", "RuntimeWatchdogSec=15")
    return warning("a board that hangs stays so: its watchdog is not used", command)


def journal(case: Case) -> Finding:
    """Whether logs can fill the card."""
    if not (case.root / _SYSTEMD).is_dir():
        return skipped("there is no systemd here")
    if any(_setting(case.root, "journald", key) for key in ("SystemMaxUse", "Storage")):
        return good("the journal is bounded")
    command = _drop_in(case.root, "journald", "Journal", "SystemMaxUse=64M")
    return warning("the journal may take a tenth of the card", command)


def tools(_case: Case) -> Finding:
    """Whether the system has the commands that remedies use."""
    missing = [name for name in ("sed", "systemctl", "usermod") if find(name) is None]
    if missing:
        command = f"{remedy.as_root()}apt-get install -y sed systemd passwd"
        return warning(f"not there: {', '.join(missing)}", command)
    return good("the commands that remedies use are there")


def _setting(root: Path, daemon: str, key: str) -> str | None:
    folder = root / _SYSTEMD
    paths = [folder / f"{daemon}.conf", *sorted((folder / f"{daemon}.conf.d").glob("*.conf"))]
    for path in reversed(paths):
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if found := re.search(rf"^{key}=(\S+)", text, re.MULTILINE):
            return None if found[1] in {"0", "off"} else found[1]
    return None


def _drop_in(root: Path, daemon: str, section: str, setting: str) -> str:
    folder = root / _SYSTEMD / f"{daemon}.conf.d"
    sudo = remedy.as_root()
    lines = remedy.quote(f"[{section}]", setting)
    return (
        f"{sudo}{remedy.quote('mkdir', '-p', folder)} && printf '%s\\n' {lines} | "
        f"{sudo}{remedy.quote('tee', folder / 'tactic.conf')} > /dev/null"
    )


def _root(case: Case) -> list[object]:
    return [] if case.root == Path("/") else ["--root", case.root]


CHECKS: tuple[tuple[str, Check], ...] = (
    ("service.installed", installed),
    ("service.enabled", enabled),
    ("service.user", user),
    ("service.state", state),
    ("service.watchdog", watchdog),
    ("service.journal", journal),
    ("service.tools", tools),
)
