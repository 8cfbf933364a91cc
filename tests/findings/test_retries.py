"""The record knows which request tries which again."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from three_doors import DOORS, Door, opened_door

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    HTTPError,
    Malformed,
    MockStreamClient,
    ProviderError,
    Request,
    Stall,
    StreamTimeout,
    Truncate,
)
from pytest_mockstream.playbook.same import sameness


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    with opened_door(request.param) as opened:
        yield opened


def ask(door: Door, text: str = "hi", **fields: Any) -> str | None:
    try:
        return door.ask(text, **fields)
    except Exception:
        return None


def links(requests: list[Request]) -> list[int | None]:
    """Return the number of the request that each tries again."""
    return [None if request.retry_of is None else request.retry_of.number for request in requests]


def test_same_question_after_a_failure_is_a_retry(door: Door) -> None:
    door.scripts.respond(HTTPError(500))
    door.scripts.respond("yes")

    assert [ask(door), ask(door)] == [None, "yes"]

    assert links(door.scripts.requests) == [None, 1]


def test_retries_of_a_request_are_those_of_its_retries_too(door: Door) -> None:
    for _ in range(2):
        door.scripts.respond(HTTPError(503))
    door.scripts.respond("yes")

    assert [ask(door) for _ in range(3)] == [None, None, "yes"]

    first, second, third = door.scripts.requests
    assert links([first, second, third]) == [None, 1, 2]
    assert [list(first.retries), list(second.retries), list(third.retries)] == [[second, third], [third], []]


def test_what_is_tried_again_is_known_anew_after_each_request() -> None:
    client = MockStreamClient()
    client.respond(HTTPError(500), times=2)
    client.respond("yes")

    seen = []
    for _ in range(3):
        with suppress(ProviderError):
            client.complete("hi")
        seen.append(links(client.requests))

    assert seen == [[None], [None, 1], [None, 1, 2]]


def test_same_question_after_an_answer_is_no_retry(door: Door) -> None:
    for _ in range(2):
        door.scripts.respond("yes")

    assert [ask(door), ask(door)] == ["yes", "yes"]

    assert links(door.scripts.requests) == [None, None]


@pytest.mark.parametrize(
    "other",
    [{"text": "hello"}, {"model": "other"}, {"temperature": 1}, {"tools": [{"name": "t"}]}],
    ids=["text", "model", "parameter", "tools"],
)
def test_another_question_is_no_retry(other: dict[str, Any]) -> None:
    client = MockStreamClient()
    client.respond(HTTPError(500))
    client.respond("yes")

    with pytest.raises(ProviderError):
        client.complete("hi")
    client.complete(other.pop("text", "hi"), **other)

    assert links(client.requests) == [None, None]


@pytest.mark.parametrize("volatile", [{"stream": True}, {"user": "42"}, {"metadata": {"trace": "1"}}])
def test_what_only_says_how_to_send_or_file_an_answer_is_the_same_question(volatile: dict[str, Any]) -> None:
    client = MockStreamClient()
    client.complete("hi", temperature=0.5)
    client.chat([{"role": "user", "content": "hi"}], temperature=0.5, **volatile)

    first, second = client.requests

    assert sameness(first) == sameness(second)


def test_true_and_one_are_not_the_same() -> None:
    client = MockStreamClient()
    client.complete("hi", strict=True)
    client.complete("hi", strict=1)

    assert len({sameness(request) for request in client.requests}) == 2


@pytest.mark.parametrize(
    "fault", [Truncate(), Disconnect(), ErrorEvent(), Malformed()], ids=lambda fault: type(fault).__name__
)
def test_stream_that_broke_is_tried_again(fault: Any) -> None:
    client = MockStreamClient()
    client.respond("one two", fault)
    client.respond("one two")

    for _ in range(2):
        with client.complete_stream("hi") as stream, suppress(Exception):
            stream.read()

    assert links(client.requests) == [None, 1]


def test_stream_that_fell_silent_is_tried_again() -> None:
    client = MockStreamClient()
    client.respond("one", Stall())
    client.respond("one")

    with pytest.raises(StreamTimeout):
        client.complete("hi", timeout=0.01)
    client.complete("hi")

    assert links(client.requests) == [None, 1]


def test_stream_that_its_reader_left_is_no_failure() -> None:
    client = MockStreamClient()
    client.respond("one two", Disconnect())
    client.respond("one two")

    with client.complete_stream("hi") as stream:
        next(stream)
    client.complete("hi")

    assert links(client.requests) == [None, None]


async def test_hedge_that_was_sent_before_the_first_failed_is_no_retry() -> None:
    client = MockStreamClient()
    client.respond("one", Disconnect())
    client.respond("one")

    async with client.complete_stream("hi") as first, client.complete_stream("hi") as hedge:
        with pytest.raises(ConnectionError):
            await first.aread()
        await hedge.aread()

    assert links(client.requests) == [None, None]


async def test_each_of_two_that_ask_the_same_at_once_has_its_own_retry() -> None:
    client = MockStreamClient()
    for _ in range(2):
        client.respond(HTTPError(500))
    client.respond("yes", times=2)

    async def asks() -> None:
        for _ in range(2):
            try:
                await client.acomplete("hi")
            except ProviderError:
                await asyncio.sleep(0)

    await asyncio.gather(asks(), asks())

    assert sorted(filter(None, links(client.requests))) == [1, 2]


def test_question_after_a_retry_that_worked_is_no_retry() -> None:
    client = MockStreamClient()
    client.respond(HTTPError(500))
    client.respond("yes", times=2)

    with pytest.raises(ProviderError):
        client.complete("hi")
    for _ in range(2):
        client.complete("hi")

    assert links(client.requests) == [None, 1, None]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["copy", "pickle"])  # noqa: S301
def test_copy_keeps_what_was_tried_again(copied: Any) -> None:
    client = MockStreamClient()
    client.respond(HTTPError(500))
    client.respond("yes")
    with pytest.raises(ProviderError):
        client.complete("hi")
    client.complete("hi")

    first, second = copied(client.requests)

    assert (first.retry_of, list(first.retries)) == (None, [second])
    assert (second.retry_of, list(second.retries)) == (first, [])
