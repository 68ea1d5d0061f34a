"""``decoder.onnx`` and ``head.onnx`` against the networks they were written from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from tactic_export import onnx_gateway
from tactic_export.runtimes import run_onnx
from tactic_train.networks import Codec, LappedCodec, PaperCodec
from tactic_train.step import System

LARGE = 256
LEVELS = 3


@pytest.fixture(params=["lapped", "paper"], scope="module")
def codec(request: pytest.FixtureRequest) -> Codec:
    torch.manual_seed(3)
    if request.param == "lapped":
        return LappedCodec(8, LEVELS, decoder_widths=(24, 16, 16)).eval()
    paper = PaperCodec(8, width=12).eval()
    # Latents of a few whole steps, as integers have them.
    torch.nn.init.zeros_(paper.log_step)
    return paper


@pytest.fixture(scope="module")
def decoder(codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("decoder") / "decoder.onnx"
    onnx_gateway.write_decoder(codec, path)
    return path


@torch.no_grad()
@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 7, 5), (2, 1, 20)])
def test_the_decoder_draws_what_torch_draws(
    codec: Codec, decoder: Path, shape: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(1)
    count, height, width = shape
    latent = rng.integers(-20, 21, (count, 8, height, width), np.int8)
    # One past the coarsest is a channel that is not there.
    level = rng.integers(0, codec.levels + 1, (count, 8))
    found = run_onnx(decoder, latent, level)
    drawn = codec.decode(torch.from_numpy(latent).float(), torch.from_numpy(level))
    expected = (drawn * 255).round().clamp(0, 255).permute(0, 2, 3, 1).numpy()
    assert found.dtype == np.uint8
    assert found.shape == (count, height * codec.stride, width * codec.stride, 3)
    assert expected.std() > 20, "flat pictures would hide errors"
    # Weights kept in 16 bits move a value over the edge of a level now and then.
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert np.mean(found != expected) < 0.05


def test_large_weights_are_kept_in_16_bits(decoder: Path) -> None:
    model = onnx.load(decoder)
    large = [t for t in model.graph.initializer if np.prod(t.dims) >= LARGE]
    assert large
    assert {t.data_type for t in large} == {TensorProto.FLOAT16}
    casts = {n.input[0] for n in model.graph.node if n.op_type == "Cast"}
    assert {t.name for t in large} <= casts, "arithmetic has to stay in 32 bits"
    for tensor in large:
        assert np.isfinite(numpy_helper.to_array(tensor)).all()


@torch.no_grad()
def test_the_head_answers_as_in_torch_at_any_size(block: System, tmp_path: Path) -> None:
    onnx_gateway.write_head(block.head, tmp_path / "head.onnx")
    rng = np.random.default_rng(2)
    for count, height, width in ((1, 32, 32), (3, 40, 56), (2, 16, 24), (1, 100, 36)):
        coarse = rng.integers(0, 256, (count, height // 4, width // 4, 3), np.uint8)
        pictures = coarse.repeat(4, axis=1).repeat(4, axis=2)
        found = run_onnx(tmp_path / "head.onnx", pictures)
        scores = found.astype(np.float64)
        logits = block.head(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255)
        assert found.dtype == np.float32
        np.testing.assert_allclose(scores, logits.softmax(dim=1).numpy(), atol=2e-3)
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
