"""``tactic export``: from a training run to a verified bundle with its parity report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from tactic_export.bundle import Plan, Staging, check, seal, write_files, write_json
from tactic_export.card import model_card
from tactic_export.errors import ExportError
from tactic_export.freeze import freeze
from tactic_export.parity import Parity, measure
from tactic_export.pictures import report_pictures, training_crops
from tactic_train import checkpoint
from tactic_train.config import TrainConfig
from tactic_train.loop import build
from tactic_train.step import System

TABLE_CROPS = 2000


@torch.no_grad()
def export(
    run: Path,
    out: Path,
    plan: Plan,
    report: tuple[str, str] | None,
    say: Callable[[str], None],
) -> Parity | None:
    """Quantise a run once and write its bundle.

    Parameters
    ----------
    run : Path
        Folder of a training run: ``config.json`` and ``checkpoint.pt``.
    out : Path
        The bundle's folder; an older bundle there is replaced as a whole.
    plan : Plan
    report : (source, match), optional
        Pictures for the parity report: a data source and how their file names begin.
    say : callable
        Takes one line of progress.

    Returns
    -------
    The parity report, also written into the bundle as ``parity.json``; None without pictures.

    Raises
    ------
    ExportError, CheckpointError, DataError, BundleError
    """
    config, system = load_run(run)
    runs = [*_before(config), config]
    check(plan, system.codec)
    ordered = any(stage.tail_drop for stage in config.stage)
    parity = None
    with Staging(out) as root:
        say(f"quantising, and fitting entropy models on {TABLE_CROPS} training crops")
        frozen = freeze(system, training_crops(config, TABLE_CROPS), not ordered)
        say("writing encoder (ONNX and TFLite), decoder and head")
        write_files(system, frozen, plan, root)
        if report:
            pictures, labels = report_pictures(
                *report, system.codec.stride, config.head.classes, system.head.task
            )
            say(f"parity on {len(pictures)} pictures")
            parity = measure(system, frozen, root, plan.level, pictures, labels)
            write_json(root / "parity.json", parity.as_json())
        if plan.license_file:
            (root / "license-weights.txt").write_bytes(plan.license_file.read_bytes())
        (root / "model-card.md").write_text(model_card(plan, runs, frozen, parity))
        seal(system, frozen, plan, root)
    return parity


def load_run(run: Path) -> tuple[TrainConfig, System]:
    """The configuration and the trained system of a run.

    Raises
    ------
    CheckpointError
        A file is missing or damaged; the message names it.
    ExportError
        Training has not ended, or its head never learned anything.
    """
    config = checkpoint.read_config(run)
    state = checkpoint.read(run / checkpoint.NAME)
    if state["step"] < config.steps:
        raise ExportError(
            f"{run}: {state['step']} of {config.steps} steps done; start tactic train again, "
            "it goes on"
        )
    system = build(config)
    if system.head.fresh and not config.tunes_head:
        raise ExportError(
            f"{run}: head {config.head.name} has no weights and no stage tunes it; "
            "give head.weights, or train it"
        )
    checkpoint.load_weights(system, state)
    return config, system.eval()


def _before(config: TrainConfig) -> list[TrainConfig]:
    """The runs that led to the one it began with, as far as they are at hand; oldest first."""
    if config.start is None or not (config.start / checkpoint.CONFIG).is_file():
        return []
    before = checkpoint.read_config(config.start)
    return [*_before(before), before]
