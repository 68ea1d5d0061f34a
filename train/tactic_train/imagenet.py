"""The 1000 classes of ImageNet: names, and the folders that mean them."""

from __future__ import annotations

import functools

from tactic_train.vision import import_torchvision

#: WordNet id → class index, for the twenty classes of the experiments
WORDNET = {
    "n01440764": 0, "n02086240": 155, "n02087394": 159, "n02088364": 162, "n02089973": 167,
    "n02093754": 182, "n02096294": 193, "n02099601": 207, "n02102040": 217, "n02105641": 229,
    "n02111889": 258, "n02115641": 273, "n02979186": 482, "n03000684": 491, "n03028079": 497,
    "n03394916": 566, "n03417042": 569, "n03425413": 571, "n03445777": 574, "n03888257": 701,
}  # fmt: skip


@functools.cache
def labels() -> tuple[str, ...]:
    """Give the 1000 class names in the order of the published networks."""
    import_torchvision()
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    return tuple(_IMAGENET_CATEGORIES)


def class_index(folder: str) -> int | None:
    """Find the class a folder is named after, by WordNet id or English name; None without."""
    if folder in WORDNET:
        return WORDNET[folder]
    name = folder.replace("_", " ")
    return labels().index(name) if name in labels() else None


def is_unseen(name: str) -> bool:
    """Whether an image is of ImageNet's validation set: no published network was trained on it."""
    return "ILSVRC2012_val_" in name
