"""What a test is told of scripts and requests that do not fit each other."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from pytest_mockstream import (
    Disconnect,
    MockStreamClient,
    ScriptError,
    UnexpectedRequestError,
    UnusedScriptError,
)
from pytest_mockstream._base.callsite import calling_site


@pytest.fixture
def client() -> MockStreamClient:
    return MockStreamClient()


def told(client: MockStreamClient) -> list[str]:
    with pytest.raises((UnusedScriptError, UnexpectedRequestError)) as caught:
        client.verify()
    return str(caught.value).splitlines()


def test_unplayed_script_is_told_with_its_line_and_with_what_was_asked_instead(client: MockStreamClient) -> None:
    here = calling_site().lineno
    client.when(contains="weather").respond("rain")
    client.respond("Hello")
    client.complete("hi", model="big")

    first, script, came, request, remedy = told(client)

    assert first == "1 script was not played:"
    assert script.startswith("    Script(Text(content='rain')) for when(contains='weather'), queued at ")
    assert script.endswith(f"test_playbook.py:{here + 1} (played 0 of 1 time)")
    assert came == "  1 request came:"
    assert request.startswith("    1. complete at ")
    assert request.endswith(f"test_playbook.py:{here + 3}: model 'big' (provider 'mock'): 'hi'")
    assert remedy.startswith("  Remove the script, or make the code under test ask for it;")


def test_unplayed_scripts_are_told_where_no_request_came(client: MockStreamClient) -> None:
    client.respond("a")
    client.respond("b")

    lines = told(client)

    assert lines[0] == "2 scripts were not played:"
    assert lines[3] == "  No request came."


def test_script_that_was_not_played_often_enough_is_told_so(client: MockStreamClient) -> None:
    client.respond("a", times=2)
    client.complete("hi")

    first, script, *_ = told(client)

    assert first == "1 script was not played as often as meant:"
    assert script.endswith("(played 1 of 2 times)")


def test_only_the_first_requests_are_listed(client: MockStreamClient) -> None:
    client.respond("a", times=7)
    client.when(turn=2).respond("b")
    for number in range(7):
        client.complete(f"question {number}")

    lines = told(client)

    assert "  7 requests came:" in lines
    assert "    and 2 more" in lines
    assert not any("question 5" in line for line in lines)


def test_when_without_respond_is_told_with_its_line(client: MockStreamClient) -> None:
    here = calling_site().lineno
    client.when(contains="Paris")
    client.complete("Paris?")

    lines = told(client)

    assert lines[0] == "nothing is queued for:"
    assert lines[1].startswith("    when(contains='Paris') at ")
    assert lines[1].endswith(f"test_playbook.py:{here + 1}")
    assert "when(...).respond(...)" in lines[2]


def test_when_without_respond_is_told_whether_scripts_may_go_unplayed_or_not(client: MockStreamClient) -> None:
    client.when(contains="Paris")

    with pytest.raises(UnusedScriptError, match="nothing is queued"):
        client.verify(unused="allow")


def test_when_whose_respond_was_refused_is_not_told_again(client: MockStreamClient) -> None:
    with pytest.raises(ScriptError):
        client.when(contains="Paris").respond(Disconnect)  # type: ignore[arg-type]

    client.verify()


def test_one_when_can_queue_several_scripts(client: MockStreamClient) -> None:
    paris = client.when(contains="Paris")
    paris.respond("one")
    paris.respond("two")

    assert [client.complete("Paris").content for _ in range(2)] == ["one", "two"]
    client.verify()


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda c: c.when("Paris"), ["when('Paris')", "when(contains='Paris')", "predicate="]),
        (lambda c: c.when(lambda request: True), ["when(predicate=...)"]),
        (lambda c: c.when(3), ["when(3)", "contains="]),
        (lambda c: c.when(), ["when() narrows nothing", "contains=", "respond(...) alone"]),
        (lambda c: c.respond(), ["respond() has nothing to play", 'or "" for an empty answer']),
        (lambda c: c.respond(times=None), ["respond() has nothing to play"]),
        (lambda c: c.when(turn=1).respond(), ["respond() has nothing to play"]),
        (lambda c: c.when(provider="openai"), ["when(provider='openai')", "Give one of mock"]),
        (lambda c: c.when(provider="Mock"), ["Did you mean 'mock'?"]),
    ],
)
def test_call_that_says_nothing_is_refused(
    client: MockStreamClient, mistake: Callable[[Any], object], words: list[str]
) -> None:
    with pytest.raises(ScriptError) as caught:
        mistake(client)

    assert all(word in str(caught.value) for word in words), str(caught.value)
    client.verify()


def test_type_checkers_see_a_condition_without_a_name(client: MockStreamClient) -> None:
    with pytest.raises(ScriptError):
        client.when("Paris")  # type: ignore[arg-type]


def test_empty_answer_is_an_answer(client: MockStreamClient) -> None:
    client.respond("")

    assert client.complete("hi").content == ""


def test_unexpected_request_says_what_is_left(client: MockStreamClient) -> None:
    client.when(contains="weather").respond("rain")
    client.respond("Hello", times=2)
    client.complete("hi")
    client.complete("hi")

    with pytest.raises(UnexpectedRequestError) as caught:
        client.complete("again")

    assert "  1 of 2 scripts is left, but not for such a request:\n" in str(caught.value)


def calls_made_by(run: Callable[[], object]) -> int:
    """Count the calls of Python functions that a run makes: a measure of its cost that no other process disturbs."""
    count = 0

    def note(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return count


def play_all_of_a_queue(count: int) -> None:
    client = MockStreamClient()
    client.when(contains="never").respond("never asked for")
    for number in range(count):
        client.respond(str(number))
    played = [client.complete("hi").content for _ in range(count)]
    assert played == list(map(str, range(count)))


def play_each_as_it_is_queued(count: int) -> None:
    client = MockStreamClient()
    client.when(contains="never").respond("never asked for")
    for number in range(count):
        client.when(contains=f"<{number}>").respond(str(number))
        assert client.complete(f"<{number}>").content == str(number)


@pytest.mark.parametrize("play", [play_all_of_a_queue, play_each_as_it_is_queued])
def test_request_costs_the_same_however_many_scripts_were_played_before(play: Callable[[int], None]) -> None:
    play(1)  # what is made at the first use

    assert calls_made_by(lambda: play(400)) < 4.2 * calls_made_by(lambda: play(100))


def test_scripts_that_were_used_up_are_found_again_once_they_are_restored() -> None:
    client = MockStreamClient()
    client.respond("one")
    client.respond("two")
    restore = client._playbook.save()

    played = []
    for _ in range(2):
        restore()
        played += [client.complete("hi").content for _ in range(2)]

    assert played == ["one", "two", "one", "two"]


def test_request_without_a_script_is_told_which_came_before() -> None:
    client = MockStreamClient()
    client.respond("one")
    client.complete("the thread of an earlier test")

    with pytest.raises(UnexpectedRequestError) as caught:
        client.complete("mine")

    before = str(caught.value).splitlines()[4:6]
    assert before[0] == "  Asked before:"
    assert before[1].startswith("    1. complete at tests/playbook/test_playbook.py:")
    assert before[1].endswith(": model 'mock-model' (provider 'mock'): 'the thread of an earlier test'")
