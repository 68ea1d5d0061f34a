"""A short chaos, the fairness of its control, and the counting that its figures rest on."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rig.proxy import Counter
from tactic.demo.broker import mosquitto

needs_mosquitto = pytest.mark.skipif(mosquitto() is None, reason="mosquitto is not installed")


@needs_mosquitto
def test_no_frame_is_lost_in_a_short_chaos(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx makes the networks of the tiny bundle")
    from rig.chaos import Plan, run

    found = run(Plan(frames=300, device=2, broker=1, gateway=1, cuts=3, seconds=8.0), tmp_path)
    assert found.ledger_exact
    assert (found.lost, found.duplicates, found.pending, found.dropped) == (0, 0, 0, 0)
    assert found.captured == found.stored >= 300


@needs_mosquitto
def test_the_control_loses_nothing_in_calm(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx makes the networks of the tiny bundle")
    from rig.chaos import Plan, control

    assert (
        control(Plan(frames=50, device=0, broker=0, gateway=0, cuts=0, seconds=1.0), tmp_path) == 0
    )


def packet(head: int, body: bytes) -> bytes:
    length, groups = len(body), bytearray()
    while True:
        groups.append(length & 0x7F | 0x80 * (length > 0x7F))
        length >>= 7
        if not length:
            return bytes([head]) + groups + body


@given(
    st.lists(st.tuples(st.sampled_from((0x10, 0x30, 0x31, 0x32, 0x3A, 0xC0)), st.binary())),
    st.integers(0, 2**32),
)
def test_packets_are_counted_however_the_stream_is_cut(
    packets: list[tuple[int, bytes]], seed: int
) -> None:
    stream = b"".join(packet(head, body * 50) for head, body in packets)
    counter, rng, at = Counter(), Random(seed), 0
    while at < len(stream):
        size = rng.randint(1, 200)
        counter.feed(stream[at : at + size])
        at += size
    assert counter.published == sum(head == 0x30 for head, _ in packets)
