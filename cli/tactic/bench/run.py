"""Measures everything in turn, round by round, so that a busy machine is busy for all alike."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tactic.bench import rivals, start
from tactic.bench.path import Way, small_way, way
from tactic.evaluate import about
from tactic_codec.bundle import Bundle
from tactic_codec.errors import ConfigError

Pixels = NDArray[np.uint8]
Calls = dict[str, Callable[[], object]]


def run_bench(
    path: Path,
    small: Path | None,
    runtime: str,
    sizes: list[str],
    rounds: int,
    watts: float,
    *,
    as_json: bool,
) -> None:
    """Measure and print.

    Raises
    ------
    TacticError
        A bundle or a size that cannot be used.
    """
    bundle = Bundle.open(path)
    cv2.setNumThreads(1)
    every = os.cpu_count() or 1
    _say("nothing yet: the head is made int8")
    head = rivals.quantised(bundle)
    found: dict[str, Any] = {}
    for size in sizes:
        picture = picture_of(bundle, size)
        one = _measure(bundle, small, head, runtime, picture, rounds, 1)
        found[size] = one | {"energy_mj": _energy(one, watts)}
        found[size]["all_threads"] = _measure(bundle, small, head, runtime, picture, rounds, every)
    _say("start and memory of a node")
    picture = picture_of(bundle, "640x480")
    starts = [start.run_node(path, picture, "litert", 1) for _ in range(3)]
    result = {
        "machine": about.machine(),
        "commit": about.commit(),
        "date": about.date(),
        "bundle": bundle.manifest.name,
        "level": bundle.manifest.default_level,
        "qualities": rivals.QUALITIES,
        "webp_method": rivals.WEBP_METHOD,
        "avif_speed": rivals.AVIF_SPEED,
        "rounds": rounds,
        "all_threads": every,
        "load": os.getloadavg()[0],
        "watts": watts,
        "sizes": found,
        "rss_mb": start.run_node(path, picture, "litert", start.FRAMES).rss_mb,
        "first_frame_s": min(each.seconds for each in starts),
        "first_frame_cpu_s": min(each.cpu_s for each in starts),
    }
    print(json.dumps(result, indent=None if as_json else 1) if as_json else _text(result))


def picture_of(bundle: Bundle, size: str) -> Pixels:
    """Crops of the bundle's probe photos side by side, mirrored: as busy as photos are.

    Raises
    ------
    ConfigError
        Not a size.
    """
    try:
        width, height = (int(part) for part in size.split("x"))
    except ValueError:
        raise ConfigError(f"--size {size}: give it as WIDTHxHEIGHT") from None
    frames, _ = bundle.probe()
    block = np.concatenate([frames[0], frames[-1][:, ::-1]], axis=1)
    block = np.concatenate([block, block[::-1, ::-1]], axis=0)
    down, across = -(-height // block.shape[0]), -(-width // block.shape[1])
    return np.ascontiguousarray(np.tile(block, (down, across, 1))[:height, :width])


def _measure(
    bundle: Bundle,
    small: Path | None,
    head: bytes,
    runtime: str,
    picture: Pixels,
    rounds: int,
    threads: int,
) -> dict[str, Any]:
    height, width = picture.shape[:2]
    _say(f"{width}x{height}, {threads} threads")
    geometry = _nearest(bundle, height, width)
    ours, used = way(bundle, geometry, runtime, threads)
    litert = ours if used == "litert" else way(bundle, geometry, "litert", threads)[0]
    if small is None:
        smaller = small_way(bundle, geometry, used, threads)
    else:
        other = Bundle.open(small)
        smaller, _ = way(other, _nearest(other, height, width), runtime, threads)
    calls = _calls(ours, litert, smaller, rivals.Head(head, threads), picture, threads)
    stages = dict(ours.stages(picture))
    clock = time.process_time if threads == 1 else time.perf_counter
    timed = calls | {f"stage {name}": call for name, call in stages.items()}
    times = _time(timed, rounds, clock)
    encoded = rivals.encoders(threads)
    return {
        "runtime": used,
        **{f"{name}_ms": times[name] for name in calls},
        "stages": {name: times[f"stage {name}"] for name in stages},
        "bytes": {
            "tactic": ours.packet_bytes(picture),
            "small": smaller.packet_bytes(picture),
            **{name: len(encode(picture)) for name, encode in encoded.items()},
        },
    }


def _calls(
    ours: Way, litert: Way, smaller: Way, head: rivals.Head, picture: Pixels, threads: int
) -> Calls:
    found: Calls = {
        "tactic": lambda: ours.whole(picture),
        "tactic_litert": lambda: litert.whole(picture),
        "small": lambda: smaller.whole(picture),
    }
    for name, encode in rivals.encoders(threads).items():
        found[name] = partial(encode, picture)
    found["head"] = lambda: head(picture)
    return found


def _time(calls: Calls, rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    """Median of each, milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            began_s = clock()
            call()
            if number:  # the first round warms up
                times[name].append(clock() - began_s)
    return {name: round(1e3 * statistics.median(each), 3) for name, each in times.items()}


def _nearest(bundle: Bundle, height: int, width: int) -> int:
    """The bundle's geometry whose area is nearest to a picture's."""
    areas = [g.height * g.width for g in bundle.codec.geometries]
    return min(range(len(areas)), key=lambda n: abs(areas[n] - height * width))


def _energy(times: dict[str, Any], watts: float) -> dict[str, float]:
    """Processor time times power, millijoules a picture."""
    return {
        name.removesuffix("_ms"): round(value * watts, 3)
        for name, value in times.items()
        if name.endswith("_ms")
    }


def _text(result: dict[str, Any]) -> str:
    lines = [f"{result['machine']}, load {result['load']:.1f}; milliseconds a picture"]
    for size, one in result["sizes"].items():
        for name, of in (("one thread", one), ("all threads", one["all_threads"])):
            times = "  ".join(f"{k[:-3]} {v:.2f}" for k, v in of.items() if k.endswith("_ms"))
            lines.append(f"{size} {name} ({of['runtime']}): {times}")
        stages = "  ".join(f"{name} {value:.2f}" for name, value in one["stages"].items())
        lines.append(f"{size} stages: {stages}")
        lines.append(f"{size} bytes: {one['bytes']}")
    lines.append(
        f"memory with LiteRT {result['rss_mb']} MB; first frame after {result['first_frame_s']} s, "
        f"of which {result['first_frame_cpu_s']} s of processor time"
    )
    return "\n".join(lines)


def _say(text: str) -> None:
    print(f"measuring {text}", file=sys.stderr)
