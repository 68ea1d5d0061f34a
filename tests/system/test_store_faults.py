"""A store that cannot be written, under a real node: it waits, nothing is lost, all comes back."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Site
    from tactic.demo.broker import Broker

RECOVERY_S = 15.0
MIB = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def stored(site: Site) -> int:
    with closing(sqlite3.connect(f"file:{site.folder / 'gateway.db'}?mode=ro", uri=True)) as db:
        (count,) = db.execute("SELECT count(*) FROM results").fetchone()
    return int(count)


def run_through(
    site: Site, broker: Broker, break_it: Callable[[int], None], mend_it: Callable[[int], None]
) -> None:
    """Frames flow; the store breaks, and nothing gets in; it is mended, and all of them do."""
    site.configure(broker.port, source={"fps": 10.0, "loop": True, "limit": 150, "drain_s": 60.0})
    gateway, device = site.start("gateway"), site.start("device")
    site.wait_for(lambda: site.events("gateway", "gateway_ready"), "the gateway")
    site.wait_for(lambda: stored(site) >= 5, "the first results")
    break_it(gateway.pid)
    site.wait_for(lambda: site.events("device", "gateway_offline"), "the gateway's word to wait")
    before = stored(site)
    time.sleep(2.0)
    assert stored(site) == before
    assert gateway.poll() is None
    mend_it(gateway.pid)
    mended_s = time.monotonic()
    site.wait_for(lambda: stored(site) > before, "results after the store was mended")
    assert time.monotonic() - mended_s < RECOVERY_S
    assert device.wait(60) == 0
    (stopped,) = site.events("device", "stopped")
    assert stopped["ledger"] == {"captured": 150, "stored": 150, "dropped": {}, "pending": 0}
    site.wait_for(lambda: stored(site) == 150, "a result for every frame")
    assert site.stop(gateway) == 0


def test_writes_that_fail(site: Site, broker: Broker) -> None:
    """Every write fails as it does on a disk with a fault, or one that was remounted read-only."""
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def set_limit(pid: int, soft: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, unlimited[1]))

    run_through(
        site,
        broker,
        break_it=lambda pid: set_limit(pid, 0),
        mend_it=lambda pid: set_limit(pid, unlimited[0]),
    )
    # The log lies on a disk that failed as well, and is written again.
    assert len(site.events("gateway", "store_good")) == 1


@pytest.mark.parametrize("room_left", [0, 16 * MIB])
def test_a_full_disk(site: Site, broker: Broker, small_disk: Path, room_left: int) -> None:
    """Full to the last byte, and with less room than ``min_free_bytes``."""
    (site.folder / "gateway.db").symlink_to(small_disk / "gateway.db")
    filler = small_disk / "filler"

    def fill(_: int) -> None:
        room = os.statvfs(small_disk)
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            file.write(bytes(room.f_bavail * room.f_frsize - room_left))
            while room_left == 0:
                file.write(bytes(4096))

    run_through(site, broker, break_it=fill, mend_it=lambda _: filler.unlink())
    changes = [
        *site.events("gateway", "store_low"),
        *site.events("gateway", "store_failing"),
        *site.events("gateway", "store_good"),
    ]
    assert 2 <= len(changes) <= 4
