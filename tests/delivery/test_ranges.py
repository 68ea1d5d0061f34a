from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tactic_delivery.entry import PacketKey
from tactic_delivery.keyset import KeySet
from tactic_delivery.ranges import NUMBERS, Range, RangeSet

pieces = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), max_size=20)


def numbers(ranges: Sequence[tuple[int, int]]) -> set[int]:
    return {n for first, count in ranges for n in range(first, first + count)}


@given(pieces, st.tuples(st.integers(0, 60), st.integers(1, 12)))
def test_it_behaves_like_a_set(added: list[tuple[int, int]], asked: tuple[int, int]) -> None:
    ranges, model = RangeSet(added), numbers(added)
    assert numbers(list(ranges)) == model
    assert {n for n in range(80) if n in ranges} == model
    assert numbers(list(ranges.missing(*asked))) == numbers([asked]) - model
    assert ranges.cumulative == next(n for n in range(100) if n not in model)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60), st.integers(1, 12)), max_size=30))
def test_adding_and_removing_behave_like_a_set(steps: list[tuple[bool, int, int]]) -> None:
    ranges, model = RangeSet(), set[int]()
    for adding, first, count in steps:
        if adding:
            ranges.add(first, count)
            model |= numbers([(first, count)])
        else:
            ranges.remove(first, count)
            model -= numbers([(first, count)])
        found = list(ranges)
        assert numbers(found) == model
        assert all(a.stop < b.first for a, b in pairwise(found))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.integers(0, 20)), max_size=30))
def test_a_key_set_behaves_like_a_set_of_keys(steps: list[tuple[bool, int, int]]) -> None:
    keys, model = KeySet(), set[PacketKey]()
    for adding, boot, pkt in steps:
        key = PacketKey(boot, pkt)
        (keys.add if adding else keys.discard)(key)
        (model.add if adding else model.discard)(key)
    assert list(keys) == sorted(model)
    assert bool(keys) == bool(model)
    assert all(key in keys for key in model)
    assert KeySet(keys.ranges()).of(1) == keys.of(1)
    keys.clear()
    assert not keys.boots


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
