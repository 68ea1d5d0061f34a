"""A codec with more channels begins where the narrower one stands, and sees what that missed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tactic_codec.bundle import Bundle
from tactic_train.errors import CheckpointError
from tactic_train.from_bundle import load_bundle
from tactic_train.networks import BlockCodec, LappedCodec
from tactic_train.widen import load_wider

SHIPPED = Path(__file__).parents[2] / "bundles/photo1000"
MORE = 80


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    frames, _ = Bundle.open(SHIPPED).probe()
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255


def drawn(codec: LappedCodec, pictures: Tensor) -> tuple[Tensor, Tensor]:
    finest = torch.zeros(len(pictures), codec.channels, dtype=torch.int64)
    with torch.no_grad():
        symbols = codec.encode(pictures, finest).round()
        return symbols, codec.decode(symbols, finest)


def test_it_draws_what_the_narrow_one_draws(pictures: Tensor) -> None:
    narrow, wide = LappedCodec(64, 5), LappedCodec(MORE, 5)
    load_bundle(SHIPPED, narrow)
    load_wider(SHIPPED, wide, pictures)
    (few, former), (many, now) = drawn(narrow, pictures), drawn(wide, pictures)
    torch.testing.assert_close(many[:, :64], few)
    torch.testing.assert_close(now, former, atol=1e-5, rtol=0)


def test_the_further_channels_see_what_was_missed(pictures: Tensor) -> None:
    """Most of what they see is missing in the narrow one's pictures: it is not coded twice."""
    wide = LappedCodec(MORE, 5)
    load_wider(SHIPPED, wide, pictures)
    symbols, former = drawn(wide, pictures)
    assert (symbols[:, 64:] != 0).float().mean() > 0.05
    of_missed, _ = drawn(wide, (pictures - former).clamp(-1, 1) + wide.zero / 255)
    kept = of_missed[:, 64:].square().mean() / symbols[:, 64:].square().mean()
    assert kept > 0.5


def test_other_networks_are_refused(pictures: Tensor) -> None:
    with pytest.raises(CheckpointError, match="arch lapped, where the configuration has block"):
        load_wider(SHIPPED, BlockCodec(64, 5), pictures)
    with pytest.raises(CheckpointError, match="channels 64, where the configuration has 48"):
        load_wider(SHIPPED, LappedCodec(48, 5), pictures)
