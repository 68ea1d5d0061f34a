"""What a configuration file says about whose bundles may run; the same for node and gateway."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from tactic_codec import trust as trust_file
from tactic_codec.config import LocalPath, Section
from tactic_codec.trust import Trust

NOBODY = "nobody: unsigned bundles may run here"
"""What a log says in the place of the key's name."""


class TrustSettings(Section):
    """``trust``, a trust file, or ``unsigned = true``: what nobody signed may run."""

    trust: LocalPath | None = None
    unsigned: bool = False

    @model_validator(mode="after")
    def _decided(self) -> Self:
        if self.unsigned and self.trust is not None:
            raise ValueError("trust and unsigned exclude each other; remove one")
        if not self.unsigned and self.trust is None:
            raise ValueError(
                "add trust = FILE (tactic trust init makes one), or unsigned = true to run bundles "
                "that nobody signed"
            )
        return self

    def read_trust(self) -> Trust | None:
        """Read the trust file; None where unsigned bundles may run.

        Raises
        ------
        TrustError
            It cannot be read.
        """
        return trust_file.read(self.trust) if self.trust else None
