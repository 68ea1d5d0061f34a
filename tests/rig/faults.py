"""A process that sees another wall clock, or a disk that fails, from one moment to the next.

The real clock and the real disk stay as they are: a library before libc (``faults.c``, LD_PRELOAD)
tells that one process otherwise.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

_FORM = struct.Struct("<qi500s")
COMPILER = shutil.which("gcc")


def build(folder: Path) -> Path:
    """Compile the library; needs gcc."""
    library = folder / "faults.so"
    source = Path(__file__).with_suffix(".c")
    command = [str(COMPILER), "-shared", "-fPIC", "-O1", "-Wall", "-o", str(library), str(source)]
    subprocess.run([*command, "-ldl"], check=True)
    return library


class Host:
    """What one process sees.

    Parameters
    ----------
    library : Path
        From `build`.
    control : Path
        A file of its own.

    Attributes
    ----------
    environment : dict of str to str
        Start the process with it.
    """

    def __init__(self, library: Path, control: Path) -> None:
        self._control = control
        self._clock_s = 0
        control.write_bytes(bytes(_FORM.size))
        self.environment = {"LD_PRELOAD": str(library), "TACTIC_FAULTS": str(control)}

    def set_clock(self, off_by_s: int) -> None:
        """Set the wall clock so far from the right time."""
        self._clock_s = off_by_s
        self._tell(0, "")

    def break_disk(self, folder: Path, code: int) -> None:
        """Fail below a folder: full (ENOSPC), read-only (EROFS), or broken (EIO)."""
        self._tell(code, str(folder))

    def mend(self) -> None:
        """Let the disk work again."""
        self._tell(0, "")

    def _tell(self, code: int, folder: str) -> None:
        # In place, since the process has this very file mapped.
        with self._control.open("r+b") as file:
            file.write(_FORM.pack(self._clock_s, code, folder.encode()))
