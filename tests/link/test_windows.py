"""Contact windows from tables and cycles."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tactic_link.errors import LinkError
from tactic_link.windows import Always, Cycle, S, Table, Window, read_table, within

spans = st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 50)), min_size=1, max_size=20)


@given(spans, st.integers(0, 1100))
def test_a_table_knows_every_moment(drawn: list[tuple[int, int]], moment: int) -> None:
    table = Table(Window(start, start + length) for start, length in drawn)
    inside = any(start <= moment < start + length for start, length in drawn)
    later = [start for start, _ in drawn if start > moment]
    window = table.at(moment)
    if inside:
        assert window
        assert window.start_ns <= moment < window.end_ns
    elif later:
        assert window
        assert window.start_ns == min(later)
    else:
        assert window is None


@given(spans)
def test_windows_rise_and_keep_apart(drawn: list[tuple[int, int]]) -> None:
    table = Table(Window(start, start + length) for start, length in drawn)
    for former, following in zip(table.windows, table.windows[1:], strict=False):
        assert former.end_ns < following.start_ns


@given(st.integers(1, 100), st.integers(1, 100), st.integers(0, 10_000))
def test_a_cycle(on: int, off: int, moment: int) -> None:
    window = Cycle(on, off).at(moment)
    assert (moment % (on + off) < on) == (window.start_ns <= moment) if window else False
    assert window
    assert window.start_ns % (on + off) == 0
    assert moment < window.end_ns


def test_within_cuts_off_at_the_end() -> None:
    assert within(Always(), 10) == [Window(0, 10)]
    assert within(Cycle(3, 2), 11) == [Window(0, 3), Window(5, 8), Window(10, 11)]
    assert within(Table([Window(4, 6)]), 4) == []


def test_a_table_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text("start_s,end_s,rate_bps\n10,20,\n20,25,4800\n")
    assert read_table(path).windows == [
        Window(10 * S, 20 * S),
        Window(20 * S, 25 * S, 4800.0),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "start_s,end_s\n",
        "begin,end\n1,2\n",
        "start_s,end_s\n1,x\n",
        "start_s,end_s\n5,4\n",
        "start_s,end_s\n1,inf\n",
        "start_s,end_s\n1\n",
        "start_s,end_s,rate_bps\n1,5,100\n2,6,200\n",
    ],
)
def test_a_bad_table_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text(text)
    with pytest.raises(LinkError) as fault:
        read_table(path)
    assert "\n" not in str(fault.value)


def test_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match="start_s"):
        read_table(tmp_path / "none.csv")
