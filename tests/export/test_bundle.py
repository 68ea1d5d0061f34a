"""From a training run to a bundle that device and gateway accept; what goes wrong on the way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tactic_codec import nest
from tactic_codec.bundle import Bundle
from tactic_codec.errors import TacticError
from tactic_codec.packet import HEADER_BYTES
from tactic_device import encoders
from tactic_device.coder import Coder
from tactic_device.fit import fit
from tactic_device.sources import Shot
from tactic_export import card
from tactic_export import run as export_run
from tactic_export.bundle import Plan, Staging, check
from tactic_export.errors import ExportError
from tactic_export.run import export, load_run
from tactic_gateway.decoder import Decoder
from tactic_gateway.pipeline import Pipeline
from tactic_train import checkpoint
from tactic_train.config import TrainConfig
from tactic_train.errors import CheckpointError, HeadError
from tactic_train.loop import build
from tactic_train.networks import PaperCodec

PLAN = Plan("toy", "toy", ((32, 64), (64, 64)))
SHIPPED = Path(__file__).parents[2] / "bundles/photo1000"
TUNED = {
    **{"steps": 1, "learning_rate": 1e-3, "distortion": 1.0, "beta": 0.1},
    **{"alpha": 1.0, "task": "labels", "head": "tuned"},
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("tench", "lynx"):
            (folder / split / kind).mkdir(parents=True)
            for number in range(3):
                coarse = rng.integers(0, 256, (5, 6, 3), np.uint8)
                path = folder / split / kind / f"{number}.png"
                cv2.imwrite(str(path), cv2.resize(coarse, (50, 42)))
    return folder


@pytest.fixture(scope="module")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(photos, tmp_path_factory.mktemp("run"), levels=1)


def train(photos: Path, out: Path, levels: int) -> Path:
    """A run of no steps: everything in its place, nothing learnt."""
    config = TrainConfig.model_validate(
        {
            "name": "toy",
            "model": {"arch": "paper", "channels": 4, "levels": levels},
            "head": {"name": "torchvision:squeezenet1_1", "classes": 2},
            "data": {"sources": [f"imagefolder:{photos}"], "crop_px": 32},
            "stage": [TUNED],
        }
    )
    system = build(config)
    with torch.no_grad():
        # Latents that fill some of int8, as a trained codec's do.
        last = [m for m in system.codec.encoder if isinstance(m, torch.nn.Conv2d)][-1]
        last.weight.mul_(400)
    checkpoint.save(out, config, system, torch.optim.Adam(system.codec.parameters()), 1)
    return out


def test_a_run_that_has_not_ended_is_no_bundle(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    path = tmp_path / "run" / checkpoint.NAME
    state = torch.load(path, weights_only=True)
    torch.save(state | {"step": 0}, path)
    with pytest.raises(ExportError, match="0 of 1 steps done; start tactic train again"):
        load_run(tmp_path / "run")
    torch.save(state, path)
    config = tmp_path / "run" / checkpoint.CONFIG
    config.write_text(config.read_text().replace('"tuned"', '"frozen"'))
    with pytest.raises(HeadError, match="no weights for 2 classes"):
        load_run(tmp_path / "run")
    config.write_text(config.read_text().replace('"alpha": 1.0', '"alpha": 0.0'))
    with pytest.raises(ExportError, match="has no weights and no stage tunes it"):
        load_run(tmp_path / "run")


def test_a_run_becomes_a_bundle(
    trained: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_run, "TABLE_CROPS", 40)
    notice = tmp_path / "notice.txt"
    notice.write_text("free\n")
    said: list[str] = []
    plan = replace(PLAN, license_file=notice)
    parity = export(trained, tmp_path / "toy", plan, (f"imagefolder:{photos}", ""), said.append)

    bundle = Bundle.open(tmp_path / "toy")
    assert [(g.height, g.width) for g in bundle.codec.geometries] == [(32, 64), (64, 64)]
    assert (bundle.codec.levels, bundle.codec.stride) == (1, PaperCodec.stride)
    documents = {entry.path for entry in bundle.manifest.documents}
    assert documents == {"license-weights.txt", "model-card.md", "parity.json"}
    assert (tmp_path / "toy/gateway/labels.txt").read_text() == "0\n1\n"
    assert parity is not None
    assert json.loads((tmp_path / "toy/parity.json").read_text()) == json.loads(
        json.dumps(parity.as_json())
    )
    assert parity.pictures == 6
    (level,) = parity.levels
    assert level.onnxruntime.largest_difference <= 1
    assert level.litert.latents_differing == 0
    assert level.accuracy_change_interval is not None
    low, high = level.accuracy_change_interval
    assert level.accuracy_int8 is not None
    assert level.accuracy_float is not None
    assert low <= level.accuracy_int8 - level.accuracy_float <= high
    card = (tmp_path / "toy/model-card.md").read_text()
    assert all(f"| {name} | {value} |" in card for name, value in parity.rows())
    assert all("\n" not in line for line in said)
    assert torch.is_grad_enabled(), "whoever called may want to train"

    for runtime in ("litert", "onnxruntime"):
        assert encoders.choose(bundle, 0, runtime, 1).runtime == runtime
    Pipeline(bundle, threads=1, top=2)


def test_node_and_gateway_agree_at_every_level(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_run, "TABLE_CROPS", 40)
    (tmp_path / "run").mkdir()
    run = train(photos, tmp_path / "run", levels=5)
    source = (f"imagefolder:{photos}", "")
    parity = export(run, tmp_path / "toy", replace(PLAN, level=2), source, lambda _: None)
    assert parity is not None
    for measured in parity.levels:
        assert measured.onnxruntime.latents_differing < 1e-3
        assert measured.litert.latents_differing < 1e-3

    bundle = Bundle.open(tmp_path / "toy")
    assert (bundle.codec.levels, bundle.manifest.default_level) == (5, 2)
    references = bundle.references()
    assert references is not None
    assert bundle.manifest.reference in bundle.manifest.device_files
    assert len(references.encoders) == 2
    for reference in references.encoders:
        assert np.allclose(reference.shares().sum(-1), 1, atol=1e-4)
    assert [len(model.contexts) for model in bundle.models] == [12, 8]
    picture, decoder = bundle.probe()[0][0], Decoder(bundle, threads=1)
    for level in range(5):
        encoder = encoders.choose(bundle, level, "onnxruntime", 1).encoder
        whole = Coder(bundle, encoder, 1, level).encode(Shot(picture, 0))
        found = decoder.latent([whole])
        assert found.levels.tolist() == [level] * 4
        expected = nest.coarsen(encoder.encode(fit(picture, 64, 64)), level // 2)
        np.testing.assert_array_equal(found.symbols, expected)
        half = HEADER_BYTES + len(whole.payload) // 2
        less = Coder(bundle, encoder, 1, level, half).encode(Shot(picture, 0))
        assert (decoder.latent([less]).levels >= level).all()
        pictures = decoder.pictures([found, decoder.latent([less])])
        assert pictures.shape == (2, 64, 64, 3)


def test_a_failure_leaves_the_old_bundle(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy").mkdir()
    manifest = (SHIPPED / "manifest.json").read_text()
    (tmp_path / "toy/manifest.json").write_text(manifest)
    monkeypatch.setattr(export_run, "TABLE_CROPS", 4)

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_run, "write_files", no_room)
    with pytest.raises(ExportError, match="toy: No space left on device; make room"):
        export(trained, tmp_path / "toy", PLAN, None, lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]
    assert (tmp_path / "toy/manifest.json").read_text() == manifest


def test_a_card_tells_of_the_runs_before(trained: Path, tmp_path: Path) -> None:
    def text_of(start: Path, name: str) -> str:
        config = json.loads((trained / "config.json").read_text())
        (tmp_path / name).mkdir()
        config |= {"name": name, "start": str(start)}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        (tmp_path / name / checkpoint.NAME).write_bytes((trained / checkpoint.NAME).read_bytes())
        export(tmp_path / name, tmp_path / "bundle", PLAN, None, lambda line: None)
        return (tmp_path / "bundle/model-card.md").read_text()

    text = text_of(trained, "second")
    assert "Run `toy`: " in text
    assert "Run `second`, begun with the codec of the run before: " in text
    assert text.index("`toy`:") < text.index("`second`,")
    assert "not at hand" not in text
    assert "The runs before these are not at hand." in text_of(tmp_path / "gone", "lonely")


def test_a_card_names_the_bundle_that_training_began_with(trained: Path) -> None:
    config = json.loads((trained / "config.json").read_text()) | {"start": str(SHIPPED)}
    text = card._training([TrainConfig.model_validate(config)])
    assert text.startswith("Begun with the codec of the bundle `photo1000`, whose model card ")


def test_the_new_bundle_replaces_the_old_one_whole(tmp_path: Path) -> None:
    target = tmp_path / "toy"
    manifest = (SHIPPED / "manifest.json").read_text()
    for content in ("first", "second"):
        with Staging(target) as root:
            (root / "manifest.json").write_text(manifest)
            (root / content).touch()
            if content == "second":
                assert (target / "first").exists()
    assert sorted(path.name for path in target.iterdir()) == ["manifest.json", "second"]
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_what_is_not_a_bundle_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(ExportError, match="is not a bundle; choose another --out"):
        Staging(tmp_path)
    (tmp_path / "manifest.json").write_text('{"name": "a web application", "icons": []}')
    with pytest.raises(ExportError, match="is not a bundle; choose another --out"):
        Staging(tmp_path)
    assert (tmp_path / "thesis.txt").exists()
    with pytest.raises(ExportError, match="File exists; choose another --out"):
        Staging(tmp_path / "thesis.txt/bundle")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "My Bundle"}, "--out My Bundle: name the folder with"),
        ({"geometries": ((30, 64),)}, "--geometry 64x30: both sides must be multiples of 4"),
        ({"geometries": ((0, 64),)}, "--geometry 64x0"),
        ({"geometries": ((8196, 64),)}, "up to 8192"),
        ({"geometries": ((32, 32),) * 9}, "9 frame sizes; give at most 8"),
        ({"level": 1}, "--level 1: the codec has 1 rate levels"),
        ({"license_file": Path("nowhere")}, "nowhere: no such file; correct --license"),
    ],
)
def test_plans_that_no_manifest_could_hold(change: dict[str, object], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        check(replace(PLAN, **change), PaperCodec(4))  # type: ignore[arg-type]


def _garbage(run: Path) -> None:
    (run / "checkpoint.pt").write_bytes(b"\x80\x04garbage")


def _no_checkpoint(run: Path) -> None:
    (run / "checkpoint.pt").unlink()


def _another_network(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    config["model"]["channels"] = 5
    (run / "config.json").write_text(json.dumps(config))


def _unknown_key(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"colour": 1}))


def _no_config(run: Path) -> None:
    (run / "config.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (_garbage, CheckpointError, "checkpoint.pt: damaged"),
        (_no_checkpoint, CheckpointError, "checkpoint.pt: no such checkpoint"),
        (_another_network, CheckpointError, "of another network"),
        (_unknown_key, CheckpointError, "config.json: colour: .*; name the folder of a training"),
        (_no_config, CheckpointError, "config.json: No such file.*; name the folder of a training"),
    ],
)
def test_runs_that_are_none(
    trained: Path,
    tmp_path: Path,
    spoil: Callable[[Path], None],
    kind: type[TacticError],
    message: str,
) -> None:
    for path in ("checkpoint.pt", "config.json"):
        (tmp_path / path).write_bytes((trained / path).read_bytes())
    spoil(tmp_path)
    with pytest.raises(kind, match=message) as fault:
        load_run(tmp_path)
    assert "\n" not in str(fault.value)


def test_report_pictures_that_cannot_be_measured(photos: Path, tmp_path: Path) -> None:
    from tactic_export.pictures import report_pictures

    with pytest.raises(ExportError, match="no validation image whose name begins with 'ILSVRC'"):
        report_pictures(f"imagefolder:{photos}", "ILSVRC", 4)
    pictures, labels = report_pictures(f"imagefolder:{photos}", "", 4)
    assert pictures.shape == (6, 40, 48, 3)
    assert set(labels.tolist()) <= {-1, 0, 287}
    for number, side in enumerate((40, 44, 48, 52, 56, 60)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((side, side, 3), np.uint8))
    with pytest.raises(ExportError, match="needs pictures of one size"):
        report_pictures(f"unlabelled:{tmp_path}", "", 4)
