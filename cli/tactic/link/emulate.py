"""``tactic link proxy``: the emulator, from its start to SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import json
import signal
from dataclasses import dataclass
from random import Random
from typing import Any

from tactic_link.channel import Channel
from tactic_link.preset import Preset, Way, open_preset
from tactic_link.proxy import Proxy, place, read_place
from tactic_link.scenario import DAY_S, contacts_of
from tactic_link.tariff import cost_usd
from tactic_link.windows import Contacts, S
from tactic_link.words import duration, money, scaled


@dataclass(frozen=True, slots=True)
class Emulation:
    """What a command line says about an emulator.

    Attributes
    ----------
    preset : str
    listen, broker : str
        HOST:PORT.
    speed : float
    seed : int
    days : float
        How long contacts are known.
    fair_use : bool
    """

    preset: str
    listen: str
    broker: str
    speed: float
    seed: int
    days: float
    fair_use: bool


def run_proxy(wanted: Emulation, as_json: bool) -> None:
    """Carry bytes until SIGINT or SIGTERM, and say what went through.

    Raises
    ------
    TacticError
        The preset is missing or no IP link, or nothing can listen there.
    """
    preset = open_preset(wanted.preset)
    contacts, _ = contacts_of(preset, wanted.days * DAY_S)
    channel = Channel(preset, contacts, Random(wanted.seed), wanted.fair_use)
    broker = read_place(wanted.broker)
    link = Proxy(channel, read_place(wanted.listen), broker, wanted.speed)
    asyncio.run(_serve(link, contacts, wanted, as_json))
    result = _result(preset, channel, link)
    if as_json:
        print(json.dumps({"preset": wanted.preset, "speed": wanted.speed, **result}))
    else:
        print(_words(result))


async def _serve(link: Proxy, contacts: Contacts, wanted: Emulation, as_json: bool) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with link:
        if as_json:
            print(json.dumps({"event": "listening", "address": place(link.address)}), flush=True)
        ways = f"{place(link.address)} → {wanted.preset} → {wanted.broker}"
        _say(f"{ways}, {wanted.speed:g} × real time", as_json)
        while not stopped.is_set():
            in_contact, until_ns = _contact(contacts, link.now_ns)
            _say(f"{duration(link.now_ns / S)}: {in_contact}", as_json)
            wait_s = (until_ns - link.now_ns) / S / wanted.speed if until_ns else None
            try:
                await asyncio.wait_for(stopped.wait(), wait_s)
            except TimeoutError:
                continue


def _contact(contacts: Contacts, now_ns: int) -> tuple[str, int | None]:
    """Whether there is contact, and until when that holds."""
    window = contacts.at(now_ns)
    if window is None:
        return "no contact any more", None
    if window.start_ns > now_ns:
        return "no contact", window.start_ns
    return "contact", window.end_ns


def _say(text: str, as_json: bool) -> None:
    if not as_json:
        print(text, flush=True)


def _result(preset: Preset, channel: Channel, link: Proxy) -> dict[str, Any]:
    seconds, meter = link.now_ns / S, channel.meter
    priced = bool(preset.price.model_fields_set)
    return {
        "seconds": seconds,
        "connections": link.passed.connections,
        "bytes_up": link.passed.bytes_up,
        "bytes_down": link.passed.bytes_down,
        "on_air_up": meter.bytes[Way.UP],
        "on_air_down": meter.bytes[Way.DOWN],
        "cost": cost_usd(preset, meter, seconds) if priced else None,
    }


def _words(result: dict[str, Any]) -> str:
    up, down, air_up, air_down = (
        scaled(result[name], "B") for name in ("bytes_up", "bytes_down", "on_air_up", "on_air_down")
    )
    return (
        f"{duration(result['seconds'])}, connections {result['connections']}; up {up}, with "
        f"TCP/IP and repetitions {air_up}; down {down}, {air_down}; {money(result['cost'])}"
    )
