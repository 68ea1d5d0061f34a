"""Which bundles a node has run: the newest serial of each name, so that none goes back.

A signature says who made a bundle, not that it is the latest: an old bundle with a known fault
keeps its valid signature for ever.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tactic_codec.bundle import Bundle
from tactic_codec.durable import replace_file
from tactic_codec.errors import TrustError
from tactic_codec.manifest import Sha256

FILE = "accepted.json"


class _Newest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    serial: int = Field(ge=0)
    manifest: Sha256


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    bundles: dict[str, _Newest] = {}


class Accepted:
    """The record of one node, ``accepted.json`` beside its trust file.

    Parameters
    ----------
    path : Path
        A file that need not be there yet.

    Raises
    ------
    TrustError
        It is there and cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._record = _Record.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            self._record = _Record()
        except (OSError, ValidationError) as fault:
            remedy = "restore it, or remove it to begin again with the bundle at hand"
            raise TrustError(f"{path}: record of bundles cannot be read; {remedy}") from fault

    def check(self, bundle: Bundle) -> None:
        """Refuse what is older than the newest of its name that has run here.

        Raises
        ------
        TrustError
            A lower serial, or the same serial with another manifest.
        """
        name, serial = bundle.manifest.name, bundle.manifest.serial
        newest = self._record.bundles.get(name)
        if newest is None or serial > newest.serial:
            return
        if serial < newest.serial:
            what = f"bundle {name} has serial {serial}, this node has run {newest.serial}"
            raise TrustError(f"{bundle.path}: {what}; give a newer one")
        if bundle.digest != newest.manifest:
            what = f"another bundle {name} with serial {serial} has run on this node"
            raise TrustError(f"{bundle.path}: {what}; sign this one with a higher serial")

    def add(self, bundle: Bundle) -> None:
        """Note that a bundle runs; durable before this returns.

        Raises
        ------
        TrustError
            `check` refuses it, or the record cannot be written.
        """
        self.check(bundle)
        newest = _Newest(serial=bundle.manifest.serial, manifest=bundle.digest)
        if self._record.bundles.get(bundle.manifest.name) == newest:
            return
        record = _Record(bundles=self._record.bundles | {bundle.manifest.name: newest})
        try:
            replace_file(self._path, record.model_dump_json(indent=2).encode() + b"\n")
        except OSError as fault:
            remedy = "let the node write beside its trust file"
            raise TrustError(f"{self._path}: {fault.strerror}; {remedy}") from fault
        self._record = record
