"""Everything of a site is killed and comes back, in every order: within 15 s frames flow again."""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from rig import subscriber
from rig.child import Child
from tactic.demo.broker import free_port, mosquitto
from tactic.store.run import run_audit
from tactic_device.link_config import Sending
from tactic_device.uplink import LAST_RETRY_S
from tactic_gateway.mqtt import LAST_RETRY_S as GATEWAY_LAST_RETRY_S

if TYPE_CHECKING:
    from conftest import Site

AVAILABLE_S = 15.0
NAMES = ("broker", "gateway", "device", "subscriber")
#: `TACTIC_RESTART_STEP=1` tries all 24 orders; it takes some minutes.
ORDERS = list(permutations(NAMES))[:: int(os.environ.get("TACTIC_RESTART_STEP", "9"))]

needs_mosquitto = pytest.mark.skipif(mosquitto() is None, reason="mosquitto is not installed")


class Town:
    """Four processes, each of which can be taken down and up again."""

    def __init__(self, site: Site, stack: ExitStack) -> None:
        self.site = site
        self.port = free_port()
        source = {"fps": 10.0, "loop": True, "drain_s": 30.0}
        site.configure(self.port, source=source, sending={"start_within_s": 2.0})
        (site.folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\n"
        )
        tactic = [sys.executable, "-m", "tactic"]
        commands = {
            "broker": [mosquitto() or "", "-c", "mosquitto.conf"],
            "gateway": [*tactic, "gateway", "run", "--config", "gateway.toml"],
            "device": [*tactic, "device", "run", "--config", "device.toml"],
            "subscriber": [sys.executable, subscriber.__file__, str(self.port)],
        }
        self.children: dict[str, Child] = {}
        for name, command in commands.items():
            self.children[name] = child = Child(command, site.folder, name)
            stack.callback(child.remove)
        self._is_up: dict[str, Callable[[], object]] = {
            "broker": self._listens,
            "gateway": lambda: self.children["gateway"].events("gateway_ready"),
            "device": lambda: self.children["device"].events("started"),
            "subscriber": lambda: self.children["subscriber"].events("running"),
        }

    def restart(self, order: tuple[str, ...]) -> float:
        """Take everything down, and up in this order.

        Returns how long it takes from the moment at which the last one runs until a frame that
        was captured since has its result.
        """
        for child in self.children.values():
            assert not child.ended, f"it ended by itself: {child.log.read_text()[-2000:]}"
            child.down()
        for name in order:
            self.children[name].up()
            self.site.wait_for(self._is_up[name], name)
        begun_s = time.monotonic()
        self.site.wait_for(self.answered, "a result of a frame that was captured since")
        return time.monotonic() - begun_s

    def answered(self) -> bool:
        """Whether the subscriber has heard of a frame of the node's running boot."""
        started = self.children["device"].events("started")
        boots = {event["boot"] for event in self.children["subscriber"].events("result")}
        return bool(started) and started[-1]["boot"] in boots

    def _listens(self) -> bool:
        with closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def town(site: Site) -> Iterator[Town]:
    with ExitStack() as stack:
        yield Town(site, stack)


@needs_mosquitto
def test_in_every_order(town: Town) -> None:
    site, device = town.site, town.children["device"]
    site.wait_for(town.answered, "the first result")
    for order in ORDERS:
        taken_s = town.restart(order)
        print(f"{' '.join(order)}: {taken_s:.1f} s")
        assert taken_s <= AVAILABLE_S, order
    assert device.end() == 0
    # One more run with an end, for what is still on its way.
    site.configure(town.port, source={"fps": 10.0, "limit": 3, "drain_s": 30.0})
    device.up()
    assert device.wait() == 0
    ledger = device.events("stopped")[-1]["ledger"]
    everything = ledger["captured"]
    assert ledger == {"captured": everything, "stored": everything, "dropped": {}, "pending": 0}
    query = "SELECT count(*), count(DISTINCT boot << 32 | seq) FROM results"
    with closing(sqlite3.connect(site.folder / "gateway.db")) as db:
        site.wait_for(
            lambda: db.execute(query).fetchone() == (everything, everything), "every result, once"
        )
    assert town.children["gateway"].end() == 0
    run_audit(site.folder / "gateway.toml", "cam1", site.folder / "outbox", as_json=False)
    logs = "".join(child.log.read_text() for child in town.children.values())
    assert "Traceback" not in logs


def test_nobody_waits_longer_however_long_a_broker_was_away() -> None:
    after_s = max(LAST_RETRY_S, GATEWAY_LAST_RETRY_S) + Sending().start_within_s
    assert after_s < AVAILABLE_S
