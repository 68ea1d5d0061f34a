"""A short fuzzing, and that what it relies on can find something."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest

from rig import fuzz
from rig.mutate import mend, mutated
from tactic_codec.bundle import Bundle
from tactic_codec.errors import PacketError
from tactic_codec.packet import unpack
from tactic_gateway.decoder import Decoder


def test_mutated_packets_break_nothing() -> None:
    found = fuzz.fuzz_packets(3000, seed=2)
    assert (found["crashes"], found["slow"]) == (0, 0)
    outcomes = found["outcomes"]
    assert isinstance(outcomes, dict)
    assert {"taken", "check", "short", "version", "sealed", "forged"} <= set(outcomes)


def test_a_crash_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise IndexError("beyond the end")

    monkeypatch.setattr(Decoder, "latent", broken)
    assert fuzz.fuzz_packets(300, seed=2)["crashes"] != 0


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_mutated_streams_break_nothing() -> None:
    assert fuzz.fuzz_decoder(3000, seed=2) == {"streams": 3000, "findings": 0}


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize(
    ("whole", "planted"),
    [
        ("r->words == r->end", "r->words == r->end + 2"),
        ("for (i = 0; i < count; i++)", "for (i = 0; i <= count; i++)"),
    ],
    ids=["reads beyond the stream", "writes beyond the symbols"],
)
def test_a_planted_overrun_is_found(tmp_path: Path, whole: str, planted: str) -> None:
    text = fuzz.DECODER.read_text()
    assert whole in text
    (tmp_path / "librans.c").write_text(text.replace(whole, planted))
    assert fuzz.fuzz_decoder(3000, seed=2, source=tmp_path / "librans.c")["findings"] == 1


def test_half_of_the_mutated_packets_have_a_right_check() -> None:
    valid, rng = fuzz.seeds(Bundle.open(fuzz.BUNDLE)), Random(0)
    fit = 0
    for _ in range(1000):
        data = bytearray(mutated(valid, rng))
        if len(data) >= 20:
            mended = data[:]
            mend(mended)
            fit += mended == data
    assert 400 < fit < 800


def test_a_mended_packet_passes_its_check() -> None:
    data = bytearray(fuzz.seeds(Bundle.open(fuzz.BUNDLE))[1])
    data[-1] ^= 1
    with pytest.raises(PacketError, match="CRC"):
        unpack(bytes(data))
    mend(data)
    assert unpack(bytes(data)).payload[-1:] == bytes(data[-1:])
