"""More channels for a lapped codec: the first compute what they did, the others what was missed.

What no channel of a linear encoder sees, finer steps do not bring back. The further channels begin
as the directions of most energy of what the narrower codec leaves out; being last, they are the
first that are left off.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from tactic_codec.bundle import Bundle
from tactic_train.from_bundle import load_bundle
from tactic_train.networks import Codec
from tactic_train.networks.lapped import LappedCodec
from tactic_train.warm_start import as_filters, principal


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


@torch.no_grad()
def widen(narrow: LappedCodec, wide: LappedCodec, pictures: Tensor) -> None:
    """Set the weights of a codec from one of the same levels and decoder with fewer channels.

    Parameters
    ----------
    narrow, wide : LappedCodec
        ``wide`` is changed in place.
    pictures : float32 (N, 3, H, W) in [0, 1]
    """
    old, new = narrow.channels, wide.channels
    finest = torch.zeros(len(pictures), old, dtype=torch.int64)
    missed = pictures - narrow.decode(narrow.encode(pictures, finest).round(), finest)
    basis = as_filters(principal(missed, wide.stride, new - old), wide.stride)
    theirs, ours = _encoder(narrow), _encoder(wide)
    first, side = int(ours.padding[0]), wide.stride
    ours.weight.zero_()
    ours.weight[:old] = theirs.weight
    ours.weight[old:, :, first : first + side, first : first + side] = basis
    assert ours.bias is not None and theirs.bias is not None
    ours.bias.zero_()
    ours.bias[:old] = theirs.bias
    # Steps in units of an orthonormal coefficient; the last channels' fit those that follow.
    steps = narrow.log_step - theirs.weight.flatten(1).norm(dim=1).log()
    wide.log_step[:, :old] = narrow.log_step
    wide.log_step[:, old:] = steps[:, old // 2 :].median(dim=1, keepdim=True).values
    _widen_decoder(narrow, wide)


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
