from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mockstream import ScriptError
from pytest_mockstream.sweep.order_search import Deviations, Search, Tape, deviations_of, shrunk, token_of

ORDERS = st.dictionaries(st.integers(0, 99), st.integers(1, 9), max_size=5).map(
    lambda made: tuple(sorted(made.items()))
)


def walk(search: Search, widths: Sequence[int]) -> list[tuple[int, ...]]:
    """Let a search go through a tree in which each decision is between so many things."""
    return [tuple(tape.choose(width) for width in widths) for tape in search.tapes()]


@given(st.lists(st.integers(1, 3), max_size=5))
def test_each_order_of_a_small_tree_is_tried_once(widths: list[int]) -> None:
    search = Search(1_000)

    found = walk(search, widths)

    assert sorted(found) == sorted(itertools.product(*map(range, widths)))
    assert search.is_complete
    assert search.tried == len(found)


def test_fewest_deviations_come_first() -> None:
    found = walk(Search(1_000), [2, 3, 2])

    deviations = [sum(chosen > 0 for chosen in order) for order in found]
    assert deviations == sorted(deviations)


def test_tree_whose_depth_depends_on_the_decisions_is_tried_whole() -> None:
    found = []
    for tape in Search(100).tapes():
        left = [2, 2]
        order = ""
        while any(left):
            there = [stream for stream in (0, 1) if left[stream]]
            chosen = there[tape.choose(len(there)) if len(there) > 1 else 0]
            left[chosen] -= 1
            order += "ab"[chosen]
        found.append(order)

    assert sorted(found) == ["aabb", "abab", "abba", "baab", "baba", "bbaa"]


def test_what_does_not_fit_in_is_sampled_and_its_size_told() -> None:
    search = Search(100, seed=3)

    found = walk(search, [4] * 10)

    assert len(found) == search.tried == 100
    assert not search.is_complete
    assert (search.deviations, search.sampled) == (1, 25)
    assert search.estimate == 4**10


def test_tree_that_just_fits_in_is_not_sampled() -> None:
    search = Search(64)

    walk(search, [4] * 3)

    assert search.is_complete
    assert search.sampled == 0


def test_samples_are_the_same_for_the_same_seed() -> None:
    assert walk(Search(100, seed=3), [4] * 10) == walk(Search(100, seed=3), [4] * 10)
    assert walk(Search(100, seed=3), [4] * 10) != walk(Search(100, seed=4), [4] * 10)


def test_orders_to_begin_with_come_right_after_the_first_and_only_once() -> None:
    search = Search(1_000, first=(((2, 1),),))

    found = walk(search, [2, 2, 2])

    assert found[:2] == [(0, 0, 0), (0, 0, 1)]
    assert len(found) == len(set(found)) == 8
    assert search.is_complete


def test_order_that_cannot_be_made_does_not_fit() -> None:
    for given_order in ((0, 2),), ((5, 1),):
        tape = Tape(given_order)
        tape.choose(2)
        assert not tape.fits


@given(ORDERS)
def test_token_stands_for_its_order(order: Deviations) -> None:
    assert deviations_of(token_of(order)) == order


@pytest.mark.parametrize("token", ["", "1", "1.0", "2.1-1.1", "1.1-1.2", "a.b", "1.1-", 3])
def test_what_is_no_order_is_refused(token: object) -> None:
    with pytest.raises(ScriptError, match="give an order as a report shows it"):
        deviations_of(token)


async def test_order_is_shrunk_to_the_decisions_that_matter() -> None:
    async def fails(order: Deviations) -> Deviations | None:
        made = dict(order)
        return order if made.get(4) and made.get(9, 0) >= 2 else None

    assert await shrunk(((1, 2), (4, 3), (7, 1), (9, 2)), fails) == ((4, 1), (9, 2))
