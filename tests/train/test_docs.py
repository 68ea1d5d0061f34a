"""The configuration reference names every field there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from tactic_train.config import Data, HeadConfig, Model, Stage, TrainConfig

REFERENCE = (Path(__file__).parents[2] / "docs/training.md").read_text()


@pytest.mark.parametrize("model", [TrainConfig, Model, HeadConfig, Data, Stage])
def test_every_field_is_documented_with_its_default(model: type[BaseModel]) -> None:
    rows = {line.split("|")[1].strip(" `"): line for line in REFERENCE.splitlines() if "|" in line}
    tables = {"TrainConfig": "", "HeadConfig": "head."}
    prefix = tables.get(model.__name__, model.__name__.lower() + ".")
    for name, field in model.model_fields.items():
        if isinstance(field.default, BaseModel) or name in {"data", "stage"}:
            continue
        row = rows[prefix + name]
        if not field.is_required() and field.default is not None:
            value = field.default
            shown = list(value) if isinstance(value, tuple) else value
            assert f"`{shown}`" in row.replace('"', ""), row
