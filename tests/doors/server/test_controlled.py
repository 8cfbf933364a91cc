"""A playback that is held, stepped and ended by hand, whatever is done to it in whatever order."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_mockstream import Disconnect, Stall, Wait
from pytest_mockstream.playback import ControlledPlayback, End

_DOINGS = st.lists(st.sampled_from(["hold", "let_go", "step", "take"]), max_size=40)


def playback(*schedule: Any, buffer_size: int = 100) -> ControlledPlayback[int]:
    return ControlledPlayback(iter(schedule), buffer_size=buffer_size, counts=lambda unit: unit % 2 == 1)


def drained(played: ControlledPlayback[int]) -> list[Any]:
    """Take what there is."""
    taken: list[Any] = []
    while isinstance(got := played.take(), tuple):
        taken.append(got[1])
    return [*taken, got]


@given(_DOINGS, st.integers(1, 12), st.integers(0, 10))
def test_nothing_is_lost_doubled_or_let_past_a_hold(doings: list[str], size: int, units: int) -> None:
    played = playback(*range(units), buffer_size=size)
    taken: list[int] = []
    steps = 0
    for doing in doings:
        if doing == "take":
            got = played.take()
            if isinstance(got, tuple):
                assert not played.is_held or steps
                steps -= got[1] % 2 if played.is_held else 0
                taken.append(got[1])
            elif got is not None:
                steps -= 1 if played.is_held else 0
        elif doing == "step":
            assert played.step()
            steps += 1
        else:
            getattr(played, doing)()
            steps = 0 if doing == "let_go" else steps

    played.let_go()

    assert [*taken, *drained(played)] == [*range(units), End.WHOLE]


def test_a_step_takes_with_it_what_does_not_count() -> None:
    played = playback(0, 2, 1, 4, 3)
    played.hold()

    assert drained(played) == [None]
    played.step()
    assert drained(played) == [0, 2, 1, None]


def test_a_step_comes_at_once_and_time_goes_on_from_there() -> None:
    played = playback(Wait(3600), 1, Wait(3600), 3)
    played.hold()

    assert played.step()

    assert drained(played) == [1, None]
    assert played.now() == 3600
    played.let_go()
    assert drained(played) == [None]
    assert 3600 <= played.now() < 3660


def test_where_nothing_comes_there_is_no_step() -> None:
    played = playback(1, Stall())
    played.hold()

    assert played.step()
    assert drained(played) == [1, None]
    assert not played.step()
    assert drained(played) == [None]


def test_time_stands_still_while_it_is_held() -> None:
    played = playback(1)
    played.hold()

    assert played.now() == played.now()


def test_what_has_arrived_is_left_out_once_it_is_ended() -> None:
    played = playback(1, 3, 5)
    assert played.take() is not None
    played.hold()

    played.end(Disconnect(), 7)
    played.end(Disconnect(how="cut"), 9)

    assert (played.is_ended, played.taken) == (True, 1)
    assert drained(played) == [7, Disconnect()]
    assert drained(played) == [Disconnect()]


def test_one_that_is_stopped_is_held_no_more() -> None:
    played = playback(1, Wait(3600), 3)
    played.hold()

    played.stop(End.LEFT)

    assert not played.is_held
    assert drained(played)[-1] is End.LEFT
