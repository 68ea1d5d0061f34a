"""A head of one's own becomes a file that runs without the module it came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tactic_export import onnx_gateway
from tactic_export.errors import ExportError
from tactic_export.runtimes import run_onnx
from tactic_train.heads import OwnHead


class Picky(nn.Module):
    """Looks at values to decide what to do, which no graph can."""

    def forward(self, picture: Tensor) -> Tensor:
        scores: Tensor = picture.mean(dim=(2, 3))
        return scores if scores.sum() > 0 else -scores


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 5, stride=4),
        nn.BatchNorm2d(16),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(16, 4),
    )


class Large(nn.Module):
    """Has weights that half precision does not."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(3, 128), nn.Linear(128, 4)
        with torch.no_grad():
            self.first.weight.mul_(1e6)

    def forward(self, picture: Tensor) -> Tensor:
        scores: Tensor = self.last(self.first(picture.mean(dim=(2, 3))) / 1e6)
        return scores


@torch.no_grad()
def test_weights_beyond_half_precision_stay_whole(tmp_path: Path) -> None:
    head = OwnHead(Large()).eval()
    onnx_gateway.write_head(head, tmp_path / "head.onnx")
    pictures = np.random.default_rng(0).integers(0, 256, (4, 224, 224, 3), np.uint8)
    found = run_onnx(tmp_path / "head.onnx", pictures)
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    np.testing.assert_allclose(found, head(x).softmax(dim=1).numpy(), atol=2e-3)


@torch.no_grad()
@pytest.mark.parametrize("shape", [(1, 96, 96), (3, 50, 70)])
def test_the_file_answers_as_the_network(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    head = OwnHead(network()).eval()
    head.input_px = 96
    onnx_gateway.write_head(head, tmp_path / "head.onnx")
    pictures = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    found = run_onnx(tmp_path / "head.onnx", pictures)
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    expected = head(x).softmax(dim=1).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-2 if shape[1] != 96 else 2e-3)


def test_what_onnx_cannot_express_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot be written as ONNX") as caught:
        onnx_gateway.write_head(OwnHead(Picky()).eval(), tmp_path / "head.onnx")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "head.onnx").exists()
