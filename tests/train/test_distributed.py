"""Two processes train what one trains."""

from __future__ import annotations

import functools
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tactic_train import checkpoint
from tactic_train.config import TrainConfig
from tactic_train.errors import TrainError
from tactic_train.loop import build, train

Toy = Callable[..., TrainConfig]

# Needs no torchvision, which takes seconds to import.
LIGHT = {"name": "efficientnet_lite0", "classes": 2}
SCRIPT = """
import sys
from pathlib import Path
import torch
from tactic_train.run import train_from_file

torch.optim.Adam = lambda parameters: torch.optim.SGD(parameters, lr=1e-3)
train_from_file(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def run_two(folder: Path, environment: dict[str, str]) -> None:
    (folder / "script.py").write_text(SCRIPT)
    arguments = [str(folder / name) for name in ("script.py", "train.toml", "two")]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    processes = [
        subprocess.Popen(
            [sys.executable, *arguments],
            env={
                **environment,
                **address,
                "ACCELERATE_USE_CPU": "true",
                "WORLD_SIZE": "2",
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    faults = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], faults


def flat(state: dict[str, Tensor]) -> Tensor:
    return torch.cat([value.detach().flatten().double() for value in state.values()])


def test_two_processes_are_one(
    toy: Toy,
    tmp_path: Path,
    as_toml: Callable[[TrainConfig], str],
    child_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Adam turns rounding errors of small gradients into whole steps; plain descent compares them.
    monkeypatch.setattr(torch.optim, "Adam", functools.partial(torch.optim.SGD, lr=1e-3))
    # Steps of gradients as small as those of the quantisation steps have to be long to be seen.
    changes = {"tail_drop": 0.5, "learning_rate": 0.1}
    stages = [stage.model_copy(update=changes) for stage in toy().stage]
    model = {"arch": "lapped", "channels": 8, "levels": 3}
    config = toy(head=LIGHT, model=model, stage=stages)
    system, _ = train(config, tmp_path / "one")
    (tmp_path / "train.toml").write_text(as_toml(config))
    run_two(tmp_path, child_environment)
    two = checkpoint.read(tmp_path / "two" / checkpoint.NAME)
    untrained = build(config)
    for part in ("codec", "density", "head"):
        ours = dict(getattr(system, part).named_parameters())
        before = dict(getattr(untrained, part).named_parameters())
        moved = (flat(ours) - flat(before)).norm()
        away = (flat(ours) - flat({name: two[part][name] for name in ours})).norm()
        assert away < 1e-3 * moved, part
    assert not torch.equal(system.codec.steps(), untrained.codec.steps())
    levels = json.loads((tmp_path / "two/metrics.json").read_text())["levels"]
    assert [level["labelled"] for level in levels] == [4, 4, 4]


def test_a_batch_that_cannot_be_shared_is_refused(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelerate import Accelerator

    monkeypatch.setattr(Accelerator, "num_processes", property(lambda _: 3))
    with pytest.raises(TrainError, match="a batch of 4 cannot be shared by 3 processes"):
        train(toy(), tmp_path)
