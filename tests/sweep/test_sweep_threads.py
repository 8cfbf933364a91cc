from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    Malformed,
    MockStreamClient,
    ScriptError,
    Stall,
    StreamCancelled,
    SweepError,
    SweepResult,
    Truncate,
    sweep_threads,
)


def reads(client: MockStreamClient, timeout: float = 60) -> str:
    with client.complete_stream("hi", timeout=timeout) as stream:
        text = stream.read()
    if stream.state == "broken":
        raise ConnectionError
    return text


def failed(function: Any, client: MockStreamClient, **options: Any) -> SweepResult:
    with pytest.raises(SweepError) as caught:
        sweep_threads(function, client, **{"grace": 0.01, **options})
    result = caught.value.result
    assert isinstance(result, SweepResult)
    return result


@pytest.fixture
def client(mock_stream_client: MockStreamClient) -> MockStreamClient:
    mock_stream_client.respond("one two")
    return mock_stream_client


@pytest.mark.parametrize("producer", ["inline", "background"])
def test_careful_reader_passes_at_every_chunk(producer: Any, no_thread_left: None) -> None:
    client = MockStreamClient(producer=producer)

    noisy = [Truncate, Disconnect, ErrorEvent, Malformed]
    result = sweep_threads(lambda: reads(client), client, faults=["close", "cancel", *noisy])

    assert result.points == 6 * 12
    assert result.not_reached == ()


def test_timeout_of_its_own_ends_a_silence(client: MockStreamClient) -> None:
    timeouts = itertools.chain([60], itertools.repeat(0.05))  # whole streams get all the time they want

    result = sweep_threads(lambda: reads(client, next(timeouts)), client, faults=[Stall])

    assert result.points == 3


def test_success_on_a_truncated_stream_is_found(client: MockStreamClient) -> None:
    result = failed(lambda: client.complete_stream("hi").read(), client, faults=[Truncate])

    assert [visit.chunk for visit in result.bad] == [1, 2, 3]


def test_reader_that_hides_the_cancellation_is_found(client: MockStreamClient) -> None:
    def hides() -> str:
        try:
            return client.complete_stream("hi").read()
        except StreamCancelled:
            return ""

    result = failed(hides, client, faults=["close", "cancel"])

    assert [visit.what for visit in result.bad] == ["cancelled by another thread before chunk {} of answer 1"] * 3


def test_stream_that_another_thread_closes_just_ends(client: MockStreamClient) -> None:
    texts = []

    sweep_threads(lambda: texts.append(client.complete_stream("hi").read()), client, faults=["close"])

    assert texts == ["one two", "", "one ", "one two"]


def test_silence_without_a_timeout_is_bounded_and_its_thread_ended(client: MockStreamClient) -> None:
    before = set(threading.enumerate())

    result = failed(lambda: client.complete_stream("hi").read(), client, faults=[Stall], patience=0.05)

    assert len(result.bad) == 3
    assert "test_sweep_threads.py" in result.report()
    assert set(threading.enumerate()) <= before


def test_thread_that_is_left_is_found(client: MockStreamClient) -> None:
    ends: list[threading.Event] = []

    def leaves() -> None:
        with client.complete_stream("hi") as stream:
            end = threading.Event()
            ends.append(end)
            thread = threading.Thread(target=end.wait)
            thread.start()
            if [chunk for chunk in stream if chunk.done]:
                end.set()
                thread.join()
                return
        raise ConnectionError

    result = failed(leaves, client, faults=[Truncate])

    for end in ends:
        end.set()
    assert [visit.chunk for visit in result.bad] == [1, 2, 3]


def test_what_the_function_raises_at_first_is_the_callers_to_see(client: MockStreamClient) -> None:
    def broken() -> None:
        client.complete("hi")
        raise ValueError("as always")

    with pytest.raises(ValueError, match="as always"):
        sweep_threads(broken, client)


def test_word_that_is_not_known_is_named(client: MockStreamClient) -> None:
    client.complete("hi")

    with pytest.raises(ScriptError, match="'drop' is not known; give 'close', 'cancel' or a fault"):
        sweep_threads(list, client, faults=["drop"])  # type: ignore[list-item] # the mistake


async def chats() -> None:
    """Is async."""


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (chats, "chats is async: sweep it with sweep_cancellation or sweep_faults"),
        (3, "function=3 cannot be called: give a function without arguments"),
    ],
)
def test_what_is_no_function_of_a_thread_is_named(function: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        sweep_threads(function, MockStreamClient())

    assert str(caught.value) == message


def test_nothing_to_break_is_said() -> None:
    with pytest.raises(ScriptError, match="sweep_threads of list: there is nothing to break"):
        sweep_threads(list, MockStreamClient())
