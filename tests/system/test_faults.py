"""Disks that fail and clocks that jump, under real processes: they live on and account for all."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rig import faults
from rig.faults import Host
from tactic.demo.broker import Broker
from tactic.store.run import run_audit
from tactic_codec.drop import Reason

if TYPE_CHECKING:
    from conftest import Site

AVAILABLE_S = 15.0
TEN_YEARS_S = 10 * 31_557_600
SOURCE = {"fps": 10.0, "loop": True, "drain_s": 60.0}


def some(*cases: object) -> list[object]:
    """Half of the cases; all of them with ``TACTIC_ALL_FAULTS=1``, which takes some minutes."""
    return [*cases] if "TACTIC_ALL_FAULTS" in os.environ else [*cases[: len(cases) // 2]]


pytestmark = pytest.mark.skipif(faults.COMPILER is None, reason="gcc is not installed")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faults.build(tmp_path_factory.mktemp("faults"))


@pytest.fixture
def hosts(library: Path, site: Site, tmp_path: Path) -> dict[str, Host]:
    """What gateway and device see; they are started with it."""
    made = {room: Host(library, tmp_path / f"{room}.faults") for room in ("gateway", "device")}
    site.environment = {room: host.environment for room, host in made.items()}
    return made


@pytest.fixture
def shifting(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Broker, Host]:
    """A broker whose clock can be set; not running yet."""
    host = Host(library, tmp_path / "broker.faults")
    for name, value in host.environment.items():
        monkeypatch.setenv(name, value)
    return Broker(tmp_path), host


def rows(site: Site, query: str) -> list[tuple[int, ...]]:
    path = site.folder / "gateway.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


def results(site: Site) -> int:
    return rows(site, "SELECT count(*) FROM results")[0][0]


def wait_for_more(site: Site, what: str) -> float:
    """Wait for some more results; how long that took."""
    begun_s, before = time.monotonic(), results(site)
    site.wait_for(lambda: results(site) >= before + 3, f"results after {what}")
    return time.monotonic() - begun_s


def finish(site: Site, device: subprocess.Popen[bytes], reasons: set[str]) -> None:
    """End the node, let what waits arrive; its ledger is what the gateway has, frame by frame."""
    assert site.stop(device) == 0
    config = site.folder / "device.toml"
    config.write_text(config.read_text().replace("loop = true", "limit = 1"))
    assert site.start("device").wait(60) == 0
    ledger = site.events("device", "stopped")[-1]["ledger"]
    dropped = ledger["dropped"]
    assert set(dropped) == reasons
    assert ledger["pending"] == 0
    assert ledger["captured"] == ledger["stored"] + sum(dropped.values())
    stored = "SELECT count(*) FROM packets WHERE kind = 0"
    site.wait_for(lambda: rows(site, stored) == [(ledger["stored"],)], "every frame")
    site.wait_for(lambda: results(site) == ledger["stored"], "a result for every frame")
    for reason in (Reason.STORAGE, Reason.FULL, Reason.DAMAGED, Reason.LOST):
        query = f"SELECT coalesce(sum(count), 0) FROM given_up WHERE reason = {reason:d}"
        assert rows(site, query) == [(dropped.get(reason.name.lower(), 0),)]
    run_audit(site.folder / "gateway.toml", "cam1", site.folder / "outbox", as_json=False)
    for log in site.folder.glob("*.log"):
        assert "Traceback" not in log.read_text()


def test_clocks_jump_by_ten_years(
    site: Site, hosts: dict[str, Host], shifting: tuple[Broker, Host]
) -> None:
    broker, of_broker = shifting
    everybody = {**hosts, "broker": of_broker}
    with broker:
        site.configure(broker.port, source=SOURCE, frames={"deadline_s": 3600.0})
        gateway, device = site.start("gateway"), site.start("device")
        site.wait_for(lambda: site.events("gateway", "gateway_ready"), "the gateway")
        site.wait_for(lambda: results(site) >= 3, "the first results")
        for name, host in everybody.items():
            for off_by_s in (TEN_YEARS_S, -TEN_YEARS_S):
                host.set_clock(off_by_s)
                assert wait_for_more(site, f"{name} is off by {off_by_s} s") <= AVAILABLE_S
        for host in everybody.values():
            host.set_clock(0)
        wait_for_more(site, "the clocks are right again")
        finish(site, device, set())
        assert site.stop(gateway) == 0


@pytest.mark.parametrize(
    ("durability", "code"),
    some(
        ("spill", errno.EIO), ("batch", errno.EROFS), ("spill", errno.ENOSPC), ("frame", errno.EIO)
    ),
)
def test_a_nodes_disk_fails(
    site: Site, hosts: dict[str, Host], broker: Broker, durability: str, code: int
) -> None:
    """While its gateway is away; with ``spill`` memory takes the frames, else they are counted."""
    outbox = {"durability": durability, "spill_after_s": 1.0}
    site.configure(broker.port, source=SOURCE, outbox=outbox)
    gateway, device = site.start("gateway"), site.start("device")
    site.wait_for(lambda: site.events("gateway", "gateway_ready"), "the gateway")
    site.wait_for(lambda: results(site) >= 3, "the first results")
    assert site.stop(gateway) == 0
    site.wait_for(lambda: site.events("device", "gateway_offline"), "the gateway's goodbye")

    hosts["device"].break_disk(site.folder / "outbox", code)
    site.wait_for(lambda: site.events("device", "storage_failed"), "the fault in the log")
    time.sleep(2.0)
    assert device.poll() is None
    hosts["device"].mend()
    mended_s = time.monotonic()
    site.wait_for(lambda: site.events("device", "storage_works"), "the disk to be used again")
    gateway = site.start("gateway")
    wait_for_more(site, "the disk was mended")
    assert time.monotonic() - mended_s <= AVAILABLE_S
    finish(site, device, set() if durability == "spill" else {"storage"})
    assert site.stop(gateway) == 0


@pytest.mark.parametrize("code", some(errno.EIO, errno.EROFS))
def test_a_gateways_disk_fails(
    site: Site, hosts: dict[str, Host], broker: Broker, code: int
) -> None:
    """It says so, nodes wait, and it goes on by itself; a full disk: test_store_faults."""
    site.configure(broker.port, source=SOURCE)
    gateway, device = site.start("gateway"), site.start("device")
    site.wait_for(lambda: site.events("gateway", "gateway_ready"), "the gateway")
    site.wait_for(lambda: results(site) >= 3, "the first results")
    hosts["gateway"].break_disk(site.folder / "gateway.db", code)
    site.wait_for(lambda: site.events("device", "gateway_offline"), "the gateway's word to wait")
    time.sleep(2.0)
    assert gateway.poll() is None
    hosts["gateway"].mend()
    assert wait_for_more(site, "the disk was mended") <= AVAILABLE_S
    finish(site, device, set())
    assert site.stop(gateway) == 0


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """An ext4 in a file, mounted at ``outbox``; what is called tells it to fail or to come back."""
    image, copy, place = tmp_path / "card.img", tmp_path / "copy.img", tmp_path / "outbox"
    place.mkdir()

    def run(*command: object) -> int:
        return subprocess.run([*map(str, command)], capture_output=True, check=False).returncode

    def act(what: str) -> None:
        if what == "fail":
            assert not run("mount", "-o", "remount,abort", place)
        else:
            # While the node has files open there, the kernel does not forget that it failed.
            assert not run("umount", "--lazy", place)
            shutil.copy(image, copy)
            assert run("e2fsck", "-fy", copy) <= 1
            assert not run("mount", "-o", "loop", copy, place)

    with image.open("wb") as file:
        file.truncate(64 << 20)
    if run("mkfs.ext4", "-q", image) or run("mount", "-o", "loop", image, place):
        pytest.skip("only root may mount a card")
    yield act
    run("umount", "--lazy", place)


@pytest.mark.parametrize("durability", some("spill", "batch"))
def test_a_card_remounts_itself_read_only(
    site: Site, broker: Broker, card: Callable[[str], None], durability: str
) -> None:
    """What the kernel does after an error; the operator mounts a copy that was checked."""
    outbox = {"durability": durability, "spill_after_s": 1.0}
    site.configure(broker.port, source=SOURCE, outbox=outbox)
    gateway, device = site.start("gateway"), site.start("device")
    site.wait_for(lambda: site.events("gateway", "gateway_ready"), "the gateway")
    site.wait_for(lambda: results(site) >= 3, "the first results")
    assert site.stop(gateway) == 0
    site.wait_for(lambda: site.events("device", "gateway_offline"), "the gateway's goodbye")
    time.sleep(2.0)
    card("fail")
    site.wait_for(lambda: site.events("device", "storage_failed"), "the fault in the log")
    assert device.poll() is None
    card("come back")
    mended_s = time.monotonic()
    gateway = site.start("gateway")
    site.wait_for(lambda: site.events("device", "storage_works"), "the card to be used again")
    wait_for_more(site, "the card was mended")
    assert time.monotonic() - mended_s <= AVAILABLE_S
    finish(site, device, set() if durability == "spill" else {"storage"})
    assert site.stop(gateway) == 0
