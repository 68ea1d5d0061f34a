"""One step of training: from a batch of pictures to the TACTIC loss and its three terms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tactic_train import losses
from tactic_train.config import Stage
from tactic_train.density import LogisticMixture
from tactic_train.heads import Head, resize
from tactic_train.networks import Codec


class System(nn.Module):
    """Codec, density and head together: what is trained, saved and resumed as one."""

    def __init__(self, codec: Codec, density: LogisticMixture, head: Head) -> None:
        super().__init__()
        self.codec = codec
        self.density = density
        self.head = head

    def forward(
        self, picture: Tensor, labels: Tensor, stage: Stage, head_px: int, seed: int
    ) -> Losses:
        """The loss of one batch.

        Parameters
        ----------
        picture : float32 (N, 3, H, W) in [0, 1]
        labels : int64 (N,), −1 where an image has none
        stage : Stage
        head_px : int
            Side at which the head sees picture and reconstruction.
        seed : int
            Of the quantisation noise.
        """
        generator = torch.Generator(picture.device).manual_seed(seed)
        latent = self.codec.encode(picture)
        noisy = losses.add_noise(latent, generator)
        hard = stage.rounding == "straight-through"
        reconstruction = self.codec.decode(
            losses.quantise_straight_through(latent) if hard else noisy
        )
        l_d = losses.distortion(picture, reconstruction)
        l_r = losses.rate(self.density.bits(noisy), picture.shape[-1] * picture.shape[-2])
        l_t = self._task(picture, reconstruction, labels, stage, head_px)
        whole = losses.total(stage.distortion * l_d, l_t, l_r, stage.alpha, stage.beta)
        return Losses(whole, l_d, l_t, l_r)

    def _task(
        self, picture: Tensor, reconstruction: Tensor, labels: Tensor, stage: Stage, head_px: int
    ) -> Tensor:
        if stage.alpha == 0:
            return picture.new_zeros(())
        maps, scores = self.head.features(resize(reconstruction.clamp(0, 1), head_px))
        terms = []
        if stage.task != "labels":
            with torch.no_grad():
                teacher_maps, teacher = self.head.features(resize(picture, head_px))
            terms.append(losses.task_from_teacher(scores, teacher))
            if stage.features and maps:
                terms.append(stage.features * losses.task_from_features(maps, teacher_maps))
        known = labels >= 0
        if stage.task != "teacher" and bool(known.any()):
            terms.append(losses.task_from_labels(scores[known], labels[known]))
        return torch.stack(terms).sum() if terms else picture.new_zeros(())


@dataclass(frozen=True, slots=True)
class Losses:
    """The total of eq. 9 and its unweighted terms, each a scalar tensor."""

    total: Tensor
    distortion: Tensor
    task: Tensor
    rate: Tensor
