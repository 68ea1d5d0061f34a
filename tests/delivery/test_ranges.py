from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tactic_delivery.ranges import NUMBERS, Range, RangeSet

pieces = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), max_size=20)


def numbers(ranges: list[tuple[int, int]]) -> set[int]:
    return {n for first, count in ranges for n in range(first, first + count)}


@given(pieces, st.tuples(st.integers(0, 60), st.integers(1, 12)))
def test_it_behaves_like_a_set(added: list[tuple[int, int]], asked: tuple[int, int]) -> None:
    ranges, model = RangeSet(added), numbers(added)
    assert numbers(list(ranges)) == model
    assert {n for n in range(80) if n in ranges} == model
    assert numbers(list(ranges.missing(*asked))) == numbers([asked]) - model
    assert ranges.cumulative == next(n for n in range(100) if n not in model)


@given(pieces)
def test_ranges_are_sorted_and_never_touch(added: list[tuple[int, int]]) -> None:
    found = list(RangeSet(added))
    assert all(a.stop < b.first for a, b in pairwise(found))
    assert len(found) == len(RangeSet(added))
    assert RangeSet(added).newest(3) == found[-3:][::-1]


def test_the_range_around_a_number() -> None:
    ranges = RangeSet([(4, 2), (9, 1)])
    assert ranges.around(5) == Range(4, 2)
    assert ranges.around(6) is None
    assert ranges.around(0) is None


@pytest.mark.parametrize("bad", [(-1, 1), (0, 0), (NUMBERS - 1, 2)])
def test_ranges_outside_uint32_are_refused(bad: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="uint32"):
        RangeSet([bad])
