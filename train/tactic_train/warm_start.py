"""Start a strided codec as the best linear transform, so that training begins where PCA ends.

Every convolution of the encoder starts as a principal component analysis of what it sees, rotated
at random so that all its channels have the same spread (one int8 scale then serves all of them),
and lifted above zero so that its ReLU passes it. The decoder starts as the transpose.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from tactic_train.density import LogisticMixture
from tactic_train.networks.strided import Centred, Residual, StridedCodec

#: quantisation steps per unit of an orthonormal coefficient of pixels in [0, 1]: some 0.3 bpp
GAIN = 2.5
#: standard deviations between a feature's mean and zero
LIFT = 4.0
#: what is left of the random weights, so that no two channels stay alike
RANDOM = 0.05


@torch.no_grad()
def warm_start(codec: StridedCodec, density: LogisticMixture, pictures: Tensor, seed: int) -> None:
    """Set the weights of a codec and its density from pictures.

    Parameters
    ----------
    codec : StridedCodec
    density : LogisticMixture
    pictures : float32 (N, 3, H, W) in [0, 1]
        Some hundreds of training crops.
    seed : int
        Of the rotations.
    """
    generator = torch.Generator().manual_seed(seed)
    stem, first, second, mix, last = (m for m in codec.encoder if isinstance(m, nn.Conv2d))
    bases, means = [], []
    x = pictures
    for conv in (stem, first, second):
        basis, mean = _principal(_windows(x, conv.stride[0]), conv.out_channels)
        bases.append(_rotation(len(basis), generator) @ basis)
        means.append(mean)
        x = _lifted(conv, bases[-1], mean, x)
    turn = _rotation(mix.out_channels, generator)
    x = _lifted(mix, turn, x.mean(dim=(0, 2, 3)), x)
    basis, mean = _principal(_windows(x, 1), last.out_channels)
    bias = F.pad(-GAIN * basis @ mean, (0, last.out_channels - len(basis)))
    _set(last, GAIN * basis[:, :, None, None], bias)
    _transpose_into(codec.decoder, basis @ turn, bases, means[0])
    _fit(density, last(x))
    centre(codec, pictures)


@torch.no_grad()
def centre(codec: StridedCodec, pictures: Tensor) -> None:
    """Measure what the encoder's convolutions take out of their inputs; the function stays."""
    x = pictures
    for layer in codec.encoder:
        if isinstance(layer, Centred):
            assert layer.bias is not None
            plain = layer.plain_bias(layer.weight)
            layer.centre.copy_(x.mean(dim=(0, 2, 3)))
            layer.bias.add_(plain - layer.plain_bias(layer.weight))
        x = layer(x)


def _windows(x: Tensor, side: int) -> Tensor:
    """(N, C, h, w) → (positions, C · side²), without overlap."""
    return F.unfold(x, side, stride=side).movedim(1, -1).flatten(0, 1)


def _principal(rows: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Orthonormal directions of most variance (components, D), and the mean (D,)."""
    mean = rows.mean(dim=0)
    centred = (rows - mean).double()
    vectors = torch.linalg.eigh(centred.T @ centred / len(rows)).eigenvectors
    return vectors.flip(1)[:, :components].T.float().contiguous(), mean


def _rotation(size: int, generator: torch.Generator) -> Tensor:
    """Draw an orthogonal matrix (size, size)."""
    rotation: Tensor = torch.linalg.qr(torch.randn(size, size, generator=generator)).Q
    return rotation


def _lifted(conv: nn.Conv2d, basis: Tensor, mean: Tensor, x: Tensor) -> Tensor:
    """Write a basis into a convolution, at its input's own place; the features after its ReLU."""
    side = conv.stride[0]
    spread = ((_windows(x, side) - mean) @ basis.T).std(dim=0)
    taps = basis.reshape(-1, conv.in_channels, side, side)
    _set(conv, taps, LIFT * spread - basis @ mean, random=RANDOM, first=int(conv.padding[0]))
    return F.relu(conv(x))


def _set(
    conv: nn.Conv2d, taps: Tensor, bias: Tensor, *, random: float = 0.0, first: int = 0
) -> None:
    """Add ``taps`` at (first, first) to ``random`` times the convolution's own weights."""
    rows, columns, height, width = taps.shape
    conv.weight.mul_(random)
    conv.weight[:rows, :columns, first : first + height, first : first + width] += taps
    assert conv.bias is not None
    conv.bias.copy_(bias)


def _transpose_into(
    decoder: nn.Sequential, latent_basis: Tensor, bases: list[Tensor], pixel_mean: Tensor
) -> None:
    """Write the transposed encoder into the 1×1 and the last convolutions of the decoder."""
    plain = [layer for layer in decoder if not isinstance(layer, Residual)]
    entry, up16, up8, out = (m for p in plain for m in p.modules() if isinstance(m, nn.Conv2d))
    for conv, basis in ((entry, latent_basis / GAIN), (up16, bases[2]), (up8, bases[1])):
        _set(conv, basis.T[:, :, None, None], torch.zeros(conv.out_channels), random=RANDOM)
    _set(out, bases[0].T[:, :, None, None], pixel_mean, random=RANDOM, first=1)
    for block in decoder:
        if isinstance(block, Residual):
            last = block.body[-1]
            assert isinstance(last, nn.Conv2d)
            _set(last, torch.zeros_like(last.weight), torch.zeros(last.out_channels), random=RANDOM)


def _fit(density: LogisticMixture, latent: Tensor) -> None:
    """Scales from the spread of every channel: a logistic of variance s²π²/3."""
    spread = latent.std(dim=(0, 2, 3)).clamp_min(0.05) * 3**0.5 / torch.pi
    shares = torch.tensor([0.5, 1.0, 2.0])[: len(density.log_scale), None]
    density.log_scale.copy_(torch.log(shares * spread))
    density.mean.zero_()
