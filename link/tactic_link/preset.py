"""What a preset file says about a link. `presets/` has those that come with tactic."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tactic_codec.config import LocalPath, Section, load
from tactic_link.errors import LinkError
from tactic_link.figure import (
    Angle,
    Count,
    Frequency,
    Money,
    Power,
    Rate,
    Share,
    Size,
    Time,
)

FOLDER = Path(__file__).parent / "presets"


class Way(Enum):
    """Direction: UP from the node to the gateway, whichever of them is in orbit."""

    UP = "up"
    DOWN = "down"


class LoRa(Section):
    """A LoRa modem: the time on air follows from these."""

    spreading_factor: Count
    bandwidth: Frequency
    coding_rate: Count
    preamble: Count


class Burst(Section):
    """Gilbert–Elliott: a link that is good and bad by turns, each for random times of these means.

    ``loss`` holds while it is bad, beside the random loss.
    """

    good: Time
    bad: Time
    loss: Share


class Direction(Section):
    """One direction.

    ``mtu`` bytes fit into one datagram or IP packet, which takes ``overhead`` bytes more on air.
    Each takes ``setup`` before its bytes, arrives ``delay`` after its end, give or take
    ``jitter``, or is lost.
    """

    rate: Rate | None = None
    lora: LoRa | None = None
    mtu: Size
    overhead: Size
    setup: Time | None = None
    delay: Time
    jitter: Time | None = None
    loss: Share | None = None
    burst: Burst | None = None

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if (self.rate is None) == (self.lora is None):
            raise ValueError("needs either rate or lora")
        return self


class Answers(Section):
    """The ground can speak only once after each datagram of the node, ``delay`` after its end."""

    delay: Time


class Budget(Section):
    """The node may send for ``airtime`` in any ``window``; an ``optional`` one only on request."""

    name: str
    airtime: Time
    window: Time
    optional: bool = False


class Price(Section):
    """What is paid: for each message, megabyte both ways, credit, session, and each month.

    A credit pays for ``credit_size`` bytes of one message; an empty message costs one as well.
    """

    message: Money | None = None
    megabyte: Money | None = None
    credit: Money | None = None
    credit_size: Size | None = None
    session: Money | None = None
    month: Money | None = None

    @model_validator(mode="after")
    def _credit_has_a_size(self) -> Self:
        if (self.credit is None) != (self.credit_size is None):
            raise ValueError("credit and credit_size belong together")
        return self


class Always(Section):
    """There is always contact."""

    kind: Literal["always"]


class Cycle(Section):
    """Contact for ``on``, none for ``off``, and so on."""

    kind: Literal["cycle"]
    on: Time
    off: Time


class Station(Section):
    """A ground station."""

    name: str
    latitude_deg: float = Field(ge=-90.0, le=90.0)
    longitude_deg: float = Field(ge=-180.0, le=180.0)
    altitude_m: float = Field(default=0.0, ge=-500.0, le=9000.0)


class Orbit(Section):
    """Contact while a satellite stands above ``mask`` over one of the stations.

    ``elements`` is a file of two-line elements or of OMM as JSON; ``satellite`` a name in it.
    """

    kind: Literal["orbit"]
    elements: LocalPath
    satellite: str | None = None
    mask: Angle
    stations: Annotated[tuple[Station, ...], Field(min_length=1)]


class TableFile(Section):
    """Contacts from a table: CSV with the columns start_s, end_s and, if wanted, rate_bps."""

    kind: Literal["table"]
    path: LocalPath


Contact = Annotated[Always | Cycle | Orbit | TableFile, Field(discriminator="kind")]


class Preset(Section):
    """A link.

    ``bearer`` is ``ip`` (MQTT) or ``datagram`` (packets cut to size, and a bridge on the ground).
    ``shared``: all nodes of a simulation share it. ``half_duplex``: it carries one direction at a
    time and needs ``turnaround`` between. ``confirmed``: the modem repeats lost datagrams.
    """

    title: str
    about: str
    bearer: Literal["ip", "datagram"]
    shared: bool = False
    half_duplex: bool = False
    turnaround: Time | None = None
    confirmed: bool = False
    up: Direction
    down: Direction
    answers: Answers | None = None
    contact: Contact
    budgets: tuple[Budget, ...] = ()
    price: Price = Price()
    transmit: Power

    @model_validator(mode="after")
    def _answers_are_datagrams(self) -> Self:
        if self.bearer == "ip" and (self.answers or self.confirmed):
            raise ValueError("answers and confirmed belong to the bearer datagram")
        return self

    def way(self, way: Way) -> Direction:
        """One of its directions."""
        return self.up if way is Way.UP else self.down


def names() -> list[str]:
    """Names of the presets that come with tactic."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def open_preset(name: str) -> Preset:
    """Read a preset.

    Parameters
    ----------
    name : str
        One of :func:`names`, or the path of a file that ends with ``.toml``.

    Raises
    ------
    ConfigError
        The file cannot be read or says something impossible.
    LinkError
        There is no preset of this name.
    """
    if name.endswith(".toml"):
        return load(Path(name), Preset)
    if name not in names():
        raise LinkError(
            f"no preset {name!r}; choose from {', '.join(names())}, or give a .toml file"
        )
    return load(FOLDER / f"{name}.toml", Preset)
