"""Training resumes to the bit, and touches nothing that a stage freezes."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tactic_train import checkpoint, loop
from tactic_train.batches import some_crops
from tactic_train.config import TrainConfig
from tactic_train.errors import CheckpointError, DataError, HeadError, TrainError
from tactic_train.from_bundle import load_bundle
from tactic_train.loop import RATES_LEARNING_RATE, build, train
from tactic_train.networks import ARCHITECTURES
from tactic_train.rounding import rounded
from tactic_train.steps import WARM_UP_STEPS, learning_rate

Toy = Callable[..., TrainConfig]
LAPPED = {"arch": "lapped", "channels": 4, "levels": 3}
BUNDLE = Path(__file__).parents[2] / "bundles/photo1000"

DIE_AT_STEP_3 = """
import os, signal, sys
from pathlib import Path
import torch
from tactic_train import loop, steps
from tactic_train.config import TrainConfig

torch.set_num_threads(1)
usual = steps.learning_rate
def fatal(stage, step):
    if stage.alpha and step == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return usual(stage, step)
steps.learning_rate = fatal
loop.train(TrainConfig.model_validate_json(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
"""


def weights(out: Path) -> dict[str, Tensor]:
    state = checkpoint.read(out / checkpoint.NAME)
    parts = ("codec", "density", "head")
    return {f"{part}.{k}": v for part in parts for k, v in (state[part] or {}).items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_training_killed_and_resumed_is_training_uninterrupted(
    toy: Toy, tmp_path: Path, child_environment: dict[str, str]
) -> None:
    # This head needs no torchvision, which takes seconds to import.
    head = {"name": "efficientnet_lite0", "classes": 2}
    stages = [stage.model_copy(update={"tail_drop": 0.5}) for stage in toy().stage]
    config = toy(head=head, model=LAPPED, stage=stages)
    system, _ = train(config, tmp_path / "whole")
    assert not torch.equal(system.codec.steps(), build(config).codec.steps())
    path = tmp_path / "config.json"
    path.write_text(config.model_dump_json())
    command = [sys.executable, "-c", DIE_AT_STEP_3, str(path), str(tmp_path / "killed")]
    killed = subprocess.run(command, env=child_environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert checkpoint.read(tmp_path / "killed" / checkpoint.NAME)["step"] == 2
    train(config, tmp_path / "killed")
    assert same(weights(tmp_path / "killed"), weights(tmp_path / "whole"))


def test_a_fixed_encoder_has_integer_weights_and_rests(toy: Toy, tmp_path: Path) -> None:
    first = toy().stage[0].model_copy(update={"steps": 1})
    fixed = first.model_copy(update={"encoder": "fixed"})
    found = []
    for steps in (1, 3):
        stages = [first, fixed.model_copy(update={"steps": steps})]
        out = tmp_path / str(steps)
        system, _ = train(toy(model=LAPPED, stage=stages, checkpoint_every=1), out)
        found.append(weights(out))
    name = "codec.encoder.0.weight"
    assert torch.equal(found[0][name], found[1][name])
    assert not torch.equal(found[0]["codec.decoder.0.weight"], found[1]["codec.decoder.0.weight"])
    rows = found[0][name].flatten(1).double()
    integers = rows / rows.abs().amax(dim=1, keepdim=True) * 127
    torch.testing.assert_close(integers, integers.round(), rtol=0, atol=1e-3)
    # What the export makes of it is the same encoder.
    conv = system.codec.encoder[0]
    assert isinstance(conv, torch.nn.Conv2d)
    again, _ = rounded(conv, torch.rand(8, 3, 64, 64))
    assert np.array_equal(again.reshape(rows.shape), integers.round().numpy())


def test_a_head_moves_only_where_it_is_tuned(toy: Toy, tmp_path: Path) -> None:
    last = toy().stage[1]
    start = {"steps": 1, "learning_rate": 1e-3, "distortion": 1.0, "beta": 0.1}
    frozen = last.model_copy(update={"head": "frozen", "steps": 1})
    tuned = last.model_copy(update={"steps": 1})
    states = []
    for number, stages in enumerate(([start, tuned], [start, tuned, frozen])):
        out = tmp_path / str(number)
        train(toy(stage=stages, checkpoint_every=1), out)
        states.append(weights(out))
    heads = [{k: v for k, v in s.items() if k.startswith("head.")} for s in states]
    assert same(*heads)
    assert not torch.equal(states[0]["codec.encoder.0.weight"], states[1]["codec.encoder.0.weight"])
    fresh = build(toy()).head.state_dict()
    moved = "net.features.0.0.weight"
    assert not torch.equal(heads[0][f"head.{moved}"], fresh[moved])


def test_batch_statistics_stay_while_a_head_is_tuned(toy: Toy, tmp_path: Path) -> None:
    config = toy()
    train(config, tmp_path / "long")
    train(toy(stage=[config.stage[1].model_copy(update={"steps": 1})]), tmp_path / "short")
    name = "head.net.features.0.1.running_mean"
    assert torch.equal(weights(tmp_path / "long")[name], weights(tmp_path / "short")[name])


def test_the_checkpoint_carries_the_folders_class_names(toy: Toy, tmp_path: Path) -> None:
    system, _ = train(toy(), tmp_path)
    assert system.head.labels == ("circle", "stripes")
    again = build(toy())
    checkpoint.load_weights(again, checkpoint.read(tmp_path / checkpoint.NAME))
    assert again.head.labels == ("circle", "stripes")


def test_a_teacher_is_the_head_as_it_was(toy: Toy) -> None:
    taught = toy().stage[1].model_copy(update={"task": "both"})
    with pytest.raises(HeadError, match="has no weights for 2 classes"):
        build(toy(stage=[taught]))
    system = build(toy(stage=[taught], head={"name": "efficientnet_lite0"}))
    assert system.teacher is not None
    assert not any(p.requires_grad for p in system.teacher.parameters())
    frozen = taught.model_copy(update={"head": "frozen"})
    assert build(toy(stage=[frozen], head={"name": "efficientnet_lite0"})).teacher is None


def test_a_fresh_head_may_teach_once_it_has_learnt_alone(toy: Toy, tmp_path: Path) -> None:
    tuned = toy().stage[1].model_copy(update={"steps": 1})
    alone = tuned.model_copy(update={"head": "alone", "distortion": 0.0, "beta": 0.0})
    taught = tuned.model_copy(update={"head": "frozen", "task": "both"})
    assert build(toy(stage=[alone, taught])).teacher is None
    # It stays its own teacher until it is tuned on reconstructions.
    assert build(toy(stage=[alone, taught, tuned])).teacher is None
    for stages in ([taught, alone], [alone, tuned, taught]):
        with pytest.raises(HeadError, match='begin with a stage that has head = "alone"'):
            build(toy(stage=stages))
    states = []
    for number, stages in enumerate(([alone], [alone, taught])):
        out = tmp_path / str(number)
        train(toy(stage=stages, checkpoint_every=1), out)
        states.append(weights(out))
    for part, same_there in (("head.", True), ("codec.", False)):
        ours = [{k: v for k, v in s.items() if k.startswith(part)} for s in states]
        assert same(*ours) == same_there
    untrained = {f"codec.{k}": v for k, v in build(toy()).codec.state_dict().items()}
    assert all(torch.equal(states[0][k], v) for k, v in untrained.items())


def test_the_learning_rate_rises_shortly_and_falls_along_a_cosine(toy: Toy) -> None:
    stage = toy().stage[0].model_copy(update={"steps": 1000})
    rates = [learning_rate(stage, step) for step in range(1001)]
    top = WARM_UP_STEPS - 1
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[0] == pytest.approx(1e-3 / WARM_UP_STEPS)
    assert rates[500] == pytest.approx((1e-3 + 1e-5) / 2)
    assert rates[1000] == pytest.approx(1e-5)


class Rates(torch.optim.Adam):
    """Adam that writes down its groups' learning rates and weights at every step."""

    seen: ClassVar[list[tuple[list[float], list[Tensor]]]] = []

    def step(self, closure: Any = None) -> Any:
        rates = [float(group["lr"]) for group in self.param_groups]
        self.seen.append((rates, [p for g in self.param_groups for p in g["params"]]))
        return super().step(closure)


@pytest.mark.parametrize(("arch", "pace"), [("lapped", 0.1), ("block", 0.1), ("paper", 1.0)])
def test_encoder_and_rates_learn_at_their_own_paces(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arch: str, pace: float
) -> None:
    monkeypatch.setattr(torch.optim, "Adam", Rates)
    monkeypatch.setattr(Rates, "seen", [])
    config = toy(model={"arch": arch, "channels": 4, "levels": 2})
    system, _ = train(config, tmp_path)
    expected = [learning_rate(*config.stage_at(step)) for step in range(config.steps)]
    assert len({round(rate, 12) for rate in expected}) > 1
    for step, ((rates, _), rate) in enumerate(zip(Rates.seen, expected, strict=True)):
        own = RATES_LEARNING_RATE * min(1, rate / config.stage_at(step)[0].learning_rate)
        assert rates == pytest.approx([pace * rate, own, rate])
    trained = [id(parameter) for parameter in Rates.seen[0][1]]
    assert sorted(trained) == sorted(id(parameter) for parameter in system.parameters())
    encoder = [id(parameter) for parameter in system.codec.encoder.parameters()]
    assert trained[: len(encoder)] == encoder
    rates_of = [*system.density.parameters(), system.codec.log_step]
    assert trained[len(encoder) :][: len(rates_of)] == [id(parameter) for parameter in rates_of]


def test_training_starts_warm_at_the_step_of_the_configuration(toy: Toy, tmp_path: Path) -> None:
    stages = [{"steps": 1, "learning_rate": 1e-12, "distortion": 1.0, "beta": 0.0}]
    sizes = []
    for step in (0.2, 0.4):
        config = toy(model=LAPPED | {"step": step}, stage=stages)
        system, _ = train(config, tmp_path / str(step))
        weight = system.codec.encoder[0].weight
        assert isinstance(weight, Tensor)
        sizes.append(float(weight.detach().square().sum().sqrt()) * step)
    # Four orthonormal rows.
    assert sizes == pytest.approx([2.0, 2.0], rel=1e-4)


def test_another_configuration_is_refused(toy: Toy, tmp_path: Path) -> None:
    train(toy(), tmp_path)
    with pytest.raises(CheckpointError, match="another configuration"):
        train(toy(seed=4), tmp_path)


def test_a_damaged_checkpoint_is_named(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / checkpoint.NAME).write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: damaged; delete it"):
        train(toy(), tmp_path)
    torch.save({"step": 3}, tmp_path / checkpoint.NAME)
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.read(tmp_path / checkpoint.NAME)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        checkpoint.read(tmp_path / "absent.pt")


def test_a_loss_that_is_not_finite_stops_before_it_is_saved(toy: Toy, tmp_path: Path) -> None:
    stages = [{"steps": 40, "learning_rate": 1e30, "distortion": 1.0, "beta": 1.0}]
    with pytest.raises(TrainError, match="not finite at step"):
        train(toy(stage=stages, checkpoint_every=10), tmp_path)
    assert not (tmp_path / checkpoint.NAME).exists()


def test_a_broken_image_is_named_and_training_goes_on(
    toy: Toy, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = (photos / "train/circle/0.png").read_bytes()
    for name, content in (("a.png", b"text"), ("b.png", data), ("c.png", data)):
        (tmp_path / name).write_bytes(content)
    stages = [{"steps": 2, "learning_rate": 1e-3, "distortion": 1.0, "beta": 0.1}]
    source = {"sources": [f"unlabelled:{tmp_path}"], "crop_px": 32}
    config = toy(data=source, stage=stages, seed=1)
    assert "a.png" in {item.name for item in train(config, tmp_path / "out")[1].train}
    assert capsys.readouterr().out.count("a.png: not readable, the next image stands in") == 1


@pytest.mark.parametrize("side_px", [0, 3])
def test_nothing_to_judge_by_is_told_before_the_work(
    toy: Toy, photos: Path, tmp_path: Path, side_px: int
) -> None:
    """Held-out photos that cannot be read, or are smaller than a stride."""
    shutil.copytree(photos, tmp_path / "photos")
    for path in tmp_path.glob("photos/val/*/*.png"):
        path.write_bytes(b"text")
        if side_px:
            Image.new("RGB", (40, side_px)).save(path)
    source = {"sources": [f"imagefolder:{tmp_path / 'photos'}"], "crop_px": 32}
    cause = "40×3 pixels, to judge by it takes 4" if side_px else "not a readable image"
    with pytest.raises(DataError, match=cause):
        train(toy(data=source), tmp_path / "out")


def test_a_folder_that_cannot_be_made_and_a_disk_that_is_full(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainError, match="file: File exists; choose another --out"):
        train(toy(), tmp_path / "file")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint, "replace_file", full)
    with pytest.raises(CheckpointError, match="No space left on device; make room"):
        train(toy(), tmp_path / "out")


def test_a_digest_is_of_the_values(toy: Toy) -> None:
    assert checkpoint.digest(toy()) == checkpoint.digest(toy(seed=3))
    assert checkpoint.digest(toy()) != checkpoint.digest(toy(seed=4))


def test_a_run_starts_from_another_ones_codec(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = toy(stage=toy().stage[:1])
    train(first, tmp_path / "first")
    monkeypatch.setattr(loop, "RATES_LEARNING_RATE", 0.0)
    still = first.stage[0].model_copy(update={"learning_rate": 1e-12})
    second = first.model_copy(update={"stage": (still,), "start": tmp_path / "first", "seed": 9})
    system, _ = train(second, tmp_path / "second")
    begun = checkpoint.read(tmp_path / "first" / checkpoint.NAME)
    for name, value in system.codec.state_dict().items():
        torch.testing.assert_close(value, begun["codec"][name])
    for name, value in system.density.state_dict().items():
        torch.testing.assert_close(value, begun["density"][name])


def test_a_density_that_was_never_trained_is_fitted_at_the_start(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "RATES_LEARNING_RATE", 0.0)
    drawing = {"steps": 1, "learning_rate": 1e-3, "distortion": 1.0, "beta": 0.0}
    paper = {"arch": "paper", "channels": 4}
    drawn, _ = train(toy(model=paper, stage=[drawing]), tmp_path / "first")
    assert drawn.density.fresh
    still = drawing | {"learning_rate": 1e-12, "final_learning_rate": 0.0}
    config = toy(model=paper, stage=[still], start=tmp_path / "first")
    begun, photos = train(config, tmp_path / "second")
    pictures = some_crops(photos.train, config.data, seed=0)
    level = torch.zeros(len(pictures), 4, dtype=torch.int64)
    latent = begun.codec.encode(pictures, level)
    assert begun.density.bits(latent, level).mean() < drawn.density.bits(latent, level).mean()


def test_a_start_counts_by_its_content(toy: Toy, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / checkpoint.NAME).write_bytes(b"weights")
    a, b, file = (
        checkpoint.digest(toy(start=tmp_path / at)) for at in ("a", "b", f"a/{checkpoint.NAME}")
    )
    assert a == b == file != checkpoint.digest(toy())
    (tmp_path / "b" / checkpoint.NAME).write_bytes(b"others")
    assert checkpoint.digest(toy(start=tmp_path / "b")) != a


def test_training_begins_with_the_codec_of_a_bundle(toy: Toy, tmp_path: Path) -> None:
    model = {"arch": "lapped", "channels": 64, "levels": 5}
    still = {"steps": 1, "learning_rate": 1e-12, "distortion": 1.0, "beta": 0.1}
    begun, _ = train(toy(model=model, stage=[still], start=BUNDLE), tmp_path / "run")
    codec = ARCHITECTURES["lapped"](channels=64, levels=5)
    load_bundle(BUNDLE, codec)
    for name, value in codec.decoder.state_dict().items():
        assert torch.allclose(begun.codec.decoder.state_dict()[name], value, atol=1e-6)
    assert not begun.density.fresh


def test_a_start_that_does_not_fit(toy: Toy, tmp_path: Path) -> None:
    first = toy(stage=toy().stage[:1])
    train(first, tmp_path / "first")
    model = {"arch": "paper", "channels": 8}
    with pytest.raises(CheckpointError, match=r"of another network .* take arch, channels"):
        train(toy(model=model, start=tmp_path / "first"), tmp_path / "other")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        train(toy(start=tmp_path / "nowhere"), tmp_path / "none")


def test_the_size_that_the_gateway_shows_its_head_is_set_by_the_configuration(toy: Toy) -> None:
    assert build(toy()).head.input_px == 224
    head = {"name": "efficientnet_lite0", "input_px": 160}
    assert build(toy(head=head)).head.input_px == 160
