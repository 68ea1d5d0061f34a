"""Networks of the codec, by the name of their architecture."""

from __future__ import annotations

from tactic_train.networks.base import Codec
from tactic_train.networks.cost import macs_per_pixel
from tactic_train.networks.paper import PaperCodec
from tactic_train.networks.strided import StridedCodec

ARCHITECTURES: dict[str, type[Codec]] = {"paper": PaperCodec, "strided": StridedCodec}

__all__ = ["ARCHITECTURES", "Codec", "PaperCodec", "StridedCodec", "macs_per_pixel"]
