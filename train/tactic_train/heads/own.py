"""Heads of one's own: ``module:factory``, a function that makes a network for so many classes.

The module is imported from the working folder or the environment. The factory is given the number
of classes and returns a `Head`, or any network from float32 (N, 3, H, W) in [0, 1] to logits
(N, classes). Two attributes of such a network are looked at, where it has them: ``fresh`` (False:
its weights know their classes) and ``input_px`` (side of the pictures it is meant for).
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from tactic_train.errors import HeadError
from tactic_train.heads.base import Head, numbered
from tactic_train.heads.weights import Weights, fill

#: training shows pictures of other sizes than a network was meant for
_ANOTHER_PX = 128


class OwnHead(Head):
    """A network of any kind behind the interface of a head."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.fresh = bool(getattr(net, "fresh", True))
        self.input_px = int(getattr(net, "input_px", self.input_px))

    def features(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        """No inner maps; logits (N, classes)."""
        scores: Tensor = self.net(picture)
        return [], scores


def own_head(name: str, classes: int, weights: Weights | None = None) -> Head:
    """Make the head that ``module:factory`` names, in evaluation mode.

    Parameters
    ----------
    name : str
    classes : int
    weights : dict, optional
        A state dictionary of what the factory returns (of a head's ``net``, where it has one).

    Raises
    ------
    HeadError
        One line: the module or its function is missing, one of them fails, or what it makes is
        not a network for so many classes.
    """
    module_name, _, function = name.partition(":")
    with _working_folder():
        module = _import(name, module_name)
        net = _call(name, _function(name, module, function), classes)
        head = (net if isinstance(net, Head) else OwnHead(net)).eval()
        _try(name, head, classes)
    if weights is not None:
        fill(getattr(head, "net", head), weights, name)
        head.fresh = False
    if len(head.labels) != classes:
        head.labels = numbered(classes)
    return head


@contextlib.contextmanager
def _working_folder() -> Iterator[None]:
    """The working folder first among the places that modules are imported from."""
    before = sys.path[:]
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path[:] = before


def _import(name: str, module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as fault:
        if fault.name is None or not f"{module}.".startswith(f"{fault.name}."):
            raise HeadError(_failed(name, f"import {module}", fault)) from fault
        raise HeadError(
            f"head {name}: there is no module {module} in {Path.cwd()} or the environment; "
            "run tactic in its folder, or write efficientnet_lite0 or torchvision:NAME"
        ) from fault
    except Exception as fault:  # a module may raise anything
        raise HeadError(_failed(name, f"import {module}", fault)) from fault


def _function(name: str, module: ModuleType, function: str) -> Callable[[int], Any]:
    found = getattr(module, function, None)
    if not callable(found):
        raise HeadError(
            f"head {name}: {module.__file__ or module.__name__} has no function {function!r}; "
            f"define {function or 'factory'}(classes), which returns a network"
        )
    return found  # type: ignore[no-any-return]


def _call(name: str, function: Callable[[int], Any], classes: int) -> nn.Module:
    try:
        net = function(classes)
    except Exception as fault:  # a factory may raise anything
        raise HeadError(_failed(name, f"the call with {classes} classes", fault)) from fault
    if not isinstance(net, nn.Module):
        raise HeadError(
            f"head {name}: it returned {type(net).__name__}; return a torch.nn.Module or a "
            "tactic_train.heads.Head"
        )
    return net


@torch.no_grad()
def _try(name: str, head: Head, classes: int) -> None:
    for side_px in (head.input_px, _ANOTHER_PX):
        what = f"two pictures of {side_px}x{side_px}"
        try:
            scores = head.features(torch.zeros(2, 3, side_px, side_px))[1]
        except Exception as fault:  # a network may raise anything
            raise HeadError(
                f"{_failed(name, what, fault)}; it has to take float32 (N, 3, H, W) of any size, "
                "with an adaptive pooling before its last layer, for example"
            ) from fault
        shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        pixels = (side_px, side_px) if head.task == "segmentation" else ()
        if shape != (2, classes, *pixels):
            raise HeadError(
                f"head {name}: {what} give {shape}, not {(2, classes, *pixels)}; "
                f"its last layer needs an output for each of {classes} classes"
            )


def _failed(name: str, what: str, fault: Exception) -> str:
    """Say what went wrong, and where."""
    place = traceback.extract_tb(fault.__traceback__)[-1]
    reason = " ".join(str(fault).split())[:160]
    # A syntax error names its place itself; the last frame would be Python's own.
    known = isinstance(fault, SyntaxError)
    where = "" if known else f" at {Path(place.filename).name}:{place.lineno}"
    return f"head {name}: {what} failed{where} with {type(fault).__name__}: {reason}"
