"""The files of a bundle, each read once: what is used is what was checked.

With the configuration's, the one place where this room reads files.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tactic_codec.errors import BundleError
from tactic_codec.manifest import FileEntry

MAX_MANIFEST_BYTES = 1 << 20
RENEW = "fetch or export the bundle again"

M = TypeVar("M", bound=BaseModel)


def read_file(root: Path, entry: FileEntry) -> bytes:
    """Read a declared file once; what is returned is what was checked.

    Raises
    ------
    BundleError
        It is not a plain file, or not the one that the manifest declares.
    """
    path = root / entry.path
    try:
        # A link could lead out of the bundle, and opening a pipe would wait for ever.
        if path.resolve() != root.resolve() / entry.path:
            raise BundleError(f"{path}: missing or not a plain file; {RENEW}")
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(number, "rb") as file:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise BundleError(f"{path}: missing or not a plain file; {RENEW}")
            content = file.read(entry.size_bytes + 1)
    except OSError as fault:
        raise BundleError(f"{path}: {fault.strerror}; {RENEW}") from fault
    if len(content) != entry.size_bytes or hashlib.sha256(content).hexdigest() != entry.sha256:
        raise BundleError(f"{path}: not the file that manifest.json declares; {RENEW}")
    return content


def read_small(path: Path, remedy: str) -> bytes:
    """Read ``manifest.json`` or ``signature.json``.

    Raises
    ------
    BundleError
        It cannot be read, or is larger than such a file can be.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as fault:
        raise BundleError(f"{path}: {fault.strerror}; {remedy}") from fault
    if len(text) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{path}: larger than {MAX_MANIFEST_BYTES} bytes; {RENEW}")
    return text


def parse(model: type[M], path: Path, text: bytes) -> M:
    """Read JSON into a model.

    Raises
    ------
    BundleError
        One line that names the file and the first thing that is wrong.
    """
    try:
        return model.model_validate_json(text)
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        problem = " ".join(first["msg"].split())
        raise BundleError(f"{path}: {where}: {problem}; {RENEW}") from fault
