"""What ``tactic export`` makes of its options."""

from __future__ import annotations

import re
from pathlib import Path

from tactic_codec.errors import ConfigError

DEFAULT_GEOMETRIES = (
    "224x224",
    "128x128",
    "160x160",
    "320x240",
    "480x352",
    "640x480",
    "1280x720",
    "1920x1072",
)


def run_export(
    run: Path,
    out: Path,
    geometries: list[str],
    level: int,
    report: tuple[str, str] | None,
    license_file: Path | None,
) -> None:
    """Export and print the parity report.

    Raises
    ------
    TacticError
        One line that names the cause and the remedy.
    """
    from rich.console import Console

    from tactic_export.bundle import Plan
    from tactic_export.run import export, load_run

    console = Console(stderr=True)
    sizes = tuple(_size(text) for text in geometries or DEFAULT_GEOMETRIES)
    plan = Plan(out.name, _head_name(load_run(run)[0].head.name), sizes, level, license_file)
    parity = export(run, out, plan, report, lambda line: console.print(f"export: {line}"))
    print(f"bundle: {out}")
    for name, value in parity.rows() if parity else []:
        print(f"  {name:<52} {value}")


def _head_name(name: str) -> str:
    """What a manifest takes: torchvision:resnet18 → resnet18, my_heads:small → my_heads_small."""
    return re.sub(r"[^a-z0-9_-]+", "_", name.removeprefix("torchvision:").lower())[:32]


def _size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT → (height, width)."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise ConfigError(f"--geometry {text}: write WIDTHxHEIGHT, for example 640x480")
    return int(match[2]), int(match[1])
