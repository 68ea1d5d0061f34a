"""State dictionaries: read from files, put into networks."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from tactic_train.errors import HeadError

Weights = dict[str, Tensor]


def read(path: Path) -> Weights:
    """Read a ``.safetensors`` file or one that torch saved.

    Raises
    ------
    HeadError
        It is missing, or something else.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError as fault:
        raise HeadError(f"{path}: no such file; correct head.weights") from fault
    except Exception as fault:  # a file of anything makes the unpickler raise anything
        raise HeadError(f"{path}: not a state dictionary; save one with torch.save") from fault


def fill(net: nn.Module, weights: Weights, name: str) -> None:
    """Load weights into the network of the head ``name``.

    Raises
    ------
    HeadError
        They are of another network.
    """
    try:
        net.load_state_dict(weights)
    except (RuntimeError, AttributeError) as fault:
        reason = " ".join(str(fault).split())[:160]
        raise HeadError(f"head {name}: the weights do not fit it ({reason})") from fault
