"""One step of training: from a batch of pictures to the TACTIC loss and its three terms."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from tactic_train import losses
from tactic_train.batches import Draw
from tactic_train.config import Stage
from tactic_train.density import LogisticMixture
from tactic_train.fake_quant import encode_on_grid
from tactic_train.heads import Head
from tactic_train.networks import NEST, Codec


class Losses(NamedTuple):
    """The total of eq. 9 and its unweighted terms, each a mean over the images.

    A tuple, because that is what distributed training looks into for the graph.
    """

    total: Tensor
    distortion: Tensor
    task: Tensor
    rate: Tensor


class System(nn.Module):
    """Codec, density and head together: what is trained, saved and resumed as one.

    Parameters
    ----------
    codec : Codec
    density : LogisticMixture
    head : Head
    teacher : Head, optional
        What the head was before training; needed only where the head changes, since otherwise it
        teaches itself. Not part of a checkpoint.

    Attributes
    ----------
    class_weights : float32 (classes,)
        Of the classes of pixels, in the cross-entropy; 1 until they are measured.
    """

    class_weights: Tensor

    def __init__(
        self, codec: Codec, density: LogisticMixture, head: Head, teacher: Head | None = None
    ) -> None:
        super().__init__()
        self.codec = codec
        self.density = density
        self.head = head
        self.teacher = teacher
        self.register_buffer("class_weights", torch.ones(len(head.labels)), persistent=False)

    def forward(
        self, picture: Tensor, labels: Tensor, draw: Draw, stage: Stage, head_px: int
    ) -> Losses:
        """Compute the loss of one batch, the mean over its images.

        Parameters
        ----------
        picture : float32 (N, 3, H, W) in [0, 1]
        labels : int64 (N,) or (N, H, W), −1 where an image or a pixel has none
        draw : Draw
        stage : Stage
        head_px : int
            Side at which a head that classifies sees picture and reconstruction.
        """
        if stage.head == "alone":
            return self._alone(picture, labels, stage, head_px)
        encode = encode_on_grid if stage.encoder == "int8" else type(self.codec).encode
        latent = encode(self.codec, picture, draw.level)
        noisy = losses.add_noise(latent, draw.noise)
        hard = stage.rounding == "straight-through"
        symbols = losses.quantise_straight_through(latent) if hard else losses.clamp(noisy)
        reconstruction = self.codec.decode(symbols, draw.level)
        sent = (draw.level < self.codec.levels)[:, :, None, None]
        bits = self.density.bits(noisy, draw.level) * sent
        l_d = losses.distortion(picture, reconstruction)
        l_r = losses.rate(bits, picture.shape[-1] * picture.shape[-2])
        l_t = self._task(picture, reconstruction, labels, stage, head_px)
        step = NEST ** (draw.level[:, 0] / 2)
        whole = losses.total(stage.distortion * l_d, l_t, l_r, stage.alpha, stage.beta * step**2)
        # Coarse levels have larger gradients, about as their steps: no level shall lead.
        return Losses((whole / step).mean(), l_d.mean(), l_t.mean(), l_r.mean())

    def _alone(self, picture: Tensor, labels: Tensor, stage: Stage, head_px: int) -> Losses:
        scores = self.head(picture, head_px)
        l_t = self._from_labels(scores, labels, stage).mean()
        nothing = torch.zeros_like(l_t)
        return Losses(stage.alpha * l_t, nothing, l_t, nothing)

    def _task(
        self, picture: Tensor, reconstruction: Tensor, labels: Tensor, stage: Stage, head_px: int
    ) -> Tensor:
        l_t = picture.new_zeros(len(picture))
        if stage.alpha == 0:
            return l_t
        head = self.head
        maps, scores = head.features(head.to_input(reconstruction.clamp(0, 1), head_px))
        if stage.needs_labels:
            l_t = l_t + self._from_labels(scores, labels, stage)
        if stage.needs_teacher:
            with torch.no_grad():
                teacher_maps, taught = (self.teacher or head).features(
                    head.to_input(picture, head_px)
                )
            l_t = l_t + losses.task_from_teacher(scores, taught)
            if stage.features and maps:
                l_t = l_t + stage.features * losses.task_from_features(maps, teacher_maps)
        return l_t

    def _from_labels(self, scores: Tensor, labels: Tensor, stage: Stage) -> Tensor:
        if self.head.task == "segmentation":
            return losses.task_from_masks(scores, labels, self.class_weights, stage.gamma)
        return losses.task_from_labels(scores, labels)
