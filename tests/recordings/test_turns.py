"""Where parts that came by turns are more than one step."""

from __future__ import annotations

import pytest

from pytest_mockstream.recordings.turns import by_turns, cut_apart, end_of_turns

TEXTS = dict.fromkeys("tuv", "text")
THOUGHTS = dict.fromkeys("qr", "reasoning")


def cut(turns: str) -> list[str]:
    places = {ord(name): kind for name, kind in (TEXTS | THOUGHTS).items()}
    return ["".join(map(chr, some)) for some in cut_apart([ord(name) for name in turns], places)]


@pytest.mark.parametrize(
    ("turns", "steps"),
    [
        ("trtr", ["trtr"]),
        ("trrtcrc", ["trrtcrc"]),  # one text: nothing is to be told apart
        ("trtrrcucr", ["trtr", "rcucr"]),
        ("trtrrrucr", ["trtrr", "rucr"]),  # as late as it can be
        ("rtrttqtq", ["rtrt", "tqtq"]),
        ("trtrruruuqu", ["trtr", "ruru", "uqu"]),
        ("trtrurv", ["trtrurv"]),  # the other block goes on nowhere between two of its own chunks
        ("ctrtrrucr", ["ctrtrrucr"]),  # a call goes on
        ("trtccuc", ["trtccuc"]),  # and nothing goes on with a call
    ],
)
def test_blocks_of_one_kind_are_told_apart(turns: str, steps: list[str]) -> None:
    assert cut(turns) == steps


def test_parts_that_are_among_the_chunks_of_others_are_turns() -> None:
    assert end_of_turns(0, 4, {0: 0, 1: 1, 2: 3, 3: 5}, {0: 2, 1: 4, 2: 6, 3: 5}) == 4
    assert end_of_turns(0, 3, {0: 0, 1: 2, 2: 3}, {0: 1, 1: 2, 2: 3}) == 1
    assert end_of_turns(0, 3, {0: 0, 2: 1}, {0: 2, 2: 1}) == 1


def test_usual_order_is_the_first_chunk_of_each_part_and_so_on() -> None:
    assert by_turns([2, 1, 3]) == [0, 1, 2, 0, 2, 2]
