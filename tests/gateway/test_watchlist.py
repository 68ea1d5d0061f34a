"""What nodes say is wrong with them is said once, and is in the gateway's health."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest

from tactic_gateway.keys import Keys
from tactic_gateway.log import Log
from tactic_gateway.reader import Message, read
from tactic_gateway.records import Ledger
from tactic_gateway.topics import Topics
from tactic_gateway.watchlist import Watchlist

TOPICS = Topics("tactic/v1", "yard")
ACCOUNT = {"captured": 1, "stored": 1, "pending": 0, "dropped": {}}


def health(alarms: Any) -> Ledger:
    body = json.dumps({"boot": 4096, "ledger": ACCOUNT, "alarms": alarms}).encode()
    found = read(Message(TOPICS.of("cam1", "health"), body, 5), TOPICS, Keys.load(None, "yard"))
    assert isinstance(found, Ledger)
    return found


@pytest.mark.parametrize(
    ("told", "understood"),
    [
        (["hot", "drift", "hot"], ("drift", "hot")),
        ([], ()),
        (None, ()),
        ("drift", ()),
        ([1, {"drift": 1}, "no such\nname", "x" * 40, "hot"], ("hot",)),
        ([f"a{chr(97 + n % 26)}{'b' * (n // 26)}" for n in range(100)], None),
    ],
)
def test_only_names_are_understood(told: Any, understood: tuple[str, ...] | None) -> None:
    found = health(told).alarms
    assert found == understood or (understood is None and len(found) <= 32)


def test_an_alarm_is_said_when_it_rises_and_when_it_ends() -> None:
    lines = io.StringIO()
    watchlist = Watchlist(Log(lines), most_nodes=2)
    drift = health(["drift"])
    for ledger in (health([]), drift, drift, replace(drift, node="cam2"), health(["hot"])):
        watchlist.note([ledger])
    watchlist.note([replace(drift, node="cam3")])
    assert watchlist.alarms == {"cam1": ["hot"], "cam2": ["drift"]}
    said = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [(e["event"], e["node"], e["alarm"]) for e in said] == [
        ("node_alarm", "cam1", "drift"),
        ("node_alarm", "cam2", "drift"),
        ("node_alarm", "cam1", "hot"),
        ("node_alarm_ended", "cam1", "drift"),
    ]
