"""An arm64 Debian in a folder, whose programs QEMU runs as a Raspberry Pi's processor would.

Needs root: binary formats are registered with the kernel, and folders are mounted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FORMATS = Path("/proc/sys/fs/binfmt_misc")
SHARED = Path("/work")
PACKAGES = ("base-files", "dash", "libc-bin", "libstdc++6", "python3", "python3-venv")
_TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "arch-test": "arch-test",
    "qemu-aarch64-static": "qemu-user-static",
    "unshare": "util-linux",
}
_FORMAT = (
    r":qemu-aarch64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:{}:OCF"
)
_CORES = 4
# Mounted in a namespace of its own, so that nothing is left when the program ends.
_ENTER = """
mount --rbind /dev "$ROOT/dev" && mount --rbind /sys "$ROOT/sys" &&
mount -t proc proc "$ROOT/proc" && mount --bind "$CPUINFO" "$ROOT/proc/cpuinfo" &&
mount --bind "$SHARE" "$ROOT/work" || exit 125
cd / && exec env -i QEMU_CPU="$CPU" HOME=/root LANG=C.UTF-8 PATH=/usr/bin:/usr/sbin:/bin "$@"
"""


class PiError(Exception):
    """The emulated Pi cannot be made; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Board:
    """A board as its programs see it.

    Attributes
    ----------
    name : str
    cpu : str
        QEMU's name of the processor.
    part : int
        What ``/proc/cpuinfo`` calls it. Runtimes choose their kernels by this number; with another
        machine's, ONNX Runtime crashes and LiteRT leaves out XNNPACK without a word.
    features : str
        The same for its instructions.
    """

    name: str
    cpu: str
    part: int
    features: str

    def cpuinfo(self) -> str:
        """``/proc/cpuinfo`` of the board."""
        core = (
            "processor\t: {0}\nBogoMIPS\t: 108.00\nFeatures\t: {1}\nCPU implementer\t: 0x41\n"
            "CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {2:#x}\nCPU revision\t: 3\n\n"
        )
        return "".join(core.format(n, self.features, self.part) for n in range(_CORES))


BOARDS = (
    Board("Pi 4", "cortex-a72", 0xD08, "fp asimd evtstrm crc32 cpuid"),
    Board(
        "Pi 5",
        "cortex-a76",
        0xD0B,
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc "
        "dcpop asimddp",
    ),
)


class Root:
    """The folder, made where it is not there yet.

    Parameters
    ----------
    suite : str
        Release of Debian.
    cache : Path
    share : Path
        Folder that its programs find at ``/work``.

    Raises
    ------
    PiError
    """

    def __init__(self, suite: str, cache: Path, share: Path) -> None:
        _check()
        self.folder = cache / f"root-{suite}"
        self._share = share
        if not self.folder.exists():
            _make(suite, self.folder)
        _register()

    def command(
        self, board: Board, arguments: Sequence[str], settings: Mapping[str, str] | None = None
    ) -> list[str]:
        """What to start here for a program that runs on a board; ``settings``: its environment."""
        cpuinfo = self.folder.parent / f"cpuinfo-{board.cpu}"
        cpuinfo.write_text(board.cpuinfo())
        told = {"ROOT": self.folder, "SHARE": self._share, "CPUINFO": cpuinfo, "CPU": board.cpu}
        enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "sh"]
        given = [f"{key}={value}" for key, value in (settings or {}).items()]
        there = ["chroot", str(self.folder), *arguments]
        return ["env", *(f"{key}={value}" for key, value in told.items()), *enter, *given, *there]

    def run(
        self,
        board: Board,
        arguments: Sequence[str],
        timeout_s: float,
        settings: Mapping[str, str] | None = None,
    ) -> str:
        """Run a program to its end; its standard output.

        Raises
        ------
        PiError
            It failed; the message has its last line.
        """
        shown = f"{' '.join(arguments[-5:])} on a {board.name}"
        return finished(self.command(board, arguments, settings), timeout_s, shown)


def finished(
    command: Sequence[str],
    timeout_s: float,
    shown: str = "",
    settings: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """Run a program of this machine to its end; its standard output.

    Raises
    ------
    PiError
        It failed, or did not end in time.
    """
    shown = shown or " ".join(command[:6])
    try:
        done = subprocess.run(
            command,
            env=dict(os.environ) | dict(settings or {}),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as fault:
        raise PiError(f"{shown} did not end within {timeout_s:g} s") from fault
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines() or ["(no output)"]
        raise PiError(f"{shown} ended with {done.returncode}: {last[-1]}")
    return done.stdout


def _check() -> None:
    missing = [package for tool, package in _TOOLS.items() if not shutil.which(tool)]
    if missing:
        raise PiError(f"not installed: apt install {' '.join(missing)}")
    if os.geteuid() != 0:
        raise PiError("needs root, to mount and to register programs of ARM: sudo make pi-test")


def _make(suite: str, folder: Path) -> None:
    """Unpack Debian's packages; their own scripts, slow in emulation, are not needed here."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=folder.parent))
    command = ["mmdebstrap", "--quiet", "--variant=extract", "--architectures=arm64"]
    command += ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"]
    command += [f"--include={','.join(PACKAGES)}", suite, str(partial)]
    finished([*command, "http://deb.debian.org/debian"], 1800)
    (partial / SHARED.relative_to("/")).mkdir()
    partial.chmod(0o755)
    partial.rename(folder)


def _register() -> None:
    """Let the kernel start programs of ARM with QEMU, which it opens now and not in the root."""
    if not (FORMATS / "register").exists():
        finished(["mount", "-t", "binfmt_misc", "binfmt_misc", str(FORMATS)], 10)
    known = FORMATS / "qemu-aarch64"
    if not known.exists():
        qemu = shutil.which("qemu-aarch64-static")
        (FORMATS / "register").write_text(_FORMAT.format(qemu))
    if "F" not in known.read_text().split("flags:")[1].split("\n")[0]:
        raise PiError(f"{known} has not the flag F: apt install qemu-user-static")
