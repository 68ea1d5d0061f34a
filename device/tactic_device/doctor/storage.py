"""The outbox: whose it is, and whether there is room for it on the disk and in memory."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from tactic_device.config import DeviceConfig
from tactic_device.doctor import remedy
from tactic_device.doctor.base import Case, Check, Finding, fault, good, warning, with_config
from tactic_device.service import layout
from tactic_device.service.system import name_of

#: what the system itself needs of a disk
_FREE_BYTES = 256 << 20
_LEAST_BYTES = 4 << 20
_MEMORY = frozenset({"tmpfs", "ramfs"})


def owner(case: Case, config: DeviceConfig) -> Finding:
    """Whether the node may write its outbox."""
    path = config.outbox.path
    if path.exists() and not path.is_dir():
        command = f"{remedy.sudo(path)}{remedy.quote('mv', path, f'{path}.bad')}"
        return fault(f"{path}: outbox.path is a file", command)
    user, group = case.system.user() or (os.geteuid(), os.getegid())
    if not path.exists():
        return good(f"{path} will be made")
    found = path.stat()
    if found.st_uid != user:
        whose = f"{user}:{group}"
        command = f"{remedy.as_root()}{remedy.quote('chown', '-R', whose, path)}"
        return fault(
            f"{path} belongs to {name_of(found.st_uid)}, and the node runs as {name_of(user)}",
            command,
        )
    if found.st_mode & 0o700 != 0o700:
        command = f"{remedy.as_root()}{remedy.quote('chmod', 'u=rwx', path)}"
        return fault(f"{path} does not let its owner write", command)
    return good(f"{path} belongs to the node")


def space(case: Case, config: DeviceConfig) -> Finding:
    """Whether the disk has room for the whole outbox."""
    path, cap = config.outbox.path, config.outbox.max_bytes
    used = sum(each.stat().st_size for each in path.glob("*.seg")) if path.is_dir() else 0
    usage = shutil.disk_usage(_nearest(path))
    room = usage.free + used - min(_FREE_BYTES, usage.total // 20)
    if cap <= room:
        return good(f"the outbox may take {cap >> 20} MB, and there is room for {room >> 20}")
    if room < _LEAST_BYTES:
        command = f"{remedy.as_root()}journalctl --vacuum-size=64M"
        return fault(f"{path}: the disk is full", command)
    return fault(
        f"{path}: the outbox may take {cap >> 20} MB, and the disk has {max(0, room) >> 20}",
        remedy.set_key(case.path, "outbox.max_bytes", str(max(_LEAST_BYTES, room // 2))),
    )


def in_memory(case: Case, config: DeviceConfig) -> Finding:
    """Whether the outbox in memory is in memory."""
    kept = config.outbox
    if kept.durability != "spill":
        return good(f"frames go to the disk at once: durability is {kept.durability}")
    path = kept.memory.folder
    kind = file_system(path)
    if kind in _MEMORY:
        return good(f"frames wait in memory first, in {path}")
    places = (
        Path("/") / layout.RUNTIME / "outbox",
        Path("/dev/shm") / f"tactic-{config.node.node}",
    )
    place = next((p for p in places if file_system(p) in _MEMORY), places[0])
    return fault(
        f"{path} is no memory but {kind}: every frame would wear the card out",
        remedy.set_key(case.path, "outbox.ram_path", f'"{place}"'),
    )


def memory_room(case: Case, config: DeviceConfig) -> Finding:
    """Whether memory has room for the outbox in memory."""
    kept = config.outbox
    if kept.durability != "spill":
        return good("nothing waits in memory")
    room = memory_bytes("MemAvailable") // 4
    if kept.ram_bytes <= room:
        return good(f"{kept.ram_bytes >> 20} MB of memory for frames that wait")
    return fault(
        f"outbox.ram_bytes is {kept.ram_bytes >> 20} MB, a quarter of the free memory {room >> 20}",
        remedy.set_key(case.path, "outbox.ram_bytes", str(max(_LEAST_BYTES, room // 2))),
    )


def folder_of_memory(_case: Case, config: DeviceConfig) -> Finding:
    """Whether the folder in memory is the node's alone."""
    path = config.outbox.memory.folder
    if not path.exists():
        return good(f"{path} will be made")
    found = path.lstat()
    disk = config.outbox.path
    user = disk.stat().st_uid if disk.is_dir() else found.st_uid
    command = f"{remedy.as_root()}{remedy.quote('rm', '-r', path)}"
    if found.st_uid != user:
        return fault(f"{path} belongs to {name_of(found.st_uid)}", command)
    if found.st_mode & 0o022:
        command = f"{remedy.as_root()}{remedy.quote('chmod', 'go-rwx', path)}"
        return fault(f"others may write to {path}", command)
    return good(f"{path} is the node's alone")


def one_node(_case: Case, config: DeviceConfig) -> Finding:
    """Whether the node runs, and only once."""
    holder = lock_holder(config.outbox.path)
    if holder is None:
        return good("no node uses the outbox now")
    try:
        words = Path(f"/proc/{holder}/cmdline").read_bytes().split(b"\0")
    except OSError:
        words = []
    if b"device" in words and b"run" in words:
        return good(f"the node runs as process {holder}")
    return warning(
        f"process {holder} holds the outbox, and is no node",
        f"{remedy.as_root()}kill {holder}",
    )


def lock_holder(outbox: Path) -> int | None:
    """The process that has the outbox locked."""
    inodes = {path.stat().st_ino for path in outbox.glob("*lock*")} if outbox.is_dir() else set()
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        # A process that waits for a lock has an arrow before the kind.
        if fields[1] == "FLOCK" and int(fields[5].rpartition(":")[2]) in inodes:
            return int(fields[4])
    return None


def file_system(path: Path) -> str:
    """Kind of the file system that a path is on, or will be."""
    device = _nearest(path).stat().st_dev
    place = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields = line.split()
        if fields[2] == place:
            return fields[fields.index("-") + 1]
    return "unknown"


def memory_bytes(name: str, root: Path = Path("/")) -> int:
    """A line of ``/proc/meminfo``."""
    text = (root / "proc/meminfo").read_text(encoding="ascii")
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _nearest(path: Path) -> Path:
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


CHECKS: tuple[tuple[str, Check], ...] = (
    ("outbox.owner", with_config(owner)),
    ("outbox.space", with_config(space)),
    ("outbox.in_memory", with_config(in_memory)),
    ("outbox.memory_room", with_config(memory_room)),
    ("outbox.memory_owner", with_config(folder_of_memory)),
    ("outbox.one_node", with_config(one_node)),
)
