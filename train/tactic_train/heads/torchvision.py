"""Networks of torchvision by name, random where no weights are given."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tactic_train import imagenet
from tactic_train.errors import HeadError
from tactic_train.heads.base import Head, Task, numbered
from tactic_train.heads.weights import Weights, fill
from tactic_train.vision import import_torchvision

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
_INCEPTION = frozenset({"inception_v3", "googlenet"})


class _Torchvision(Head):
    """A network that sees colours as torchvision's networks were trained on them."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, name: str, classes: int, weights: Weights | None) -> None:
        super().__init__()
        self.net = net
        self.fresh = weights is None
        if weights is not None:
            fill(net, weights, f"torchvision:{name}")
        self.labels = numbered(classes)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(STD)[:, None, None])

    def _normalised(self, picture: Tensor) -> Tensor:
        return (picture - self.mean) / self.std


class Torchvision(_Torchvision):
    """A classification network of torchvision."""

    def __init__(self, name: str, classes: int, weights: Weights | None = None) -> None:
        from torchvision import models

        # Their published weights want the colours between -1 and 1; this changes them back.
        extra = {"init_weights": False, "transform_input": True} if name in _INCEPTION else {}
        net = models.get_model(name, weights=None, num_classes=classes, **extra)
        super().__init__(net, name, classes, weights)
        self.input_px = 299 if name == "inception_v3" else 224
        if classes == len(imagenet.labels()):
            self.labels = imagenet.labels()

    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        """No inner maps; logits (N, classes)."""
        scores: Tensor = self.net(self._normalised(picture))
        return [], scores


class TorchvisionSegmenter(_Torchvision):
    """A segmentation network of torchvision; ``fcn_resnet101`` is the paper's.

    What published weights hold for the auxiliary output of training is left out.
    """

    task: Task = "segmentation"

    def __init__(self, name: str, classes: int, weights: Weights | None = None) -> None:
        from torchvision import models

        net = models.get_model(
            name, weights=None, weights_backbone=None, num_classes=classes, aux_loss=False
        )
        if weights is not None:
            weights = {k: v for k, v in weights.items() if not k.startswith("aux_classifier.")}
        super().__init__(net, name, classes, weights)

    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        """No inner maps; logits (N, classes, H, W)."""
        scores: Tensor = self.net(self._normalised(picture))["out"]
        return [], scores


def make_torchvision(name: str, classes: int, weights: Weights | None = None) -> Head:
    """Make a classification or segmentation network by its name.

    Raises
    ------
    HeadError
        There is none of that name, or the weights are not its own.
    """
    import_torchvision()
    from torchvision import models

    if name in models.list_models(module=models):
        return Torchvision(name, classes, weights)
    if name in models.list_models(module=models.segmentation):
        return TorchvisionSegmenter(name, classes, weights)
    raise HeadError(
        f"torchvision has no classification or segmentation network named {name!r}: "
        "try torchvision:resnet18 or torchvision:fcn_resnet101"
    )
