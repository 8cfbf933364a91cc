from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mockstream import ScriptError
from pytest_mockstream._base.legal import duration, rate
from pytest_mockstream.script.pacing import Pacing


def gaps(pacing: Pacing, count: int = 5, *, salt: int = 0) -> list[float]:
    return list(islice(pacing.gaps(salt=salt), count))


@pytest.mark.parametrize(
    ("text", "value"), [("50ms", 0.05), ("1.5s", 1.5), ("2m", 120.0), ("10h", 36000.0), ("3", 3.0), (" .5 s ", 0.5)]
)
def test_duration_texts(text: str, value: float) -> None:
    assert duration(text, "delay") == pytest.approx(value)


@pytest.mark.parametrize("check", [duration, rate])
def test_a_number_too_large_for_a_float_is_none(check: Callable[[object, str], float]) -> None:
    with pytest.raises(ScriptError, match="delay=1000000"):
        check(10**400, "delay")


@pytest.mark.parametrize("text", ["", "s", "-1s", "1 day", "1e3", "nan", "inf", "1..5s", "٣s"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(ScriptError, match="delay="):
        duration(text, "delay")


def test_ttft_stands_in_for_the_first_delay() -> None:
    assert gaps(Pacing(delay=0.1, ttft=2), 3) == [2, 0.1, 0.1]


def test_first_gap_without_ttft_is_the_delay() -> None:
    assert gaps(Pacing(delay=0.1), 2) == [0.1, 0.1]


def test_tokens_per_second_is_the_inverse_of_delay() -> None:
    assert gaps(Pacing(tokens_per_second=4), 2) == [0.25, 0.25]


@given(st.integers(), st.integers(1, 1000))
def test_one_seed_gives_the_same_gaps_again(seed: int, salt: int) -> None:
    pacing = Pacing(delay=1, jitter=0.5, seed=seed)

    assert gaps(pacing, 20, salt=salt) == gaps(pacing, 20, salt=salt)


def test_streams_that_share_a_seed_have_gaps_of_their_own() -> None:
    pacing = Pacing(delay=1, jitter=0.5, seed=7)

    assert gaps(pacing, 5, salt=1) != gaps(pacing, 5, salt=2)


@given(st.floats(0, 10), st.floats(0, 10))
def test_jitter_stays_within_its_bounds(delay: float, jitter: float) -> None:
    for gap in gaps(Pacing(delay=delay, jitter=jitter), 50)[1:]:
        assert max(0, delay - jitter) <= gap <= delay + jitter


def test_narrower_pacing_wins_and_leaves_the_rest() -> None:
    assert Pacing(ttft=1).over(Pacing(delay=2, ttft=3)) == Pacing(ttft=1, delay=2)


def test_a_narrower_rate_stands_in_for_a_wider_delay_and_the_other_way_round() -> None:
    assert Pacing(tokens_per_second=5).over(Pacing(delay=2)) == Pacing(tokens_per_second=5)
    assert Pacing(delay=2).over(Pacing(tokens_per_second=5)) == Pacing(delay=2)
