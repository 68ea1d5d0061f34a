"""Results of ``tactic eval`` read back from their files, as far as a figure needs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tactic.evaluate.errors import EvaluationError

_REMEDY = "name a file that tactic eval --out wrote"


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Point(_Lenient):
    """One point of a curve."""

    bytes: float = Field(gt=0)
    accuracy: float = Field(ge=0, le=1)
    accuracy_interval: tuple[float, float]
    envelope: bool


class Result(_Lenient):
    """One result; ``curves`` by codec."""

    n: int = Field(gt=0)
    bundle: str
    head: str
    accuracy_of: Literal["class", "pixel", "agreement"]
    clean_accuracy: float = Field(ge=0, le=1)
    curves: dict[str, Annotated[tuple[Point, ...], Field(min_length=1)]] = Field(min_length=1)
    data: str = ""
    match: str = ""


def read(paths: Sequence[Path]) -> list[Result]:
    """Read results of the same pictures.

    Raises
    ------
    EvaluationError
        A file is missing or no result, or they are of different pictures or heads.
    """
    results = [_read(path) for path in paths]
    for path, result in zip(paths, results, strict=True):
        if _judged(result) != _judged(results[0]):
            raise EvaluationError(
                f"{path}: of other pictures or another head than {paths[0]}; draw them apart"
            )
    return results


def _judged(result: Result) -> tuple[object, ...]:
    pictures = result.n, result.data, result.match
    return *pictures, result.clean_accuracy, result.accuracy_of, result.head


def _read(path: Path) -> Result:
    try:
        return Result.model_validate_json(path.read_bytes())
    except OSError as fault:
        raise EvaluationError(f"{path}: {fault.strerror}; {_REMEDY}") from fault
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise EvaluationError(f"{path}: {where}: {first['msg']}; {_REMEDY}") from fault
