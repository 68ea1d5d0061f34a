"""Slots: whatever ends the node at any moment of an installation, one whole bundle is in use."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tactic_codec.bundle import (
    MANIFEST,
    SIGNATURE,
    Bundle,
    Signatures,
    file_entry,
    write_manifest,
    write_signatures,
)
from tactic_codec.bundle_files import parse
from tactic_codec.manifest import Manifest
from tactic_codec.signing import Purpose, public_key, sign
from tactic_codec.trust import Trust, TrustedKey
from tactic_device.errors import SlotError
from tactic_device.slots import Slots

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PINNED = TrustedKey(name="me", public=public_key(KEY))
TRUST = Trust(format=1, counter=1, keys=(PINNED,))
PIECE_BYTES = 100
#: `TACTIC_KILL_STEP=1` tries all of the 207 points; it takes half a minute.
STEP = int(os.environ.get("TACTIC_KILL_STEP", "4"))


def release(original: Path, root: Path, serial: int) -> Path:
    """A signed successor of a bundle, one of whose files is another."""
    shutil.copytree(original, root)
    document = root / "device/encoder-0.tflite"
    document.write_bytes(Random(serial).randbytes(3000))
    manifest = parse(Manifest, root, (root / MANIFEST).read_bytes())
    first, second = manifest.codec.encoders
    renewed = first.model_copy(update={"tflite": file_entry(root, "device/encoder-0.tflite")})
    codec = manifest.codec.model_copy(update={"encoders": (renewed, second)})
    write_manifest(root, manifest.model_copy(update={"codec": codec, "serial": serial}))
    content = (root / MANIFEST).read_bytes()
    made = sign(KEY, Purpose.BUNDLE, content, "2026-01-01T00:00:00Z")
    write_signatures(root, Signatures(signatures=(made,)))
    return root


@pytest.fixture(scope="module")
def releases(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("releases")
    return [release(bundle.path, folder / str(serial), serial) for serial in (1, 2)]


def send(slots: Slots, source: Path, here: tuple[Path, ...] = ()) -> int:
    """Send what is missing of a bundle, in order; return the bytes."""
    given = (source / MANIFEST).read_bytes(), (source / SIGNATURE).read_bytes()
    manifest = parse(Manifest, source, given[0])
    files, sent = manifest.device_files, 0
    for index, have in slots.expect(*given, files, here):
        content = (source / files[index].path).read_bytes()
        for offset in range(have, len(content), PIECE_BYTES):
            slots.write(files[index], offset, content[offset : offset + PIECE_BYTES])
            sent += len(content[offset : offset + PIECE_BYTES])
    return sent


def install(slots: Slots, source: Path, here: tuple[Path, ...] = ()) -> None:
    send(slots, source, here)
    manifest = parse(Manifest, source, (source / MANIFEST).read_bytes())
    slot = slots.stage(manifest.device_files)
    Bundle.open(slot, TRUST, device_only=True)
    slots.switch(slot)


def serial_in_use(folder: Path) -> int:
    """Of a bundle that is whole and signed, or the test fails."""
    current = Slots(folder).current
    assert current is not None
    return Bundle.open(current, TRUST, device_only=True).manifest.serial


def test_the_slots_take_turns(tmp_path: Path, releases: list[Path]) -> None:
    slots = Slots(tmp_path)
    assert slots.current is None
    names: list[str] = []
    for source in (releases[0], releases[1], releases[0]):
        install(slots, source)
        assert slots.current is not None
        names.append(slots.current.name)
    assert names == ["a", "b", "a"]
    assert serial_in_use(tmp_path) == 1


def test_only_what_differs_is_sent(tmp_path: Path, releases: list[Path]) -> None:
    slots = Slots(tmp_path)
    install(slots, releases[0])
    assert send(slots, releases[1], here=slots.all) == 3000
    assert send(Slots(tmp_path), releases[1], here=slots.all) == 0


def test_a_broken_transfer_goes_on_where_it_stood(tmp_path: Path, releases: list[Path]) -> None:
    source = releases[0]
    given = (source / MANIFEST).read_bytes(), (source / SIGNATURE).read_bytes()
    files = parse(Manifest, source, given[0]).device_files
    slots = Slots(tmp_path)
    content = (source / files[0].path).read_bytes()
    slots.expect(*given, files, ())
    slots.write(files[0], 0, content[:100])
    slots.write(files[0], 50, content[50:200])  # not the next piece
    slots.write(files[0], 300, content[300:400])  # a gap before it
    assert Slots(tmp_path).expect(*given, files, ())[0] == (0, 100)
    with pytest.raises(SlotError, match="not whole; send the rest"):
        slots.stage(files)
    assert slots.current is None
    # Another bundle begins anew.
    other = releases[1]
    second = (other / MANIFEST).read_bytes(), (other / SIGNATURE).read_bytes()
    assert slots.expect(*second, files, ())[0] == (0, 0)


def test_a_file_that_is_not_what_was_declared_begins_again(
    tmp_path: Path, releases: list[Path]
) -> None:
    source = releases[0]
    given = (source / MANIFEST).read_bytes(), (source / SIGNATURE).read_bytes()
    files = parse(Manifest, source, given[0]).device_files
    slots = Slots(tmp_path)
    slots.expect(*given, files, ())
    slots.write(files[0], 0, bytes(files[0].size_bytes))
    assert slots.expect(*given, files, ())[0] == (0, 0)
    content = (source / files[0].path).read_bytes()
    slots.write(files[0], 0, content + b"more than was declared")
    assert slots.expect(*given, files, ())[0][0] == 1


def reinstall(folder: Path, source: Path) -> None:
    install(Slots(folder), source)


class Killed(BaseException):
    """In the place of a signal that no program can answer."""


class Killer:
    """Ends the program at the n-th thing it does to files below a folder."""

    EVENTS = frozenset(("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.symlink"))

    def __init__(self) -> None:
        self.folder = ""
        self.left = -1
        sys.addaudithook(self)  # for good: it does nothing while `left` is negative

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.left < 0 or event not in self.EVENTS:
            return
        if not any(str(each).startswith(self.folder) for each in arguments[:2]):
            return
        self.left -= 1
        if self.left < 0:
            raise Killed

    def at(self, number: int, folder: Path, work: Callable[[], object]) -> bool:
        """Do something; whether it was ended before it was done."""
        self.folder, self.left = str(folder), number
        try:
            work()
        except Killed:
            return True
        finally:
            self.left = -1
        return False


@pytest.fixture(scope="module")
def killer() -> Killer:
    return Killer()


def test_one_slot_is_whole_at_every_point_of_an_installation(
    tmp_path: Path, releases: list[Path], killer: Killer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A process that ends takes nothing from the disk's cache with it.
    monkeypatch.setattr(os, "fsync", lambda _number: None)
    install(Slots(tmp_path), releases[0])
    points, number, ended = 0, 0, True
    while ended:
        before = serial_in_use(tmp_path)
        target = releases[before % 2]
        ended = killer.at(number, tmp_path, partial(reinstall, tmp_path, target))
        assert serial_in_use(tmp_path) in (1, 2)
        # What was begun can be finished; the next round goes the other way.
        after = parse(Manifest, target, (target / MANIFEST).read_bytes()).serial
        if serial_in_use(tmp_path) != after:
            install(Slots(tmp_path), target)
        assert serial_in_use(tmp_path) == after
        points += ended
        number += STEP
    assert points * STEP >= 200


INSTALLING = """
import sys
from pathlib import Path
from tests_slots import install, serial_in_use
from tactic_device.slots import Slots
folder, *releases = map(Path, sys.argv[1:])
while True:
    for source in releases:
        install(Slots(folder), source)
"""


def test_real_kills(tmp_path: Path, releases: list[Path]) -> None:
    folder, programs = tmp_path / "slots", tmp_path / "programs"
    programs.mkdir()
    shutil.copy(__file__, programs / "tests_slots.py")
    install(Slots(folder), releases[0])
    path = os.pathsep.join([str(programs), *filter(None, sys.path)])
    rng = Random(4)
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", INSTALLING, str(folder), *map(str, releases)],
            env=os.environ | {"PYTHONPATH": path},
        )
        # Its first change to the folder says that it has started.
        changed = folder.stat().st_mtime_ns
        deadline_s = time.monotonic() + 60
        while folder.stat().st_mtime_ns == changed and time.monotonic() < deadline_s:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(rng.random() * 0.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert serial_in_use(folder) in (1, 2)
