"""Heads of one's own: found, wrapped, tried; every mistake in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tactic_train.errors import HeadError
from tactic_train.heads import OwnHead, make_head, measure_statistics

MODULE = """
import torch
from torch import nn
from tactic_train.heads import Head

def small(classes):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=4), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes),
    )

def trained(classes):
    net = small(classes)
    net.fresh = False
    net.input_px = 96
    return net

class Whole(Head):
    input_px = 64
    labels = ("cat", "dog")
    def __init__(self, classes):
        super().__init__()
        self.last = nn.Linear(3, classes)
    def features(self, picture):
        return [picture], self.last(picture.mean(dim=(2, 3)))

def for_seven(classes):
    return small(7)

def maps(classes):
    return nn.Conv2d(3, classes, 1)

def one_size(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, classes))

def failing(classes):
    raise ValueError("no weights\\nin the drawer")

def nothing(classes):
    return None

number = 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with modules in it that no other test has imported."""
    (tmp_path / "own_heads.py").write_text(MODULE)
    (tmp_path / "needy.py").write_text("import not_installed_anywhere\n")
    (tmp_path / "torn.py").write_text("head = (\n")
    monkeypatch.chdir(tmp_path)
    for name in ("own_heads", "needy", "torn"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_a_network_is_wrapped() -> None:
    before = sys.path[:]
    head = make_head("own_heads:small", 3)
    assert isinstance(head, OwnHead) and not head.training
    assert (head.fresh, head.input_px, head.labels) == (True, 224, ("0", "1", "2"))
    picture = torch.rand(2, 3, 48, 40)
    with torch.no_grad():
        maps, scores = head.features(picture)
        assert torch.equal(scores, head.net(picture))
    assert maps == []
    assert sys.path == before


def test_a_network_may_say_that_it_is_trained_and_for_which_size() -> None:
    head = make_head("own_heads:trained", 3)
    assert (head.fresh, head.input_px) == (False, 96)


def test_a_head_stays_as_it_is() -> None:
    head = make_head("own_heads:Whole", 2)
    assert type(head).__name__ == "Whole"
    assert (head.fresh, head.input_px, head.labels) == (False, 64, ("cat", "dog"))
    assert make_head("own_heads:Whole", 3).labels == ("0", "1", "2")


def test_a_module_of_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = folder / "elsewhere" / "their_package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (folder / "own_heads.py").rename(package / "heads.py")
    monkeypatch.syspath_prepend(package.parent)
    assert isinstance(make_head("their_package.heads:small", 4), OwnHead)


def test_weights_from_a_file(folder: Path) -> None:
    first = make_head("own_heads:small", 3)
    assert isinstance(first, OwnHead)
    torch.save(first.net.state_dict(), folder / "own.pt")
    again = make_head("own_heads:small", 3, folder / "own.pt")
    assert not again.fresh
    picture = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(again.features(picture)[1], first.features(picture)[1])
    with pytest.raises(HeadError, match="do not fit"):
        make_head("own_heads:small", 4, folder / "own.pt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere:small", "there is no module nowhere in"),
        ("own_heads.deeper:small", "import own_heads.deeper failed|no module own_heads.deeper"),
        ("needy:small", r"import needy failed at needy\.py:1 with ModuleNotFoundError"),
        ("torn:small", r"import torn failed with SyntaxError: .*torn\.py, line 1"),
        ("own_heads:absent", r"own_heads\.py has no function 'absent'; define absent\(classes\)"),
        ("own_heads:number", "has no function 'number'"),
        ("own_heads:", r"define factory\(classes\)"),
        ("own_heads:failing", r"failed at own_heads\.py:\d+ with ValueError: no weights in the"),
        ("own_heads:nothing", "it returned NoneType; return a torch"),
        ("own_heads:for_seven", r"give \(2, 7\), not \(2, 3\)"),
        ("own_heads:maps", r"give \(2, 3, 224, 224\), not \(2, 3\)"),
        ("own_heads:one_size", "two pictures of 128x128 failed at .*adaptive pooling"),
    ],
)
def test_a_mistake_is_one_line_with_its_remedy(name: str, message: str) -> None:
    with pytest.raises(HeadError, match=message) as caught:
        make_head(name, 3)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"head {name}: ")


def test_statistics_of_an_earlier_training_are_kept() -> None:
    head = make_head("own_heads:small", 3)
    norm = next(m for m in head.modules() if isinstance(m, nn.BatchNorm2d))
    measure_statistics(head, torch.rand(8, 3, 32, 32))
    assert norm.running_mean is not None
    measured = norm.running_mean.clone()
    assert measured.abs().sum() > 0
    measure_statistics(head, torch.rand(8, 3, 32, 32) / 4)
    assert torch.equal(norm.running_mean, measured)
