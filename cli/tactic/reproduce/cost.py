"""A cell of costs: what encoder, decoder and head take on one thread, in weights, sums and time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tactic.reproduce.cell import Cell, Figures, Part, Place
from tactic.reproduce.gallery import Photos
from tactic.reproduce.ours import ARCH
from tactic.reproduce.preset import ANSWERED, HeadChoice, Ours
from tactic_train.heads import Head, make_head
from tactic_train.networks import ARCHITECTURES, Codec

_REPEATS = 15


class Cost(Cell):
    """Our codec, the paper's and the head, with random weights: their costs do not depend on them.

    Measured on the processor by PyTorch, one thread, one photo at a time.
    """

    photos: Photos
    head: HeadChoice
    head_px: int
    ours: Ours
    channels: int

    @property
    def name(self) -> str:
        """``cost``."""
        return "cost"

    def images(self) -> dict[str, int]:
        """Some hundred answers."""
        return {ANSWERED: 5 * _REPEATS}

    def run(self, place: Place) -> Figures:
        """Count and time."""
        side, head_px = self.photos.side_px, self.head_px
        head = make_head(self.head.name, self.photos.classes)
        ours = ARCHITECTURES[ARCH](channels=self.ours.channels, levels=self.ours.levels)
        paper = ARCHITECTURES["paper"](channels=self.channels, levels=1)
        place.say(f"{self.name}: timing networks on one thread")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            parts = {"head": part(head, _answer(head, head_px), head_px**2)}
            for name, codec in (("tactic", ours), ("paper's model", paper)):
                picture, latent = _encode(codec, side), _decode(codec, side)
                parts[f"{name}, encoder"] = part(codec.encoder, picture, side**2)
                parts[f"{name}, decoder"] = part(codec.decoder, latent, side**2)
        finally:
            torch.set_num_threads(threads)
        return Figures(parts=parts)


def _answer(head: Head, head_px: int) -> Callable[[], Tensor]:
    picture = torch.rand(1, 3, head_px, head_px)
    return lambda: head(picture, head_px)


def _encode(codec: Codec, side: int) -> Callable[[], Tensor]:
    picture, level = torch.rand(1, 3, side, side), _finest(codec)
    return lambda: codec.encode(picture, level)


def _decode(codec: Codec, side: int) -> Callable[[], Tensor]:
    size = side // codec.stride
    latent, level = torch.zeros(1, codec.channels, size, size), _finest(codec)
    return lambda: codec.decode(latent, level)


def _finest(codec: Codec) -> Tensor:
    return torch.zeros(1, codec.channels, dtype=torch.int64)


@torch.no_grad()
def part(network: nn.Module, call: Callable[[], Tensor], pixels: int) -> Part:
    """Parameters, multiply-accumulates per pixel, and the median time of one call.

    Parameters
    ----------
    network : nn.Module
        What is counted.
    call : callable
        Runs it once, on one picture.
    pixels : int
        Of that picture.
    """
    macs = count_macs(network, call)
    times_s = []
    for _ in range(_REPEATS):
        start_s = time.perf_counter()
        call()
        times_s.append(time.perf_counter() - start_s)
    return Part(
        parameters=sum(p.numel() for p in network.parameters()),
        macs_per_pixel=macs / pixels,
        ms=1000 * statistics.median(times_s),
    )


def count_macs(network: nn.Module, call: Callable[[], Tensor]) -> int:
    """Multiply-accumulates of all convolutions and linear layers in one call."""
    total = 0

    def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.ConvTranspose2d):
            places = inputs[0].shape[-2] * inputs[0].shape[-1]
            total += layer.weight.numel() * places
        elif isinstance(layer, nn.Conv2d):
            total += layer.weight.numel() * output.shape[-2] * output.shape[-1]
        elif isinstance(layer, nn.Linear):
            total += layer.weight.numel()

    hooks = [layer.register_forward_hook(add) for layer in network.modules()]
    call()
    for hook in hooks:
        hook.remove()
    return total
