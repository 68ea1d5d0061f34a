"""More channels for a lapped codec: the first compute what they did, the others what was missed.

What no channel of a linear encoder sees, finer steps do not bring back. The further channels begin
as the directions of most energy of what is left of a block when the former channels have predicted
of it what they can; being last, they are the first that are left off. They begin with a decoder
that uses them already: bits that draw nothing would only drive their steps apart.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from tactic_codec.bundle import Bundle
from tactic_train import losses
from tactic_train.from_bundle import load_bundle
from tactic_train.networks import Codec
from tactic_train.networks.lapped import LappedCodec
from tactic_train.warm_start import as_filters

_STEPS = 120
_BATCH = 16
_LEARNING_RATE = 1e-2


def load_wider(path: Path, codec: Codec, pictures: Tensor) -> None:
    """As `load_bundle`, also for a lapped codec with more channels than the bundle's.

    Parameters
    ----------
    path : Path
    codec : Codec
    pictures : float32 (N, 3, H, W) in [0, 1]
        Some hundreds of training crops.

    Raises
    ------
    BundleError, CheckpointError
    """
    channels = Bundle.open(path).codec.channels
    if channels >= codec.channels or not isinstance(codec, LappedCodec):
        load_bundle(path, codec)
        return
    narrow = type(codec)(channels, codec.levels)
    load_bundle(path, narrow)
    widen(narrow, codec, pictures)


def widen(narrow: LappedCodec, wide: LappedCodec, pictures: Tensor) -> None:
    """Set the weights of a codec from one of the same levels and decoder with fewer channels.

    Parameters
    ----------
    narrow, wide : LappedCodec
        ``wide`` is changed in place.
    pictures : float32 (N, 3, H, W) in [0, 1]
    """
    with torch.no_grad():
        _widen_encoder(narrow, wide, pictures)
        _widen_decoder(narrow, wide)
    _teach_entry(wide, narrow.channels, pictures)


def _widen_encoder(narrow: LappedCodec, wide: LappedCodec, pictures: Tensor) -> None:
    """New rows compute b·(x − A z − a): b principal directions, A z + a blocks told by channels."""
    old, new = narrow.channels, wide.channels
    theirs, ours = _encoder(narrow), _encoder(wide)
    assert ours.bias is not None and theirs.bias is not None
    basis, told, constant = _missed(theirs, pictures - wide.zero / 255, new - old)
    first, side = int(ours.padding[0]), wide.stride
    ours.weight[:old] = theirs.weight
    ours.weight[old:] = -(told @ theirs.weight.flatten(1)).view_as(ours.weight[old:])
    ours.weight[old:, :, first : first + side, first : first + side] += as_filters(basis, side)
    ours.bias[:old] = theirs.bias
    ours.bias[old:] = -(told @ theirs.bias) - constant
    # Steps in units of an orthonormal coefficient; the last channels' fit those that follow.
    steps = narrow.log_step - theirs.weight.flatten(1).norm(dim=1).log()
    wide.log_step[:, :old] = narrow.log_step
    wide.log_step[:, old:] = steps[:, old // 2 :].median(dim=1, keepdim=True).values


def _missed(encoder: nn.Conv2d, pixels: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Principal directions of what channels do not tell of their blocks.

    Returns
    -------
    basis : float32 (count, 3 · side²)
        Orthonormal.
    told : float32 (count, channels)
        What channels tell along them, linearly: the least squares.
    constant : float32 (count,)
    """
    blocks = F.unfold(pixels, encoder.stride, stride=encoder.stride)
    rows = blocks.movedim(1, -1).flatten(0, 1).double()
    known = encoder(pixels).flatten(2).movedim(1, -1).flatten(0, 1).double()
    known = torch.cat([known, torch.ones_like(known[:, :1])], dim=1)
    # Of channels that hardly differ in a few pictures the normal equations are not definite.
    normal = known.T @ known
    normal.diagonal().add_(1e-6 * normal.diagonal().mean())
    found = torch.linalg.solve(normal, known.T @ rows)
    left = rows - known @ found
    basis = torch.linalg.eigh(left.T @ left).eigenvectors.flip(1)[:, :count].T
    told = (basis @ found.T).float()
    return basis.float(), told[:, :-1], told[:, -1]


def _encoder(codec: LappedCodec) -> nn.Conv2d:
    (conv,) = codec.encoder
    assert isinstance(conv, nn.Conv2d)
    return conv


def _widen_decoder(narrow: LappedCodec, wide: LappedCodec) -> None:
    """All as it was; the first convolution gets inputs of no weight between latent and planes."""
    entry = wide.decoder[0]
    assert isinstance(entry, nn.Conv2d)
    entry.weight.zero_()
    state = narrow.decoder.state_dict()
    former = state.pop("0.weight")
    wide.decoder.load_state_dict(state, strict=False)
    entry.weight[:, : narrow.channels] = former[:, : narrow.channels]
    entry.weight[:, wide.channels :] = former[:, narrow.channels :]


def _teach_entry(wide: LappedCodec, old: int, pictures: Tensor) -> None:
    """The decoder's first convolution learns to draw with the further channels, all else resting.

    By the mean squared error, at the two finest levels.
    """
    entry = wide.decoder[0]
    assert isinstance(entry, nn.Conv2d)
    optimiser = torch.optim.Adam([entry.weight], lr=_LEARNING_RATE)
    draws = torch.Generator().manual_seed(0)
    for _ in range(_STEPS):
        chosen = pictures[torch.randint(len(pictures), (_BATCH,), generator=draws)]
        level = torch.randint(min(2, wide.levels), (_BATCH, 1), generator=draws)
        level = level.expand(-1, wide.channels)
        with torch.no_grad():
            symbols = wide.encode(chosen, level).round()
        loss = losses.distortion(chosen, wide.decode(symbols, level)).mean()
        (slope,) = torch.autograd.grad(loss, entry.weight)
        slope[:, :old] = 0
        slope[:, wide.channels :] = 0
        entry.weight.grad = slope
        optimiser.step()
    entry.weight.grad = None
