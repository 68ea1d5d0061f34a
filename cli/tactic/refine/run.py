"""``tactic refine calibrate``: measure, choose on one half, judge on the other, say what to set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from tactic.evaluate import about
from tactic.evaluate.errors import EvaluationError, OutputError
from tactic.evaluate.pictures import open_album
from tactic.refine.policy import Judgement, Plan, choose, halves, judge
from tactic.refine.traces import Measuring, Traces, read, write
from tactic_codec.bundle import Bundle
from tactic_gateway.task import Classifier, open_task

_MOST_PHOTOS = 1 << 16


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be measured; as the options of the command."""

    bundle: Path
    data: str
    match: str
    limit: int | None


def run_calibrate(
    wanted: Wanted, budgets: Sequence[int], kept: Path | None, as_json: bool, out: Path | None
) -> None:
    """Print what to set for each budget, and what it is worth.

    Parameters
    ----------
    wanted : Wanted
    budgets : sequence of int
        Mean bytes a frame.
    kept : Path or None
        File of traces.
    as_json : bool
    out : Path or None

    Raises
    ------
    TacticError
        One line that names the cause and the remedy.
    """
    traces = _traces(wanted, kept)
    chosen_on, judged_on = halves(len(traces.clean))
    rows = []
    for budget_bytes in budgets:
        plan = choose(traces, chosen_on, budget_bytes)
        rows.append((budget_bytes, plan, judge(traces, plan, chosen_on, judged_on)))
    result = _result(wanted, traces, rows)
    if out:
        _keep(result, out)
    if as_json:
        print(json.dumps(result))
    else:
        _show(result)


def key_of(wanted: Wanted) -> str:
    """A name for traces: the same for the same bundle and pictures.

    Raises
    ------
    BundleError
        The bundle is missing or was changed.
    """
    said = [Bundle.open(wanted.bundle).digest, wanted.data, wanted.match, wanted.limit]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def _traces(wanted: Wanted, kept: Path | None) -> Traces:
    key = key_of(wanted)
    if kept and kept.exists():
        return read(kept, key)
    bundle = Bundle.open(wanted.bundle)
    heads = [head for head in bundle.manifest.heads if head.task == "classification"]
    if not heads:
        raise EvaluationError(f"{bundle.path}: no head of classification says how sure it is")
    head = open_task(bundle, heads[0], threads=1, top=1)
    assert isinstance(head, Classifier), "chosen by its task"
    limit = min(wanted.limit or _MOST_PHOTOS, _MOST_PHOTOS)
    stride = bundle.codec.stride
    album = open_album(wanted.data, wanted.match, limit, stride, head.labels, head.task)
    if not album.labelled or len(album.items) < 4:
        raise EvaluationError(f"{wanted.data}: at least four pictures with classes are needed")
    album.check()
    measuring = Measuring(bundle, head)
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("photos", total=len(album.items))
        found = measuring.run(album, key, lambda n: bar.advance(task, n))
    if kept:
        write(kept, found)
    return found


def _result(
    wanted: Wanted, traces: Traces, rows: Sequence[tuple[int, Plan, Judgement]]
) -> dict[str, Any]:
    levels = enumerate(zip(traces.level_bytes, traces.right, strict=True))
    return {
        "bundle": str(wanted.bundle),
        "data": wanted.data,
        "match": wanted.match,
        "photos": len(traces.clean),
        "clean_accuracy": float(traces.clean.mean()),
        "levels": [
            {"level": level, "mean_bytes": float(size.mean()), "accuracy": float(right.mean())}
            for level, (size, right) in levels
        ],
        "budgets": [
            {"budget_bytes": budget, "set": _keys(traces, plan, budget), **asdict(judgement)}
            for budget, plan, judgement in rows
        ],
        "commit": about.commit(),
        "date": about.date(),
    }


def _keys(traces: Traces, plan: Plan, budget_bytes: int) -> dict[str, dict[str, float]]:
    """What to put into the two configurations."""
    first = traces.firsts[plan.first]
    threshold = round(plan.threshold, 4)
    return {
        "device [encoder]": {"level": first.level},
        "device [refine]": {"first_layers": first.layers},
        "gateway [refine]": {"threshold": threshold, "budget_bytes": float(budget_bytes)},
    }


def _show(result: dict[str, Any]) -> None:
    print(f"{result['photos']} photos, half to choose, half to judge")
    print(f"uncompressed: {result['clean_accuracy']:.1%} right")
    for each in result["levels"]:
        print(f"  level {each['level']}: {each['mean_bytes']:5.0f} B  {each['accuracy']:.1%}")
    for row in result["budgets"]:
        print(f"\nbudget {row['budget_bytes']} bytes a frame")
        for where, keys in row["set"].items():
            text = ", ".join(f"{name} = {value:g}" for name, value in keys.items())
            print(f"  {where}: {text}")
        print(
            f"  on the other half: {row['mean_bytes']:.0f} B, {row['accuracy']:.1%} right, "
            f"{row['asked']:.0%} asked for"
        )
        for name, words in (("level", "best level"), ("mixture", "best mixture of levels")):
            gain, low, high = (100 * each for each in row[f"over_{name}"])
            saved, least, most = (100 * each for each in row[f"fewer_than_{name}"])
            print(
                f"  {words}: {row[name]:.1%}; refinement {gain:+.1f} points "
                f"({low:+.1f} to {high:+.1f}), at equal accuracy {saved:.0f} % fewer bytes "
                f"({least:.0f} to {most:.0f})"
            )


def _keep(result: dict[str, Any], out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    except OSError as fault:
        raise OutputError(f"{out}: {fault.strerror}; choose another --out") from fault
