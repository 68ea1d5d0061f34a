"""Checkpoints: written as a whole or not at all, read without running anything in them."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from tactic_codec.bundle import MANIFEST, Bundle
from tactic_train.config import Model, TrainConfig
from tactic_train.errors import CheckpointError
from tactic_train.from_bundle import is_bundle, load_bundle
from tactic_train.step import System

NAME = "checkpoint.pt"
CONFIG = "config.json"


def digest(config: TrainConfig) -> str:
    """Sixteen hexadecimal digits that name a configuration.

    Files that training begins with count by their content, wherever they lie.

    Raises
    ------
    CheckpointError
        One of them cannot be read.
    """
    values = config.model_dump(mode="json")
    del values["start"]
    if config.start:
        values["start"] = _sha256(start_path(config.start))
    if config.head.weights:
        values["head"]["weights"] = _sha256(config.head.weights)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def save(
    out: Path, config: TrainConfig, system: System, optimiser: torch.optim.Optimizer, step: int
) -> None:
    """Write ``checkpoint.pt`` and ``config.json`` after ``step`` steps."""
    state = {
        "digest": digest(config),
        "step": step,
        "codec": system.codec.state_dict(),
        "density": system.density.state_dict(),
        "head": system.head.state_dict() if config.tunes_head else None,
        "labels": list(system.head.labels),
        "optimiser": optimiser.state_dict(),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    try:
        replace_file(out / NAME, buffer.getvalue())
        replace_file(out / CONFIG, config.model_dump_json(indent=2).encode() + b"\n")
    except OSError as fault:
        raise CheckpointError(
            f"{out}: {fault.strerror}; make room and start again, the checkpoint before is whole"
        ) from fault


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that a crash at any instant leaves the old one or the new one."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint into memory.

    Raises
    ------
    CheckpointError
        It is missing or damaged.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not {"digest", "step", "codec", "density", "head", "optimiser"} <= state.keys():
            raise ValueError("parts are missing")
    except FileNotFoundError as fault:
        raise CheckpointError(f"{path}: no such checkpoint; train first") from fault
    except Exception as fault:  # a file of anything makes the unpickler raise anything
        raise CheckpointError(f"{path}: damaged; delete it to train anew") from fault
    return dict(state)


def resume(out: Path, config: TrainConfig, system: System, optimiser: torch.optim.Optimizer) -> int:
    """Go back to the checkpoint in ``out``; the number of steps done, 0 where there is none.

    Raises
    ------
    CheckpointError
        It is damaged or belongs to another configuration.
    """
    path = out / NAME
    if not path.exists():
        return 0
    state = read(path)
    if state["digest"] != digest(config):
        raise CheckpointError(
            f"{path}: belongs to another configuration; choose another output folder or delete it"
        )
    load_weights(system, state)
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def read_config(run: Path) -> TrainConfig:
    """The configuration of a run, from its folder.

    Raises
    ------
    CheckpointError
        It is missing or damaged.
    """
    path = run / CONFIG
    try:
        return TrainConfig.model_validate_json(path.read_bytes())
    except OSError as fault:
        raise CheckpointError(
            f"{path}: {fault.strerror}; name the folder of a training run"
        ) from fault
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise CheckpointError(
            f"{path}: {where}: {first['msg']}; name the folder of a training run"
        ) from fault


def model_of(start: Path) -> Model:
    """The codec network of a bundle or of the folder of a run.

    Raises
    ------
    CheckpointError, BundleError
        There is none, or it is damaged.
    """
    if not is_bundle(start):
        return read_config(start).model
    codec = Bundle.open(start).codec
    named = {"arch": codec.arch, "channels": codec.channels, "levels": codec.levels}
    return Model.model_validate(named)


def load_start(config: TrainConfig, system: System) -> None:
    """Put the codec that ``start`` names into a system, and the density of a run.

    Raises
    ------
    CheckpointError, BundleError
        It is missing, damaged, or of another network.
    """
    assert config.start
    if is_bundle(config.start):
        load_bundle(config.start, system.codec)
        return
    path = start_path(config.start)
    state = read(path)
    try:
        system.codec.load_state_dict(state["codec"])
        system.density.load_state_dict(state["density"])
    except RuntimeError as fault:
        raise CheckpointError(
            f"{path}: of another network than this configuration's; "
            "take arch, channels and levels of [model] from the run it belongs to"
        ) from fault


def start_path(start: Path) -> Path:
    """The file that tells two starts apart: a bundle's manifest, or a run's checkpoint."""
    if is_bundle(start):
        return start / MANIFEST
    return start / NAME if start.is_dir() else start


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as fault:
        raise CheckpointError(
            f"{path}: {fault.strerror}; correct the path in the configuration"
        ) from fault


def load_weights(system: System, state: dict[str, Any]) -> None:
    """Put a checkpoint's weights, and the names of the head's classes, into a system.

    Raises
    ------
    CheckpointError
        They are of another network.
    """
    try:
        system.codec.load_state_dict(state["codec"])
        system.density.load_state_dict(state["density"])
        if state["head"] is not None:
            system.head.load_state_dict(state["head"])
    except RuntimeError as fault:
        raise CheckpointError(
            "the checkpoint is of another network; give the configuration it was trained with"
        ) from fault
    system.head.labels = tuple(state.get("labels", system.head.labels))
