"""Weights on the int8 grid, rounded so that their errors cancel on what the layer sees."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from tactic_train.networks import Codec

#: share of the mean energy added to every input's own, so that the product can be inverted
DAMPING = 1e-4
MOST = 127
_BATCH = 16


@torch.no_grad()
def fix_encoder(codec: Codec, pictures: Tensor) -> None:
    """Put the weights of every convolution of an encoder onto the int8 grid.

    Parameters
    ----------
    codec : Codec
        Changed in place. The export then finds the same integers.
    pictures : float32 (N, 3, H, W) in [0, 1]
        Some hundreds of training crops.
    """
    x = pictures - codec.zero / 255
    for layer in codec.encoder:
        if isinstance(layer, nn.Conv2d):
            integers, scales = rounded(layer, x)
            on_grid = (
                torch.from_numpy(integers).double()
                * torch.from_numpy(scales).double()[:, None, None, None]
            )
            layer.weight.copy_(on_grid)
        x = layer(x)


def rounded(conv: nn.Conv2d, inputs: Tensor) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Integers and steps of a convolution's weights.

    Parameters
    ----------
    conv : nn.Conv2d
    inputs : float32 (N, C, h, w)
        What it sees.

    Returns
    -------
    integers : int8 array (outputs, inputs, k, k)
        The largest of each output is 127 or −127, so weights on the grid are found again.
    scales : float32 array (outputs,)
    """
    weight = conv.weight.detach().cpu().double().numpy()
    scales = np.maximum(np.abs(weight).max(axis=(1, 2, 3)) / MOST, 1e-9).astype(np.float32)
    rows = weight.reshape(len(weight), -1)
    integers = rounded_weights(rows, scales.astype(np.float64), _energy(conv, inputs))
    return integers.reshape(weight.shape), scales


def rounded_weights(
    weight: NDArray[np.float64], scales: NDArray[np.float64], energy: NDArray[np.float64]
) -> NDArray[np.int8]:
    """Round weights one after the other, each making up for the errors before it.

    Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
    Transformers" (2023), section 3: with the inverse energy's Cholesky factor, the error of each
    weight is spread over those still to come as it disturbs the sums least.

    Parameters
    ----------
    weight : float64 (outputs, inputs)
    scales : float64 (outputs,)
        Step of each output's grid.
    energy : float64 (inputs, inputs)
        Mean product of the inputs with each other.

    Returns
    -------
    int8 array (outputs, inputs), −127 … 127
        The largest weight of each output keeps its integer.
    """
    damped = energy + np.eye(len(energy)) * DAMPING * max(np.trace(energy) / len(energy), 1e-12)
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    left = weight / scales[:, None]
    plain = np.clip(np.rint(left), -MOST, MOST)
    largest = np.abs(plain) == MOST
    integers = np.empty(weight.shape, np.int8)
    for column, row in enumerate(factor):
        near = np.clip(np.rint(left[:, column]), -MOST, MOST)
        integers[:, column] = np.where(largest[:, column], plain[:, column], near)
        error = (left[:, column] - integers[:, column]) / row[column]
        left[:, column + 1 :] -= error[:, None] * row[column + 1 :]
    return integers


def _energy(conv: nn.Conv2d, inputs: Tensor) -> NDArray[np.float64]:
    """Mean product of a convolution's inputs with each other, float64 (inputs · k², …)."""
    size = conv.weight[0].numel()
    total = torch.zeros(size, size, dtype=torch.float64)
    for start in range(0, len(inputs), _BATCH):
        windows = F.unfold(
            inputs[start : start + _BATCH],
            conv.kernel_size,
            padding=int(conv.padding[0]),
            stride=conv.stride,
        )
        rows = windows.movedim(1, -1).flatten(0, 1)
        total += (rows.T @ rows).double().cpu() / len(rows)
    energy: NDArray[np.float64] = total.numpy()
    return energy
