"""Import torchvision, also beside a CPU-only torch."""

from __future__ import annotations

import torch

_LIBRARIES: list[torch.library.Library] = []


def import_torchvision() -> None:
    """Make ``import torchvision`` work where two of its operators are unknown to torch.

    Its detection operators stay unusable there; classification networks need none of them.
    """
    if torch.version.cuda is None and not _LIBRARIES:
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for name in ("nms", "qnms"):
            signature = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            library.define(signature)  # type: ignore[no-untyped-call]
        _LIBRARIES.append(library)
    import torchvision  # noqa: F401 - the import itself is what may fail
