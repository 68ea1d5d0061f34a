"""A comparison as plain numbers: the JSON object of `tactic link simulate`."""

from __future__ import annotations

from typing import Any

from tactic_link.compare import OURS, Comparison, Contender
from tactic_link.outcome import InContact
from tactic_link.scenario import DAY_S

Json = dict[str, Any]


def summarise(name: str, comparison: Comparison) -> Json:
    """Make the JSON object.

    Parameters
    ----------
    name : str
        Of the preset.
    comparison : Comparison
    """
    scenario, traces = comparison.scenario, comparison.traces
    contacts = comparison.contenders[0].outcomes[0].contacts
    return {
        "preset": name,
        "seconds": scenario.seconds,
        "contact_s": scenario.contact_s,
        "contacts": [[each.start_s, each.seconds] for each in contacts],
        "nodes": scenario.nodes,
        "fps": scenario.fps,
        "seeds": len(comparison.contenders[0].outcomes),
        "photos": traces.photos,
        "clean_accuracy": traces.clean_accuracy,
        "accuracy_needed": traces.clean_accuracy - comparison.loss,
        "codecs": {codec: _codec(comparison, codec) for codec in comparison.codecs},
        "settings": [_setting(comparison, each) for each in comparison.contenders],
        "correct_ratio": _ratios(comparison),
        "traces": traces.about,
    }


def _codec(comparison: Comparison, codec: str) -> Json | None:
    """The best setting of a codec that competes; None if none does."""
    best = comparison.best(codec)
    return _figures(comparison, best) if best else None


def _setting(comparison: Comparison, contender: Contender) -> Json:
    setting = contender.setting
    return {
        "codec": setting.codec,
        **setting.knobs,
        "competes": contender.competes,
        **_figures(comparison, contender),
    }


def _figures(comparison: Comparison, contender: Contender) -> Json:
    setting, delays = contender.setting, contender.delays
    days = comparison.scenario.seconds / DAY_S
    return {
        "setting": setting.name,
        "accuracy": setting.accuracy,
        "frame_bytes": setting.mean_bytes,
        "captured": contender.mean(lambda o: o.captured),
        "frames": contender.mean(lambda o: o.frames),
        "alarms": contender.mean(lambda o: o.alarms),
        "correct": contender.correct,
        "correct_interval": comparison.interval(contender),
        "correct_per_day": contender.correct / days,
        "bytes": contender.mean(lambda o: o.bytes_up + o.bytes_down),
        "bytes_up": contender.mean(lambda o: o.bytes_up),
        "cost": contender.cost_usd,
        "energy_j": contender.mean(lambda o: o.energy_j),
        "delay_p50_s": delays.percentile(0.5),
        "delay_p95_s": delays.percentile(0.95),
        "sent_again": contender.mean(lambda o: o.sent_again),
        "waiting": contender.mean(lambda o: o.waiting),
        "dropped": contender.mean(lambda o: o.dropped.total()),
        "contacts": [_contact(each) for each in contender.outcomes[0].contacts],
    }


def _contact(contact: InContact) -> Json:
    return {
        "start_s": contact.start_s,
        "seconds": contact.seconds,
        "frames": contact.frames,
        "correct": contact.correct,
        "bytes": contact.bytes,
    }


def _ratios(comparison: Comparison) -> Json:
    """Correct decisions of tactic per one of each other codec."""
    found: Json = {}
    for codec in comparison.codecs:
        if codec != OURS:
            ratio = comparison.ratio(codec)
            found[codec] = {"ratio": ratio[0], "interval": ratio[1]} if ratio else None
    return found
