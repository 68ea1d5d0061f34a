"""Build hook: compile the entropy coder's C library where there is a compiler.

Without one the installation goes on, and the coder's Python twin does the work.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "codec/tactic_codec/librans.c"
LIBRARY = "codec/tactic_codec/librans.so"
_TIMEOUT_S = 120


def compile_library(root: Path) -> str | None:
    """Compile ``librans.so`` beside its source; return why not, or None when it is there."""
    compiler = os.environ.get("CC") or shutil.which("cc")
    if not compiler:
        return "no C compiler found"
    # Renamed into place: a process that has the old library mapped keeps it.
    partial = root / f"{LIBRARY}.partial"
    flags = ["-O3", "-shared", "-fPIC", "-o", str(partial), str(root / SOURCE)]
    try:
        subprocess.run(
            [*compiler.split(), *flags], check=True, capture_output=True, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError) as fault:
        return f"{compiler} failed: {fault}"
    partial.replace(root / LIBRARY)
    return None


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg,misc,unused-ignore]
    """Puts the library into editable installs and wheels; a wheel then names its platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files of the wheel are collected."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        if problem := compile_library(root):
            (root / LIBRARY).unlink(missing_ok=True)
            print(f"tactic: entropy coder in Python ({problem}); it is slower, not different")
            return
        if version != "editable":
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform}"
            build_data["artifacts"].append(LIBRARY)
