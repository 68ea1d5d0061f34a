"""The tasks: heads of a bundle, behind one interface."""

from __future__ import annotations

from tactic_codec.bundle import Bundle
from tactic_codec.manifest import Head
from tactic_gateway.task.base import Answer, Task
from tactic_gateway.task.classifier import Classification, Classifier, ClassScore
from tactic_gateway.task.segmenter import ClassShare, Segmentation, Segmenter

__all__ = [
    "Answer",
    "ClassScore",
    "ClassShare",
    "Classification",
    "Classifier",
    "Segmentation",
    "Segmenter",
    "Task",
    "open_task",
]


def open_task(bundle: Bundle, head: Head, threads: int, top: int) -> Task:
    """Load a head of a bundle, whatever its task is.

    Parameters
    ----------
    bundle : Bundle
    head : Head
        One of ``bundle.manifest.heads``.
    threads : int
        Threads that one call may use.
    top : int
        Number of classes in an answer of classification.

    Raises
    ------
    BundleError
        The network cannot be loaded, or there are no labels.
    """
    if head.task == "segmentation":
        return Segmenter(bundle, head, threads)
    return Classifier(bundle, head, threads, top)
