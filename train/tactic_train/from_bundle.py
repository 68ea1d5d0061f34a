"""To begin with a bundle that was exported: encoder, decoder and steps out of its ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from tactic_codec.bundle import MANIFEST, Bundle
from tactic_train.errors import CheckpointError
from tactic_train.networks import Codec

_DECODER = "codec.decoder."
_HALF = "_fp16"


def is_bundle(path: Path) -> bool:
    """Whether a folder is a bundle."""
    return (path / MANIFEST).is_file()


@torch.no_grad()
def load_bundle(path: Path, codec: Codec) -> None:
    """Give a codec what the bundle computes: the same symbols, and the same pictures from them.

    The encoder's integers become weights on the same grid. Those of the decoder have the
    precision of fp16.

    Parameters
    ----------
    path : Path
        Folder of the bundle.
    codec : Codec
        Of the same architecture, channels and rate levels; changed in place.

    Raises
    ------
    BundleError
        The bundle is damaged.
    CheckpointError
        It is of another network.
    """
    bundle = Bundle.open(path)
    asked = {"arch": codec.arch, "channels": codec.channels, "levels": codec.levels}
    for name, value in asked.items():
        found = getattr(bundle.codec, name)
        if found != value:
            raise CheckpointError(
                f"{path}: {name} {found}, where the configuration has {value}; "
                "take arch, channels and levels of [model] from the bundle"
            )
    try:
        decoder = _constants(bundle.read(bundle.codec.decoder))
        encoder = _constants(bundle.read(bundle.codec.encoders[0].onnx))
        steps = _steps(decoder, codec)
        codec.log_step.copy_(steps[: len(codec.log_step)].log())
        weights = {
            name.removeprefix(_DECODER).removesuffix(_HALF): torch.from_numpy(value).float()
            for name, value in decoder.items()
            if name.startswith(_DECODER)
        }
        codec.decoder.load_state_dict(weights)
        _load_encoder(encoder, codec, steps[0])
    except (KeyError, ValueError, RuntimeError) as fault:
        raise CheckpointError(
            f"{path}: not of a network that this version trains; train from the beginning"
        ) from fault


def _constants(model: bytes) -> dict[str, NDArray[np.generic]]:
    graph = onnx.load_from_string(model).graph
    return {each.name: numpy_helper.to_array(each).copy() for each in graph.initializer}


def _steps(decoder: dict[str, NDArray[np.generic]], codec: Codec) -> Tensor:
    """Steps of all levels, float32 (levels, channels); the graph has a row of zeros behind them."""
    shape = (codec.levels + 1, codec.channels)
    (found,) = [
        torch.from_numpy(value).float()
        for name, value in decoder.items()
        if value.shape == shape and not name.startswith(_DECODER)
    ]
    return found[:-1]


def _load_encoder(constants: dict[str, NDArray[np.generic]], codec: Codec, finest: Tensor) -> None:
    """One convolution: its integers, in units of the encoder's output."""
    (conv,) = codec.encoder
    assert isinstance(conv, nn.Conv2d) and conv.bias is not None
    scale = torch.from_numpy(constants["weight_scale_0"]) / float(constants["out_0_scale"])
    weight = torch.from_numpy(constants["weight_0"]).float()
    conv.weight.copy_(weight * (scale * finest)[:, None, None, None])
    unit = scale * float(constants["input_scale"])
    conv.bias.copy_(torch.from_numpy(constants["bias_0"]).float() * unit * finest)
