"""A codec with more channels begins where the narrower one stands, and sees what that missed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tactic_codec.bundle import Bundle
from tactic_train import losses
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


@pytest.fixture(scope="module")
def wide(pictures: Tensor) -> LappedCodec:
    codec = LappedCodec(MORE, 5)
    load_wider(SHIPPED, codec, pictures)
    return codec


def test_it_sends_what_the_narrow_one_sends_and_draws_better(
    pictures: Tensor, wide: LappedCodec
) -> None:
    narrow = LappedCodec(64, 5)
    load_bundle(SHIPPED, narrow)
    (few, former), (many, now) = drawn(narrow, pictures), drawn(wide, pictures)
    torch.testing.assert_close(many[:, :64], few)
    assert (
        losses.distortion(pictures, now).mean() < 0.98 * losses.distortion(pictures, former).mean()
    )


def test_without_the_further_channels_it_draws_as_before(
    pictures: Tensor, wide: LappedCodec
) -> None:
    narrow = LappedCodec(64, 5)
    load_bundle(SHIPPED, narrow)
    few, former = drawn(narrow, pictures)
    nothing = torch.zeros(len(few), MORE - 64, *few.shape[2:])
    finest = torch.zeros(len(few), MORE, dtype=torch.int64)
    with torch.no_grad():
        now = wide.decode(torch.cat([few, nothing], dim=1), finest)
    torch.testing.assert_close(now, former, atol=1e-5, rtol=0)


def test_the_further_channels_send_nothing_twice(pictures: Tensor, wide: LappedCodec) -> None:
    """Of the frames they were fitted to, no former channel of the same block tells them."""
    with torch.no_grad():
        sent = wide.encoder(pictures - wide.zero / 255).flatten(2).movedim(1, -1).flatten(0, 1)
    former, further = sent[:, :64].double(), sent[:, 64:].double()
    former = torch.cat([former, torch.ones_like(former[:, :1])], dim=1)
    told = former @ torch.linalg.lstsq(former, further).solution
    assert further.var(dim=0).min() > 0
    assert told.var(dim=0).sum() < 0.05 * further.var(dim=0).sum()


def test_other_networks_are_refused(pictures: Tensor) -> None:
    with pytest.raises(CheckpointError, match="arch lapped, where the configuration has block"):
        load_wider(SHIPPED, BlockCodec(64, 5), pictures)
    with pytest.raises(CheckpointError, match="channels 64, where the configuration has 48"):
        load_wider(SHIPPED, LappedCodec(48, 5), pictures)
