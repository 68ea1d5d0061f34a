"""``bridge.toml`` as typed models; ``bridge.example.toml`` shows every key."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import BeforeValidator, Field, model_validator

from tactic_codec import config
from tactic_codec.broker import Mqtt
from tactic_codec.config import Place, Section, UdpPlace
from tactic_delivery.ack import LEAST_BYTES
from tactic_delivery.assembly import Caps

Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]
NodeName = Annotated[str, Field(pattern=r"^[a-z0-9-][a-z0-9_-]{0,31}$")]


class Source(NamedTuple):
    """Where a node's datagrams come from; ``port`` None: any port of that address."""

    address: str
    port: int | None

    def __str__(self) -> str:
        """Write it as a configuration does."""
        if self.port is None:
            return self.address
        return str(Place(self.address, self.port)).removeprefix("udp://")


def plain(address: str) -> str:
    """One text for each address: IPv4 that comes in on an IPv6 socket is IPv4.

    Raises
    ------
    ValueError
        It is no address.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def _read_source(text: Any) -> Any:
    if not isinstance(text, str):
        raise ValueError("write an IP address, or one with a port, ADDRESS:PORT")
    host, port = text, ""
    if text.startswith("[") or text.count(":") == 1:
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not port.isdecimal() or int(port) > 65_535:
            raise ValueError("write an IP address, or one with a port, ADDRESS:PORT")
    try:
        return Source(plain(host), int(port) if port else None)
    except ValueError as fault:
        raise ValueError("write an IP address, or one with a port, ADDRESS:PORT") from fault


class Bridge(Section):
    """``[bridge]``: where datagrams come in, and of which site the nodes are.

    Counters are written to the log every ``report_s`` in which they changed.
    """

    site: Name
    listen: UdpPlace = Place("127.0.0.1", 7000)
    report_s: float = Field(default=60.0, ge=0.1, le=86_400.0)


class Node(Section):
    """``[[nodes]]``: the link says from which node a datagram came, by its ``address``.

    A datagram to the node carries at most ``mtu_bytes``.
    """

    node: NodeName
    address: Annotated[Source, BeforeValidator(_read_source)]
    mtu_bytes: int = Field(ge=LEAST_BYTES, le=65_507)


class Assembly(Section):
    """``[assembly]``: what is held of the unfinished packets of each node.

    A packet of which nothing came for ``patience_s`` is given up. With ``beginnings`` what is
    there of the beginning of a frame is then passed on as a coarser frame; without, the node
    sends the whole again.
    """

    packets: int = Field(default=16, ge=1, le=1024)
    bytes: int = Field(default=1 << 21, ge=1 << 12, le=1 << 30)
    patience_s: float = Field(default=300.0, ge=0.1, le=604_800.0)
    beginnings: bool = True

    @property
    def caps(self) -> Caps:
        """As the state machine takes them."""
        return Caps(self.packets, self.bytes, int(self.patience_s * 1e9), self.beginnings)


class BridgeConfig(Section):
    """The whole file."""

    bridge: Bridge
    nodes: Annotated[tuple[Node, ...], Field(min_length=1, max_length=1024)]
    assembly: Assembly = Assembly()
    mqtt: Mqtt = Mqtt()

    @model_validator(mode="after")
    def _nobody_twice(self) -> Self:
        for what in ("node", "address"):
            values = [str(getattr(each, what)) for each in self.nodes]
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"two nodes with the {what} {value}; give each its own")
        return self


def load(path: Path) -> BridgeConfig:
    """Read ``bridge.toml``; relative paths start at its folder.

    Raises
    ------
    ConfigError
        One line with file, line, key and remedy.
    """
    return config.load(path, BridgeConfig)
