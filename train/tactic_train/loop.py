"""A training run: what a configuration asks for, made, prepared and trained."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs

from tactic_train.batches import some_crops
from tactic_train.checkpoint import load_start, resume
from tactic_train.class_weights import class_weights
from tactic_train.config import TrainConfig
from tactic_train.density import LogisticMixture
from tactic_train.errors import HeadError, TrainError
from tactic_train.heads import make_head, measure_statistics
from tactic_train.networks import ARCHITECTURES, LappedCodec
from tactic_train.photos import Photos, gather
from tactic_train.step import System
from tactic_train.steps import Steps
from tactic_train.warm_start import warm_start

#: learning rate of density and quantisation steps where that of a stage is at its highest: few
#: numbers, mostly logarithms, that have to move by whole units in a short training
RATES_LEARNING_RATE = 5e-3


def build(config: TrainConfig) -> System:
    """Make the untrained system of a configuration; the same seed gives the same weights.

    Raises
    ------
    HeadError
        The head cannot be made, or has nothing to teach yet and is asked to.
    """
    torch.manual_seed(config.seed)
    model = config.model
    codec = ARCHITECTURES[model.arch](channels=model.channels, levels=model.levels)
    density = LogisticMixture(model.channels, model.levels)
    head = make_head(config.head.name, config.head.classes, config.head.weights)
    head.input_px = config.head.input_px or head.input_px
    asked = [stage for stage in config.stage if stage.alpha > 0]
    # A head that is tuned on reconstructions is taught by what it was before; any other by itself.
    moved = itertools.dropwhile(lambda stage: stage.head != "tuned", asked)
    separate = any(stage.needs_teacher for stage in moved)
    if head.fresh and asked and (asked[0].head == "frozen" or separate):
        raise HeadError(
            f"head {config.head.name} has no weights for {config.head.classes} classes: give "
            'head.weights, or begin with a stage that has head = "alone", or set head = "tuned" '
            'and task = "labels" in every stage with alpha'
        )
    teacher = copy.deepcopy(head).requires_grad_(False) if separate else None
    return System(codec, density, head, teacher)


def train(config: TrainConfig, out: Path) -> tuple[System, Photos]:
    """Train, or go on where the last checkpoint in ``out`` stands.

    Parameters
    ----------
    config : TrainConfig
    out : Path
        Folder for ``checkpoint.pt``, ``config.json`` and TensorBoard's files.

    Returns
    -------
    The trained system, on the accelerator's device, and the images it was trained on.

    Raises
    ------
    DataError, HeadError, CheckpointError, TrainError
    """
    accelerator = _accelerator(config)
    system = build(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    photos = gather(config, system.head.task)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise TrainError(f"{out}: {fault.strerror}; choose another --out") from fault
    if photos.classes:
        system.head.labels = photos.classes
    if system.head.task == "segmentation" and any(stage.needs_labels for stage in config.stage):
        accelerator.print("measuring the weights of the classes on the training masks")
        system.class_weights = class_weights(photos.train, config.head.classes)
    optimiser = torch.optim.Adam(_trained(system, config))
    start = resume(out, config, system, optimiser)
    if start == 0:
        _prepare(config, system, photos)
    model, optimiser = accelerator.prepare(system, optimiser)
    Steps(
        config,
        out,
        accelerator=accelerator,
        system=system,
        model=model,
        optimiser=optimiser,
        photos=photos,
    ).go(start)
    accelerator.wait_for_everyone()
    # A process group that is still open when Python ends may abort it.
    accelerator.state.destroy_process_group()
    return system, photos


def _accelerator(config: TrainConfig) -> Accelerator:
    # A stage that leaves head or encoder alone gives it no gradient, which has to be announced.
    rests = config.tunes_head or any(stage.encoder == "fixed" for stage in config.stage)
    distributed = DistributedDataParallelKwargs(find_unused_parameters=rests)
    accelerator = Accelerator(kwargs_handlers=[distributed])
    if config.batch % accelerator.num_processes:
        raise TrainError(
            f"a batch of {config.batch} cannot be shared by {accelerator.num_processes} processes: "
            "make batch a multiple"
        )
    return accelerator


def _trained(system: System, config: TrainConfig) -> list[dict[str, Any]]:
    """Parameter groups: encoder, rates, and the rest: the decoder and a head that is tuned."""
    system.head.requires_grad_(config.tunes_head)
    encoder = list(system.codec.encoder.parameters())
    rates = [*system.density.parameters(), system.codec.log_step]
    known = set(map(id, [*encoder, *rates]))
    others = [p for p in system.parameters() if p.requires_grad and id(p) not in known]
    return [
        {"params": encoder, "pace": system.codec.encoder_learning_rate},
        {"params": rates, "own_rate": RATES_LEARNING_RATE},
        {"params": others, "pace": 1.0},
    ]


def _prepare(config: TrainConfig, system: System, photos: Photos) -> None:
    """Fit to some training crops what is better not left to chance."""
    pictures = some_crops(photos.train, config.data, config.seed)
    if config.start:
        load_start(config, system)
        if system.density.fresh:
            system.density.fit(system.codec, pictures)
    elif isinstance(system.codec, LappedCodec):
        warm_start(system.codec, system.density, pictures, config.model.step)
    if system.head.fresh and config.tunes_head:
        seen = system.head.to_input(pictures[:32], system.head.input_px)
        measure_statistics(system.head, seen)
