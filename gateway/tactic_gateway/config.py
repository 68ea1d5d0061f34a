"""``gateway.toml`` as typed models; ``gateway.example.toml`` shows every key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from tactic_codec import config
from tactic_codec.broker import Mqtt
from tactic_codec.config import LocalPath, Section
from tactic_codec.trusting import TrustSettings
from tactic_delivery.refinement import Policy

Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]


class Gateway(Section):
    """``[gateway]``: which site this gateway serves.

    ``keys`` is a folder with a file ``NODE.key`` for every node that seals its packets.
    """

    site: Name
    keys: LocalPath | None = None
    health_interval_s: float = Field(default=60.0, ge=1.0, le=3600.0)


class Bundles(TrustSettings):
    """``[bundles]``: the bundles whose frames this gateway can decode, and whose they may be."""

    paths: Annotated[tuple[LocalPath, ...], Field(min_length=1)]


class StoreSection(Section):
    """``[store]``: the database.

    With less than ``min_free_bytes`` free on its disk nothing is stored or acknowledged, and
    nodes wait.
    """

    path: LocalPath
    min_free_bytes: int = Field(default=64 << 20, ge=1 << 20)


Days = Annotated[float, Field(gt=0.0, le=36_500.0)]


class Retention(Section):
    """``[retention]``: what is deleted; without it nothing is.

    Days are one number for each class, from priority 0 to 3 (alarm). Above ``max_bytes`` the
    lowest class goes first, and of it what is oldest.
    """

    max_bytes: int | None = Field(default=None, ge=1 << 20)
    packets_days: tuple[Days, Days, Days, Days] | None = None
    results_days: tuple[Days, Days, Days, Days] | None = None


class Workers(Section):
    """``[workers]``: the processes that decode. A batch holds frames of one size.

    ``batch_limit_s`` and ``memory_limit_bytes`` are what a batch may take: a process that needs
    more is ended, started again, and its frames are tried one by one. From half of
    ``max_backlog`` frames on that are not decoded yet, nodes are slowed down; at the whole of it
    they wait.
    """

    processes: int = Field(default=1, ge=1, le=64)
    batch: int = Field(default=8, ge=1, le=256)
    batch_wait_ms: float = Field(default=5.0, ge=0.0, le=1000.0)
    batch_limit_s: float = Field(default=60.0, ge=1.0, le=3600.0)
    memory_limit_bytes: int = Field(default=2 << 30, ge=256 << 20, le=1 << 46)
    max_backlog: int = Field(default=100_000, ge=100, le=1_000_000_000)


class Results(Section):
    """``[results]``: what a result holds."""

    top: int = Field(default=5, ge=1, le=100)


class Refining(Section):
    """``[refine]``: asking nodes for the ends that were left off frames.

    A frame is asked for where the score of its best class is below ``threshold`` (0: never), as
    long as its node's mean bytes a frame stay within ``budget_bytes``. Frames are gathered for
    ``gather_s``, so that one command names many, and given up after ``deadline_s``.
    """

    threshold: float = Field(default=0.0, ge=0.0, le=1.0)
    budget_bytes: float | None = Field(default=None, ge=24.0)
    gather_s: float = Field(default=1.0, ge=0.0, le=600.0)
    deadline_s: float = Field(default=60.0, ge=1.0, le=3600.0)

    @property
    def policy(self) -> Policy:
        """As the state machine takes it."""
        deadline_ns = int(self.deadline_s * 1e9)
        return Policy(
            self.threshold,
            self.budget_bytes,
            gather_ns=int(self.gather_s * 1e9),
            repeat_ns=deadline_ns // 3,
            deadline_ns=deadline_ns,
        )


class Gating(Section):
    """``[gating]``: telling nodes with change gating how near an answer is to another one.

    An answer whose best class has a score below ``limit`` counts as none; with 0 every answer
    counts. Without ``limit`` nodes are told nothing.
    """

    limit: float | None = Field(default=None, ge=0.0, lt=1.0)


class GatewayConfig(Section):
    """The whole file."""

    gateway: Gateway
    bundles: Bundles
    store: StoreSection
    retention: Retention = Retention()
    mqtt: Mqtt = Mqtt()
    workers: Workers = Workers()
    results: Results = Results()
    refine: Refining = Refining()
    gating: Gating = Gating()


def load(path: Path) -> GatewayConfig:
    """Read ``gateway.toml``; relative paths start at its folder.

    Raises
    ------
    ConfigError
        One line with file, line, key and remedy.
    """
    return config.load(path, GatewayConfig)
