"""What a check is given, and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from tactic_codec.bundle import Bundle
from tactic_codec.config import load
from tactic_codec.errors import ConfigError, TacticError
from tactic_device.coder import Coder, find_geometry, find_level
from tactic_device.config import DeviceConfig
from tactic_device.encoders.selection import Choice, choose
from tactic_device.service.system import System
from tactic_device.slots import Slots
from tactic_device.trusted import open_bundle

State = Literal["good", "warning", "fault", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check says.

    Attributes
    ----------
    state : str
        ``fault``: the node does not work so, or loses frames. ``warning``: it works, but not for
        a year. ``skipped``: another fault is in the way, or there is nothing to look at.
    text : str
        One sentence.
    remedy : str or None
        The command that mends it.
    """

    state: State
    text: str
    remedy: str | None = None


@dataclass
class Case:
    """The node that is looked at.

    Attributes
    ----------
    path : Path
        Its configuration.
    root : Path
        Of the system that it runs on.
    visits : dict
        What the broker said, by what was asked of it.
    """

    path: Path
    root: Path
    visits: dict[str, object] = field(default_factory=dict)
    system: System = field(init=False)

    def __post_init__(self) -> None:
        self.system = System(self.root)

    @cached_property
    def config(self) -> DeviceConfig | ConfigError:
        """The configuration, or what is wrong with it."""
        try:
            return load(self.path, DeviceConfig)
        except ConfigError as fault:
            return fault

    @cached_property
    def bundle(self) -> Bundle | TacticError:
        """The bundle that the node would run, or what is wrong with it."""
        if isinstance(self.config, ConfigError):
            return self.config
        try:
            return open_bundle(self.config.bundle)
        except TacticError as fault:
            return fault

    @cached_property
    def slot(self) -> Path | None:
        """The slot in use, where a bundle came over the air."""
        if isinstance(self.config, ConfigError) or self.config.bundle.slots is None:
            return None
        slots = self.config.bundle.slots
        return Slots(slots).current if slots.is_dir() else None

    @cached_property
    def choice(self) -> Choice | TacticError:
        """The encoder's runtime as the node would choose it."""
        if isinstance(self.config, ConfigError):
            return self.config
        if isinstance(self.bundle, TacticError):
            return self.bundle
        settings = self.config.encoder
        try:
            level = find_level(self.bundle, settings.level)
            return choose(self.bundle, level, settings.runtime, settings.threads)
        except TacticError as fault:
            return fault

    @cached_property
    def coder(self) -> Coder | TacticError:
        """Pictures to packets as the node would make them, without a budget."""
        if isinstance(self.config, ConfigError):
            return self.config
        if isinstance(self.bundle, TacticError):
            return self.bundle
        if isinstance(self.choice, TacticError):
            return self.choice
        settings = self.config.encoder
        try:
            geometry = find_geometry(self.bundle, settings.geometry)
            level = find_level(self.bundle, settings.level)
            return Coder(self.bundle, self.choice.encoder, geometry, level)
        except TacticError as fault:
            return fault


Check = Callable[[Case], Finding]
NodeCheck = Callable[[Case, DeviceConfig], Finding]
CoderCheck = Callable[[Case, DeviceConfig, Coder], Finding]


def good(text: str) -> Finding:
    """Nothing is wrong."""
    return Finding("good", text)


def fault(text: str, remedy: str) -> Finding:
    """The node does not work so."""
    return Finding("fault", text, remedy)


def warning(text: str, remedy: str) -> Finding:
    """It works, but something is amiss."""
    return Finding("warning", text, remedy)


def skipped(text: str) -> Finding:
    """It cannot be looked at."""
    return Finding("skipped", text)


def with_config(check: NodeCheck) -> Check:
    """A check that needs a configuration."""

    def run(case: Case) -> Finding:
        config = case.config
        if isinstance(config, ConfigError):
            return skipped("the configuration cannot be read")
        return check(case, config)

    return run


def with_coder(check: CoderCheck) -> Check:
    """A check that needs an encoder that works."""

    def run(case: Case) -> Finding:
        config, coder = case.config, case.coder
        if isinstance(config, ConfigError):
            return skipped("the configuration cannot be read")
        if isinstance(coder, TacticError):
            return skipped("the encoder does not run yet")
        return check(case, config, coder)

    return run
