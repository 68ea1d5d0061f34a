"""What the link may carry, against what the camera gives."""

from __future__ import annotations

import time

from tactic_codec.errors import ConfigError
from tactic_device.coder import Coder
from tactic_device.config import DeviceConfig
from tactic_device.doctor import remedy
from tactic_device.doctor.base import (
    Case,
    Check,
    Finding,
    fault,
    good,
    skipped,
    with_coder,
    with_config,
)
from tactic_device.doctor.codec import chain_levels, usual_bytes
from tactic_device.link_config import Rate
from tactic_device.passes import read_passes

_DAY_S = 86400


def fits(case: Case, config: DeviceConfig, coder: Coder) -> Finding:
    """Whether the budgets carry every frame, if need be at the coarsest level."""
    rate = config.rate
    if rate.budgets is None:
        return good("no budget is set: every frame is sent")
    if not config.source.fps:
        return skipped("source.fps is 0: how many frames there will be is not known")
    last = coder.bundle.codec.levels - 1 if rate.coarsest is None else rate.coarsest
    levels = [n for n in chain_levels(coder) if n <= last] or [coder.level]
    finest, coarsest = (_frames_per_s(rate, usual_bytes(coder, n)) for n in (levels[0], levels[-1]))
    fps = config.source.fps
    if fps <= finest:
        return good(f"the budgets carry {finest:.3g} frames a second, and there are {fps:g}")
    if fps <= coarsest:
        return good(f"frames get coarser, up to level {levels[-1]}, and all of them are sent")
    return fault(
        f"of {fps:g} frames a second the budgets carry {coarsest:.3g} at the coarsest level; "
        "the others are skipped",
        remedy.set_key(case.path, "source.fps", f"{0.8 * coarsest:.3g}"),
    )


def passes(case: Case, config: DeviceConfig) -> Finding:
    """Whether the table of contacts can be read and is not over."""
    path = config.rate.passes
    if path is None:
        return skipped("no table of contacts: rate.passes is not set")
    try:
        schedule = read_passes(path, 0)
    except ConfigError as problem:
        return fault(str(problem), remedy.comment_key(case.path, "rate.passes"))
    left_s = schedule.end_ns / 1e9 - time.time()
    if left_s < 0:
        return fault(
            f"{path}: every contact is over; compute new ones (tactic link passes), "
            "or go on without",
            remedy.comment_key(case.path, "rate.passes"),
        )
    return good(f"contacts are known for {left_s / 3600:.1f} h to come")


def _frames_per_s(rate: Rate, size_bytes: int) -> float:
    """How many frames of a size the tightest budget carries."""
    whole_bytes = size_bytes + rate.overhead_bytes
    share = 1 - rate.alarm_share
    limits = [float("inf")]
    if rate.rate_bps is not None:
        limits.append(rate.rate_bps / (8 * whole_bytes))
    if rate.duty_cycle is not None:
        limits.append(rate.duty_cycle * 1e9 / rate.airtime_ns(size_bytes))
    if rate.day_bytes is not None:
        limits.append(rate.day_bytes / whole_bytes / _DAY_S)
    if rate.day_cost is not None:
        cost = rate.per_mb * whole_bytes / 1e6 + rate.per_message
        limits.append(rate.day_cost / cost / _DAY_S)
    return share * min(limits)


CHECKS: tuple[tuple[str, Check], ...] = (
    ("link.budget", with_coder(fits)),
    ("link.passes", with_config(passes)),
)
