"""The simulated node is the device: what the rooms may not share is the same in both."""

from __future__ import annotations

import pytest

from tactic_device import journal, uplink
from tactic_device.link_config import Mqtt
from tactic_link import ip_path, node
from tactic_link.windows import S


def test_the_times_are_the_devices() -> None:
    config = Mqtt()
    assert config.keepalive_s * S == ip_path.KEEPALIVE_NS
    assert int(config.health_s * S) == ip_path.HEALTH_NS
    assert uplink.ANSWER_NS == ip_path.ANSWER_NS
    assert uplink.STEADY_NS == ip_path.STEADY_NS
    assert uplink.FIRST_RETRY_S * S == ip_path.FIRST_RETRY_NS
    assert uplink.LAST_RETRY_S * S == ip_path.LAST_RETRY_NS


def test_a_broker_waits_half_as_long_again() -> None:
    assert pytest.approx(1.5 * ip_path.KEEPALIVE_NS) == ip_path.BROKER_NS


def test_a_waiting_packet_takes_as_much_room() -> None:
    assert node.RECORD_BYTES == journal.OVERHEAD_BYTES
