"""Build hook: compile the entropy coder's C library.

Without a compiler an installation goes on, and the Python twin does the work. Wheels to pass
on are built with ``TACTIC_WHEEL`` set to the machine they are for; zig compiles for all of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "codec/tactic_codec/librans.c"
LIBRARY = "codec/tactic_codec/librans.so"
IN_WHEEL = "tactic_codec/librans.so"
TARGETS = ("x86_64", "aarch64", "any")
# The oldest C library that these wheels load with: Debian 8, Raspberry Pi OS of 2015.
GLIBC = (2, 17)
_TIMEOUT_S = 300


def compile_library(root: Path, library: Path, compiler: str | None = None) -> str | None:
    """Compile ``library`` from the source below ``root``; return why not, or None.

    ``compiler`` is a command with its arguments; by default ``$CC``, then ``cc``.
    """
    compiler = compiler or os.environ.get("CC") or shutil.which("cc")
    if not compiler:
        return "no C compiler found"
    # Renamed into place: a process that has the old library mapped keeps it.
    partial = library.with_name(f"{library.name}.partial")
    flags = ["-O3", "-shared", "-fPIC", "-o", str(partial), str(root / SOURCE)]
    try:
        subprocess.run(
            [*compiler.split(), *flags], check=True, capture_output=True, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError) as fault:
        said = getattr(fault, "stderr", None) or b""
        return f"{compiler} failed: {fault} {said.decode(errors='replace')}".strip()
    partial.replace(library)
    return None


def compiler_for(machine: str) -> str:
    """The command that compiles for a machine, whatever this one is."""
    glibc = ".".join(map(str, GLIBC))
    return f"{sys.executable} -m ziglang cc -s -target {machine}-linux-gnu.{glibc}"


def tag_for(machine: str) -> str:
    """The name by which pip knows whom a wheel is for."""
    if machine == "any":
        return "py3-none-any"
    major, minor = GLIBC
    return f"py3-none-manylinux_{major}_{minor}_{machine}.manylinux2014_{machine}"


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg,misc,unused-ignore]
    """Puts the library into editable installs and wheels; a wheel then names its platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files of the wheel are collected."""
        if self.target_name != "wheel":
            return
        machine = os.environ.get("TACTIC_WHEEL")
        if machine and version != "editable":
            self._for_others(machine, build_data)
        else:
            self._for_this_machine(version, build_data)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled for the wheel alone."""
        if folder := getattr(self, "_folder", None):
            shutil.rmtree(folder)

    def _for_this_machine(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if problem := compile_library(root, root / LIBRARY):
            (root / LIBRARY).unlink(missing_ok=True)
            print(f"tactic: entropy coder in Python ({problem}); it is slower, not different")
            return
        if version != "editable":
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform}"
            build_data["artifacts"].append(LIBRARY)

    def _for_others(self, machine: str, build_data: dict[str, Any]) -> None:
        if machine not in TARGETS:
            raise ValueError(f"TACTIC_WHEEL={machine}: choose from {', '.join(TARGETS)}")
        build_data["tag"] = tag_for(machine)
        if machine == "any":
            return
        # Not into the checkout: its own library is for the machine it is on.
        self._folder = tempfile.mkdtemp()
        library = Path(self._folder, "librans.so")
        if problem := compile_library(Path(self.root), library, compiler_for(machine)):
            raise RuntimeError(f"wheel for {machine}: {problem}; install ziglang: make wheels")
        build_data["pure_python"] = False
        build_data["force_include"][str(library)] = IN_WHEEL
