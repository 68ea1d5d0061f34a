"""One figure of a preset, changed: for sweeps."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

from pydantic import ValidationError

from tactic_link.errors import LinkError
from tactic_link.preset import Preset
from tactic_link.scenario import with_orbit

_REMEDY = "give KEY=VALUE,VALUE,… such as fps=0.1,1 or up.rate=4.8,9.6"


@dataclass(frozen=True, slots=True)
class Varied:
    """What is varied, and its values.

    Attributes
    ----------
    key : str
        ``mask``, the dotted name of a figure of the preset, or whatever the caller knows.
    values : tuple of float
    """

    key: str
    values: tuple[float, ...]

    def preset(self, preset: Preset, value: float) -> Preset:
        """The preset with one value, in the unit that the figure has there.

        Raises
        ------
        LinkError
            The preset has no such figure, or the value is out of its range.
        """
        if self.key == "mask":
            return with_orbit(preset, mask_deg=value)
        data = preset.model_dump()
        _figure(data, self.key)["value"] = value
        try:
            return Preset.model_validate(data)
        except ValidationError as fault:
            line = fault.errors(include_url=False)[0]["msg"]
            raise LinkError(f"{self.key}={value:g}: {line}") from fault


def read_vary(text: str) -> Varied:
    """Read ``KEY=VALUE,VALUE,…``.

    Raises
    ------
    LinkError
        The text is something else.
    """
    key, _, values = text.partition("=")
    try:
        numbers = tuple(float(value) for value in values.split(","))
    except ValueError as fault:
        raise LinkError(f"--vary {text!r}: {_REMEDY}") from fault
    if not key or not all(map(isfinite, numbers)):
        raise LinkError(f"--vary {text!r}: {_REMEDY}")
    return Varied(key, numbers)


def _figure(data: dict[str, Any], key: str) -> dict[str, Any]:
    found: Any = data
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if not isinstance(found, dict) or "unit" not in found:
        raise LinkError(
            f"--vary {key}: not days, nodes, fps, outbox or mask, and no figure of the preset; "
            "tactic link presets NAME lists those"
        )
    return found
