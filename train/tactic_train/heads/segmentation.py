"""LR-ASPP on EfficientNet-Lite0: a class for every pixel, light enough for two cores."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from tactic_train.heads.base import Head, Task, enlarge, numbered
from tactic_train.heads.efficientnet import TAP_CHANNELS, TAPS, network, run_blocks
from tactic_train.heads.weights import Weights, fill

NAME = "lraspp_efficientnet_lite0"
_WIDTH = 128


class LrAspp(Head):
    """Lite reduced atrous spatial pyramid pooling.

    Howard et al., "Searching for MobileNetV3" (2019), section 6.4. The backbone has published
    weights and ends at stride 16; what stands on it is new and has no batch normalisation.

    Parameters
    ----------
    classes : int
    weights : dict, optional
        A state dictionary of ``net``.
    """

    task: Task = "segmentation"

    def __init__(self, classes: int, weights: Weights | None = None) -> None:
        super().__init__()
        self.net = _Net(classes)
        self.fresh = weights is None
        if weights is not None:
            fill(self.net, weights, NAME)
        self.labels = numbered(classes)

    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        """Give maps at strides 8, 16, 16 and logits (N, classes, H, W)."""
        taps, scores = self.net(picture)
        return taps, enlarge(scores, picture.shape[-2:])


class _Net(nn.Module):
    """Backbone and two classifiers: of fine maps, and of coarse maps that know the scene."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        fine, _, coarse = TAP_CHANNELS
        self.backbone = network()
        self.backbone._blocks = self.backbone._blocks[: TAPS[-1] + 1]  # type: ignore[index]
        del self.backbone._conv_head, self.backbone._fc
        self.project = nn.Conv2d(coarse, _WIDTH, 1)
        self.gate = nn.Conv2d(coarse, _WIDTH, 1)
        self.fine = nn.Conv2d(fine, classes, 1)
        self.coarse = nn.Conv2d(_WIDTH, classes, 1)

    def forward(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        """Maps of the backbone, and scores (N, classes, H / 8, W / 8)."""
        taps, last = run_blocks(self.backbone, picture)
        gate = self.gate(last.mean(dim=(2, 3), keepdim=True)).sigmoid()
        scene = enlarge(F.relu(self.project(last)) * gate, taps[0].shape[-2:])
        scores: Tensor = self.coarse(scene) + self.fine(taps[0])
        return taps, scores
