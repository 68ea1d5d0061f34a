"""Traces are read as they were written, and a file that holds none is one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tactic_link.errors import LinkError
from tactic_link.traces import Setting, Traces, read, with_beginnings, write


def test_what_is_read_is_what_was_written(tmp_path: Path, traces: Traces) -> None:
    path = tmp_path / "new" / "traces.npz"
    write(path, traces)
    found = read(path)
    assert found.about == traces.about
    assert found.clean_accuracy == traces.clean_accuracy
    for one, other in zip(found.settings, traces.settings, strict=True):
        assert (one.codec, one.knobs, one.name) == (other.codec, other.knobs, other.name)
        assert np.array_equal(one.packet_bytes, other.packet_bytes)
        assert np.array_equal(one.right, other.right)


def test_a_beginning_is_worth_what_was_measured_of_it(setting: Setting) -> None:
    parts = [
        replace(setting, knobs={"level": 0, "share": share}, right=right, beginnings=())
        for share, right in ((0.75, setting.right * 0.5), (0.5, setting.right * 0.25))
    ]
    whole = with_beginnings([replace(setting, beginnings=()), *parts])[0]
    photo = int(np.argmax(setting.right))
    found = [whole.worth(photo, share) for share in (1.0, 0.9, 0.75, 0.6, 0.4, 0.0)]
    assert found == [1.0, 0.5, 0.5, 0.25, 0.0, 0.0]


def test_a_file_of_another_codec_is_worth_nothing_in_part(traces: Traces) -> None:
    jpeg = next(s for s in traces.settings if s.codec == "jpeg")
    assert jpeg.worth(0, 1.0) == 1.0
    assert jpeg.worth(0, 0.99) == 0.0


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"text"])
def test_what_holds_no_traces_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "traces.npz"
    path.write_bytes(content)
    with pytest.raises(LinkError, match="tactic link measure") as fault:
        read(path)
    assert "\n" not in str(fault.value)


def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, traces: Traces) -> None:
    path = tmp_path / "traces.npz"
    write(path, traces)
    with np.load(path) as file:
        arrays = dict(file)
    for name, wrong in (("right", arrays["right"][:, 1:]), ("clean_right", np.zeros(0))):
        np.savez(path, **(arrays | {name: wrong}))
        with pytest.raises(LinkError, match="do not fit"):
            read(path)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match="tactic link measure"):
        read(tmp_path / "none.npz")
