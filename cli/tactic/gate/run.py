"""``tactic gate calibrate``: measure, choose, judge on what was not chosen on, say what to set."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from tactic.evaluate import about
from tactic.gate.choose import THRESHOLDS, Findings, find
from tactic.gate.clip import Clip, Measuring, key_of, read, write
from tactic.gate.replay import Figures
from tactic_codec.bundle import Bundle

_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be measured; as the options of the command."""

    bundle: Path
    clips: tuple[Path, ...]
    level: int | None
    geometry: str | None
    limit: float
    delay_s: float


def run_calibrate(wanted: Wanted, kept: Path | None, figure: Path | None, as_json: bool) -> None:
    """Print what to set, and what it is worth.

    Parameters
    ----------
    wanted : Wanted
    kept : Path or None
        Folder of measurements.
    figure : Path or None
    as_json : bool

    Raises
    ------
    TacticError
        One line that names the cause and the remedy.
    """
    found = find(measure(wanted, kept), wanted.limit, wanted.delay_s)
    if figure:
        from tactic.evaluate.plot import save
        from tactic.gate.plot import draw

        save(draw(found), figure)
    print(json.dumps(_result(wanted, found)) if as_json else _text(wanted, found))


def measure(wanted: Wanted, kept: Path | None) -> list[Clip]:
    """Send every frame of every clip, or read what that gave before.

    Raises
    ------
    TacticError
        A clip or the bundle cannot be used.
    """
    bundle, level, geometry = Bundle.open(wanted.bundle), wanted.level, wanted.geometry
    key, measuring = key_of(bundle, level, geometry), None
    console = Console(stderr=True)
    clips = []
    with Progress(console=console, disable=not console.is_terminal) as bar:
        for path in wanted.clips:
            file = kept / f"{path.stem}-{key}.npz" if kept else None
            if file and file.exists():
                clips.append(read(file, path.stem))
                continue
            measuring = measuring or Measuring(bundle, level, geometry)
            task = bar.add_task(path.stem, total=None)
            clips.append(measuring.run(path, lambda n, task=task: bar.advance(task, n)))  # type: ignore[misc]
            if file:
                write(file, clips[-1])
    return clips


def _result(wanted: Wanted, found: Findings) -> dict[str, Any]:
    return {
        "bundle": str(wanted.bundle),
        "limit": wanted.limit,
        "delay_s": wanted.delay_s,
        "set": _keys(wanted, found),
        "judged": [asdict(each) for each in found.verdicts],
        "together": asdict(found.together),
        "thresholds": THRESHOLDS,
        "clips": [asdict(each) for each in found.sweeps],
        "commit": about.commit(),
        "date": about.date(),
    }


def _keys(wanted: Wanted, found: Findings) -> dict[str, dict[str, float]]:
    """What to put into the two configurations."""
    return {
        "device [gating]": {"threshold": found.threshold},
        "gateway [gating]": {"limit": wanted.limit},
    }


def _text(wanted: Wanted, found: Findings) -> str:
    lines = [f"answers from a score of {wanted.limit:g} on, told {wanted.delay_s:g} s late"]
    for each in found.sweeps:
        lines += ["", each.name, _line("knew the answers", each.bound)]
        for n in range(0, len(THRESHOLDS), _SHOWN):
            lines.append(_line(f"threshold {THRESHOLDS[n]:.2f}", each.told[n]))
    for verdict in found.verdicts:
        lines += ["", f"{verdict.judged_on}, by what was chosen on {verdict.chosen_on}"]
        lines.append(_line(f"threshold {verdict.threshold:.2f}", verdict.figures))
    lines += ["", _line("together", found.together), "", "set, chosen on everything:"]
    for where, keys in _keys(wanted, found).items():
        lines += [f"  {where}: " + ", ".join(f"{name} = {value:g}" for name, value in keys.items())]
    return "\n".join(lines)


def _line(name: str, figures: Figures) -> str:
    return (
        f"  {name:17} {figures.fewer:6.2f} × fewer bytes  {figures.agreement:6.1%} agree  "
        f"{figures.changes_sent:4} of {figures.changes:4} changes sent ({figures.caught:4.0%})  "
        f"told {figures.told} times"
    )
