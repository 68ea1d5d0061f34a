"""Cells without a codec: the clean head that everything starts from, and that head tuned on."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch

from tactic.reproduce.cell import Cell, Figures, Json, Place
from tactic.reproduce.errors import ReproduceError
from tactic.reproduce.gallery import Gallery, Photos
from tactic.reproduce.judging import HEAD, tune_and_judge, tuned_images
from tactic.reproduce.preset import ANSWERED, TUNED, HeadChoice
from tactic_train import imagenet
from tactic_train.checkpoint import replace_file
from tactic_train.heads import Head, make_head, measure_statistics
from tactic_train.heads.weights import Weights
from tactic_train.tune import Tuning

#: γ of eq. 10 → name
LOSSES = {1.0: "wce", 0.0: "dice", 0.5: "both"}
_OTHERS = "published.pt"
_MEASURED = 32


class CleanHead(Cell):
    """A published network, cut to the classes of the photos, tuned on uncompressed ones."""

    files: ClassVar[tuple[str, ...]] = (HEAD,)
    photos: Photos
    head: HeadChoice
    clean: Tuning
    gamma: float | None = None
    """Of a head that segments: share of the weighted cross-entropy in its loss, eq. 10."""

    @property
    def name(self) -> str:
        """``none-s1``, ``none-dice-s1``."""
        return f"none{self.loss}-s{self.seed}"

    @property
    def loss(self) -> str:
        """The loss as it stands in names; nothing for a head that classifies."""
        return "" if self.gamma is None else f"-{LOSSES[self.gamma]}"

    def images(self) -> dict[str, int]:
        """Tuned on, and answered."""
        tuned = self.clean.steps * self.clean.batch
        return {TUNED: tuned, ANSWERED: self.photos.judged_by}

    def run(self, place: Place) -> Figures:
        """Tune and judge."""
        gallery = place.gallery(self.photos)
        torch.manual_seed(self.seed)
        head = fresh_head(self.head, gallery.classes, place.folder(self))
        if head.fresh:
            some = torch.from_numpy(gallery.train[:_MEASURED]).permute(0, 3, 1, 2).float() / 255
            measure_statistics(head, head.to_input(some, self.clean.head_px))
        seen = gallery.train, gallery.test
        judged = tune_and_judge(place, self, head, self.clean, seen, gallery, self.gamma)
        return uncompressed(gallery, judged)

    def load(self, place: Place) -> Head:
        """The tuned head."""
        return make_head(self.head.name, self.photos.classes, self.weights(place))

    def weights(self, place: Place) -> Path:
        """File of the tuned head."""
        return place.folder(self) / HEAD


class Uncompressed(Cell):
    """The clean head tuned further on uncompressed photos, as long as for a codec."""

    clean: CleanHead
    tune: Tuning

    @property
    def name(self) -> str:
        """``none-tuned-s1``."""
        return f"none-tuned{self.clean.loss}-s{self.seed}"

    def images(self) -> dict[str, int]:
        """Tuned on, and answered."""
        tuned = self.tune.steps * self.tune.batch
        return {TUNED: tuned, ANSWERED: self.clean.photos.judged_by}

    def run(self, place: Place) -> Figures:
        """Tune and judge."""
        gallery = place.gallery(self.clean.photos)
        seen = gallery.train[: tuned_images(self.tune, self.clean.photos)], gallery.test
        head = self.clean.load(place)
        gamma = self.clean.gamma
        judged = tune_and_judge(place, self, head, self.tune, seen, gallery, gamma)
        return uncompressed(gallery, judged)


def uncompressed(gallery: Gallery, judged: Json) -> Figures:
    """Figures of the photos as they are stored."""
    return Figures(
        **judged,
        bytes=gallery.stored_bytes,
        bits_per_pixel=gallery.stored_bits_per_pixel,
    )


def fresh_head(choice: HeadChoice, classes: Sequence[str], folder: Path) -> Head:
    """A network with published weights; its last layer is new, or the published rows of classes.

    Parameters
    ----------
    choice : HeadChoice
    classes : sequence of str
        WordNet ids or English names.
    folder : Path
        For the weights with the other last layer.

    Raises
    ------
    HeadError
    ReproduceError
        Published rows are asked of a class that is not ImageNet's.
    """
    head = make_head(choice.name, len(classes))
    path = weights_file(choice)
    if path is None and not choice.published_rows:
        return head
    published = _net(make_head(choice.name)) if path is None else _read(path)
    rows = _rows(classes) if choice.published_rows else None
    merged = {}
    for name, own in _net(head).items():
        value = published.get(name)
        if value is not None and rows is not None and len(value) == len(imagenet.labels()):
            value = value[rows]
        merged[name] = value if value is not None and value.shape == own.shape else own
    buffer = io.BytesIO()
    torch.save(merged, buffer)
    replace_file(folder / _OTHERS, buffer.getvalue())
    return make_head(choice.name, len(classes), folder / _OTHERS)


def _net(head: Head) -> Weights:
    return {k.removeprefix("net."): v for k, v in head.state_dict().items() if k.startswith("net.")}


def _rows(classes: Sequence[str]) -> torch.Tensor:
    """Indices of classes among ImageNet's."""
    found = [imagenet.class_index(name) for name in classes]
    for name, index in zip(classes, found, strict=True):
        if index is None:
            raise ReproduceError(
                f"class {name}: no published row is known for it; "
                "take the photos that docs/reproduce.md names"
            )
    return torch.tensor(found)


def weights_file(choice: HeadChoice) -> Path | None:
    """Find the published weights; None where the network comes with its own.

    Raises
    ------
    ReproduceError
        The variable is not set, or names no file.
    """
    if choice.weights is None:
        return None
    path = os.path.expandvars(choice.weights)
    if "$" in path:
        name = path.partition("$")[2]
        raise ReproduceError(f"{name} is not set: export {name}=FILE, the weights of {choice.name}")
    if not Path(path).is_file():
        raise ReproduceError(f"{path}: no such file; export the path of the published weights")
    return Path(path)


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as fault:  # a file of anything makes the unpickler raise anything
        raise ReproduceError(f"{path}: not a state dictionary; name the published file") from fault
