"""Start a lapped codec as the best linear transform, so that training begins where PCA ends.

The encoder starts as a principal component analysis of blocks, in the middle of its windows, at the
given quantisation step. The decoder starts as the transpose, in three stages: from blocks of 16
pixels to blocks of 8 to blocks of 4 to pixels, with the residuals close to zero.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from tactic_train.density import LogisticMixture
from tactic_train.networks.lapped import LappedCodec, Residual

#: what is left of the decoder's random weights, so that no two channels stay alike
RANDOM = 0.05


@torch.no_grad()
def warm_start(codec: LappedCodec, density: LogisticMixture, pictures: Tensor, step: float) -> None:
    """Set the weights of a codec and its density from pictures.

    Parameters
    ----------
    codec : LappedCodec
    density : LogisticMixture
    pictures : float32 (N, 3, H, W) in [0, 1]
        Some hundreds of training crops.
    step : float
        Quantisation step of the finest level, in units of an orthonormal coefficient.
    """
    pixels = pictures - codec.zero / 255
    (entry, to_8, to_4, out) = _linear_path(codec.decoder)
    of_16 = _principal(pixels, 16, codec.channels)
    of_8 = _principal(pixels, 8, to_8.out_channels // 4)
    of_4 = _principal(pixels, 4, to_4.out_channels // 4)
    analysis = codec.encoder[0]
    assert isinstance(analysis, nn.Conv2d)
    _set(analysis, _taps(of_16, 16) / step, random=0.0, first=int(analysis.padding[0]))
    _set(entry, step * torch.eye(entry.out_channels)[:, : codec.channels, None, None], first=1)
    # A decoder narrower than the latent starts with the channels of most energy.
    _set(to_8, _quarters(of_16[: entry.out_channels], of_8))
    _set(to_4, _quarters(of_8, of_4))
    _set(out, of_4.T[:, :, None, None], first=1)
    assert out.bias is not None
    out.bias.fill_(codec.zero / 255)
    for block in codec.decoder:
        if isinstance(block, Residual):
            last = block.body[-1]
            assert isinstance(last, nn.Conv2d)
            _set(last, torch.zeros_like(last.weight))
    density.fit(codec, pictures)


def _linear_path(decoder: nn.Sequential) -> tuple[nn.Conv2d, ...]:
    """The convolutions outside the residual blocks: entry, to 8 pixels, to 4 pixels, out."""
    plain = [layer for layer in decoder if not isinstance(layer, Residual)]
    return tuple(m for layer in plain for m in layer.modules() if isinstance(m, nn.Conv2d))


def _principal(pixels: Tensor, side: int, components: int) -> Tensor:
    """Orthonormal directions of most energy of blocks; (components, 3 · side²)."""
    rows = F.unfold(pixels, side, stride=side).movedim(1, -1).flatten(0, 1).double()
    vectors: Tensor = torch.linalg.eigh(rows.T @ rows / len(rows)).eigenvectors
    return vectors.flip(1)[:, :components].T.float().contiguous()


def _taps(basis: Tensor, side: int) -> Tensor:
    return basis.reshape(len(basis), 3, side, side)


def _quarters(coarse: Tensor, fine: Tensor) -> Tensor:
    """Coefficients of the four quarters of a block from its own, in the order of PixelShuffle.

    Parameters
    ----------
    coarse : float32 (C, 3 · (2s)²)
    fine : float32 (c, 3 · s²)

    Returns
    -------
    float32 (4 · c, C, 1, 1)
    """
    side = round((fine.shape[1] / 3) ** 0.5)
    taps = _taps(coarse, 2 * side)
    quarters = [
        fine @ taps[:, :, top : top + side, left : left + side].flatten(1).T
        for top in (0, side)
        for left in (0, side)
    ]
    return torch.stack(quarters, dim=1).flatten(0, 1)[:, :, None, None]


def _set(conv: nn.Conv2d, taps: Tensor, *, random: float = RANDOM, first: int = 0) -> None:
    """Add ``taps`` at (first, first) to ``random`` times the convolution's own weights."""
    rows, columns, height, width = taps.shape
    conv.weight.mul_(random)
    conv.weight[:rows, :columns, first : first + height, first : first + width] += taps
    assert conv.bias is not None
    conv.bias.zero_()
