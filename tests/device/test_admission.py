"""Gating and budgets on the node: what is skipped is accounted for, what is sent keeps to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from tactic_codec import stream
from tactic_codec.bundle import Bundle
from tactic_codec.drop import Reason
from tactic_codec.errors import ConfigError
from tactic_delivery.ledger import Ledger
from tactic_device.admission import Admission, allowance_of
from tactic_device.coder import Coder
from tactic_device.config import DeviceConfig
from tactic_device.dispatch import Dispatch
from tactic_device.outbox import Outbox
from tactic_device.passes import read_passes
from tactic_device.sources import Shot

S = 1_000_000_000
GREY = np.full((16, 24, 3), 128, np.uint8)


class Thinning:
    """Keeps every fourth pixel, like the encoder of the tiny bundle."""

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
        kept = pixels[::4, ::4].transpose(2, 0, 1).astype(np.int16) - 128
        return np.ascontiguousarray(kept.astype(np.int8))


class Rig:
    """A node without a camera and without a link."""

    def __init__(self, tmp_path: Path, bundle: Bundle, **sections: dict[str, object]) -> None:
        config = DeviceConfig.model_validate(
            {
                "node": {"site": "yard", "node": "cam1"},
                "bundle": {"path": tmp_path, "unsigned": True},
                "source": {"kind": "folder", "path": tmp_path},
                "outbox": {"path": tmp_path / "outbox"},
                **sections,
            }
        )
        self.folder = tmp_path / "outbox"
        self.outbox = Outbox(self.folder, Random(1), 8 << 20)
        allowance = allowance_of(config)
        self.dispatch = Dispatch(self.outbox, Random(2), None, allowance)
        self.admission = Admission(config, self.dispatch, allowance)
        self.coder = Coder(bundle, Thinning(), 0, 0)
        self.sent = list[int]()

    def offer(self, pixels: NDArray[np.uint8], now_s: float) -> bool:
        packet = self.admission.encode(self.coder, Shot(pixels, 0), int(now_s * S))
        if packet:
            self.dispatch.put(packet, int(now_s * S))
            self.sent.append(20 + len(packet.payload))
        return packet is not None

    @property
    def ledger(self) -> Ledger:
        return self.outbox.pending.ledger


def test_only_what_changed_is_sent_and_the_rest_is_in_the_ledger(
    tmp_path: Path, bundle: Bundle
) -> None:
    rig = Rig(tmp_path, bundle, gating={"threshold": 5.0, "heartbeat_s": 60.0})
    other = GREY + 20
    pictures = [GREY, GREY, GREY + 1, other, other, GREY]
    assert [rig.offer(p, n) for n, p in enumerate(pictures)] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]
    rig.admission.close()
    assert rig.ledger.captured == 6
    assert rig.ledger.dropped == {Reason.GATED: 3}
    assert rig.ledger.pending == 3
    rig.outbox.close()
    again = Outbox(rig.folder, Random(3), 8 << 20)
    assert again.pending.ledger == rig.ledger
    again.close()


def test_a_heartbeat_is_sent_although_nothing_changes(tmp_path: Path, bundle: Bundle) -> None:
    rig = Rig(tmp_path, bundle, gating={"threshold": 5.0, "heartbeat_s": 10.0})
    assert [n for n in range(35) if rig.offer(GREY, n)] == [0, 10, 20, 30]
    rig.outbox.close()


def test_pictures_that_a_busy_node_missed_are_in_the_ledger(tmp_path: Path, bundle: Bundle) -> None:
    rig = Rig(tmp_path, bundle)
    rig.admission.miss(0, S)
    rig.admission.miss(7, S)
    rig.offer(GREY, 2)
    rig.admission.close()
    assert rig.ledger.as_dict() == {
        "captured": 8,
        "stored": 0,
        "dropped": {"busy": 7},
        "pending": 1,
    }


def test_an_alarm_node_is_not_gated(tmp_path: Path, bundle: Bundle) -> None:
    rig = Rig(
        tmp_path,
        bundle,
        gating={"threshold": 5.0},
        rate={"day_bytes": 1000},
        frames={"priority": 3},
    )
    assert all(rig.offer(GREY, n) for n in range(20))
    rig.outbox.close()


def test_budgets_make_frames_smaller_and_fewer(tmp_path: Path, bundle: Bundle) -> None:
    rng = np.random.default_rng(1)
    noise = [rng.integers(0, 256, (16, 24, 3), dtype=np.uint8) for _ in range(600)]
    free = Rig(tmp_path / "free", bundle)
    assert all(free.offer(p, n) for n, p in enumerate(noise[:50]))
    rig = Rig(tmp_path / "held", bundle, rate={"rate_bps": 8 * 40, "overhead_bytes": 0})
    taken = [rig.offer(p, n) for n, p in enumerate(noise)]
    assert not all(taken)
    assert sum(rig.sent) <= 40 * 600 * 1.05
    assert sum(rig.sent) >= 20 * 600 * 0.7
    assert np.mean(rig.sent) < np.mean(free.sent)
    rig.admission.close()
    assert rig.ledger.captured == 600 == len(rig.sent) + rig.ledger.dropped[Reason.BUDGET]
    rig.outbox.close()
    free.outbox.close()


def test_first_layers_are_sent_and_the_others_wait_in_the_ring(
    tmp_path: Path, bundle: Bundle
) -> None:
    rig = Rig(tmp_path, bundle, refine={"first_layers": 1})
    whole = rig.coder.encode(Shot(GREY, 0))
    packet = rig.admission.encode(rig.coder, Shot(GREY, 0), 0)
    assert packet is not None
    rig.admission.ring.keep(5)
    part = rig.admission.ring.take(5)
    assert part is not None and packet.payload + part.payload == whole.payload
    planes = whole.layers * bundle.codec.channels, *bundle.latent_shape(whole)
    found = stream.decode(packet.payload, bundle.models[0], planes)
    assert found.whole == bundle.codec.channels
    # At the coarsest level there is nothing that could follow.
    assert rig.admission.encode(replace(rig.coder, level=2), Shot(GREY, 0), 0) is not None
    rig.admission.ring.keep(6)
    with pytest.raises(KeyError):
        rig.admission.ring.take(6)
    rig.outbox.close()


def test_alarms_are_sent_whole(tmp_path: Path, bundle: Bundle) -> None:
    rig = Rig(tmp_path, bundle, refine={"first_layers": 1}, frames={"priority": 3})
    packet = rig.admission.encode(rig.coder, Shot(GREY, 0), 0)
    assert packet is not None
    assert packet.payload == rig.coder.encode(Shot(GREY, 0)).payload
    rig.outbox.close()


def test_without_a_ring_no_layer_is_left_off(tmp_path: Path, bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="first_layers needs ring_bytes"):
        Rig(tmp_path, bundle, refine={"first_layers": 1, "ring_bytes": 0})


def test_passes_are_read_onto_the_nodes_clock(tmp_path: Path) -> None:
    path = tmp_path / "passes.csv"
    path.write_text("start_unix_s,end_unix_s,rate_bps\n1000,1010,800\n")
    assert read_passes(path, 900 * S).capacity_bytes(0, 105 * S) == 500
    for text in ("a,b\n1,2\n", "start_unix_s,end_unix_s,rate_bps\n5,5,1\n"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"passes.csv: .*start_unix_s"):
            read_passes(path, 0)
