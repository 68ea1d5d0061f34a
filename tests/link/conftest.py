"""Links and traces that tests simulate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tactic_link.preset import Preset
from tactic_link.traces import Setting, Traces


def figure(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "source": "assumption"}


@pytest.fixture(scope="session")
def a_figure() -> Callable[[float, str], dict[str, Any]]:
    """Makes a figure of a preset."""
    return figure


@pytest.fixture(scope="session")
def a_link() -> Callable[..., Preset]:
    """Makes a preset that differs from the usual one."""
    return make_preset


def make_preset(bearer: str = "datagram", **changes: Any) -> Preset:
    """A link of 9.6 kbit/s each way without loss; ``up__loss`` changes a figure of ``up``."""
    way = {
        "rate": figure(9.6, "kbit/s"),
        "mtu": figure(200, "byte"),
        "overhead": figure(10, "byte"),
        "delay": figure(50, "ms"),
    }
    data: dict[str, Any] = {
        "title": "test",
        "about": "test",
        "bearer": bearer,
        "up": dict(way),
        "down": dict(way),
        "contact": {"kind": "always"},
        "transmit": figure(2, "W"),
    }
    for name, value in changes.items():
        place, _, key = name.rpartition("__")
        (data[place] if place else data)[key] = value
    return Preset.model_validate(data)


@pytest.fixture
def setting() -> Setting:
    """A stream that is worth half as much when half of it arrives."""
    return make_setting("tactic", 0.8, 500, share=1.0)


def make_setting(codec: str, accuracy: float, size: int, share: float | None = None) -> Setting:
    """Fifty photos of about one size, the first of which are right."""
    right = (np.arange(50) < 50 * accuracy).astype(float)
    sizes = size + 2 * (np.arange(50) % 5)
    if share is None:
        return Setting(codec, {"quality": size, "scale": 1.0}, sizes, right)
    return Setting(codec, {"level": 0, "share": share}, sizes, right, ((0.5, right / 2),))


@pytest.fixture
def traces() -> Traces:
    """Ours small and good, another one large, a third too bad to compete."""
    clean = (np.arange(50) < 45).astype(float)
    settings = (
        make_setting("tactic", 0.86, 400, share=1.0),
        make_setting("tactic", 0.70, 200, share=0.5),
        make_setting("jpeg", 0.84, 1600),
        make_setting("jpeg", 0.60, 300),
        make_setting("webp", 0.50, 100),
        Setting("head", {"answer_bytes": 2}, np.full(50, 22), clean),
    )
    return Traces(settings, clean, {"bundle": "none"})
