from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tactic_device.config import Source as Settings
from tactic_device.errors import SourceError
from tactic_device.fit import box_reduce, fit
from tactic_device.pictures import Pace, Shot
from tactic_device.sources import open_source


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_ns = 5_000_000_000
        self.stopped = False

    def clock_ns(self) -> int:
        return self.now_ns

    def wait(self, seconds: float) -> bool:
        self.now_ns += round(seconds * 1e9)
        return self.stopped


def opened(**settings: Any) -> Iterator[Shot]:
    time = Time()
    return open_source(Settings(**settings), time.clock_ns, time.wait).shots()


def test_a_folder_gives_its_pictures_in_order_at_its_pace(pictures: Path) -> None:
    (pictures / "notes.txt").write_text("not a picture")
    shots = list(opened(kind="folder", path=pictures, fps=4.0))
    assert [int(shot.pixels[0, 0, 0]) for shot in shots] == [0, 40, 80, 120]
    assert shots[0].pixels.shape == (40, 60, 3)
    assert np.diff([shot.captured_ns for shot in shots]).tolist() == [250_000_000] * 3


def test_a_looping_folder_begins_again(pictures: Path) -> None:
    shots = opened(kind="folder", path=pictures, loop=True)
    assert [int(next(shots).pixels[0, 0, 0]) for _ in range(6)] == [0, 40, 80, 120, 0, 40]


def test_pictures_are_rgb(tmp_path: Path) -> None:
    blue_green_red = np.zeros((8, 8, 3), np.uint8)
    blue_green_red[..., 2] = 200
    cv2.imwrite(str(tmp_path / "red.png"), blue_green_red)
    (shot,) = opened(kind="folder", path=tmp_path)
    assert shot.pixels[0, 0].tolist() == [200, 0, 0]


def test_a_video_gives_its_frames(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (32, 24))
    for n in range(5):
        writer.write(np.full((24, 32, 3), 50 * n, np.uint8))
    writer.release()
    shots = list(opened(kind="video", path=path))
    assert [shot.pixels.shape for shot in shots] == [(24, 32, 3)] * 5
    assert abs(int(shots[3].pixels.mean()) - 150) < 6
    looping = opened(kind="video", path=path, loop=True)
    assert len([next(looping) for _ in range(12)]) == 12


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"kind": "folder", "path": "missing"}, "missing: no such folder"),
        ({"kind": "folder", "path": "."}, "no .jpg or .png"),
        ({"kind": "video", "path": "missing.mp4"}, "missing.mp4: no such video"),
        ({"kind": "video", "path": "noise.mp4"}, "noise.mp4: not a video"),
    ],
)
def test_a_source_that_is_not_there_is_one_line(
    tmp_path: Path, settings: dict[str, Any], complaint: str
) -> None:
    (tmp_path / "noise.mp4").write_bytes(b"no video" * 50)
    if "path" in settings:
        settings = settings | {"path": tmp_path / settings["path"]}
    with pytest.raises(SourceError, match=complaint) as caught:
        opened(**settings)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 5


def test_a_broken_picture_is_named(pictures: Path) -> None:
    (pictures / "0.png").write_bytes(b"broken")
    with pytest.raises(SourceError, match=r"0\.png: not a picture"):
        list(opened(kind="folder", path=pictures))


def test_a_late_picture_does_not_hurry_the_next_ones() -> None:
    time = Time()
    pace = Pace(10.0, time.clock_ns, time.wait)
    taken = []
    for late_ms in (0, 30, 0, 500, 0, 0):
        time.now_ns += late_ms * 1_000_000
        assert pace.sleep()
        taken.append((time.now_ns - 5_000_000_000) // 1_000_000)
    assert taken == [0, 100, 200, 700, 800, 900]
    time.stopped = True
    assert not pace.sleep()


pictures_of_any_size = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 70), st.integers(1, 70), st.just(3))
)


@given(pictures_of_any_size, st.integers(1, 24), st.integers(1, 24))
def test_fit_gives_the_size_and_stays_within_the_colours(
    pixels: np.ndarray[Any, np.dtype[np.uint8]], height: int, width: int
) -> None:
    found = fit(pixels, height, width)
    assert found.shape == (height, width, 3)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert pixels.min() <= found.min() <= found.max() <= pixels.max()


@given(pictures_of_any_size, st.integers(1, 9))
def test_box_reduction_is_the_rounded_mean(
    pixels: np.ndarray[Any, np.dtype[np.uint8]], factor: int
) -> None:
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    top, left = (pixels.shape[0] % factor) // 2, (pixels.shape[1] % factor) // 2
    cut = pixels[top : top + height * factor, left : left + width * factor].astype(np.int64)
    blocks = cut.reshape(height, factor, width, factor, 3).sum(axis=(1, 3))
    assert (box_reduce(pixels, factor) == (2 * blocks + factor**2) // (2 * factor**2)).all()


def test_the_centre_is_kept() -> None:
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 255
    assert fit(pixels, 10, 10).min() == 255
