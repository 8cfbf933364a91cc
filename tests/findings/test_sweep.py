"""``sweep_faults`` reports findings at every point, whether or not code is meant to complete."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pytest_mockstream import (
    Disconnect,
    HTTPError,
    MockStreamClient,
    StreamCancelled,
    SweepError,
    SweepResult,
    Truncate,
    sweep_faults,
    sweep_threads,
)

TEXT = "Paris is lovely."


@pytest.fixture
def client(mock_stream_client: MockStreamClient) -> MockStreamClient:
    mock_stream_client.respond(TEXT, times=None)
    return mock_stream_client


async def bad(make: Any, client: MockStreamClient, **options: Any) -> SweepResult:
    with pytest.raises(SweepError) as caught:
        await sweep_faults(make, client, grace=0.01, **{"allow_completion": True, "faults": [Disconnect], **options})
    result = caught.value.result
    assert isinstance(result, SweepResult)
    return result


def found(result: SweepResult) -> list[tuple[int | None, list[str]]]:
    """Return the number of each bad chunk, and what was found there."""
    return [(visit.chunk, [problem.text.partition(":")[0] for problem in visit.problems]) for visit in result.bad]


async def appends(client: MockStreamClient) -> str:
    shown = ""
    for _ in range(3):
        try:
            async with client.complete_stream("Paris?") as stream:
                async for chunk in stream:
                    shown += chunk.delta
            return shown
        except ConnectionError:
            continue
    raise ConnectionError


async def prints(client: MockStreamClient) -> None:
    for _ in range(3):
        try:
            async with client.complete_stream("Paris?") as stream:
                async for chunk in stream:
                    print(chunk.delta, end="")  # noqa: T201 - what is tested
            return
        except ConnectionError:
            continue


async def yields(client: MockStreamClient) -> AsyncIterator[str]:
    for _ in range(3):
        try:
            async with client.complete_stream("Paris?") as stream:
                async for chunk in stream:
                    yield chunk.delta
            return
        except ConnectionError:
            continue


async def begins_anew(client: MockStreamClient) -> str:
    for _ in range(3):
        try:
            async with client.complete_stream("Paris?") as stream:
                return "".join([chunk.delta async for chunk in stream])
        except ConnectionError:
            continue
    raise ConnectionError


@pytest.mark.parametrize("make", [appends, prints, yields])
async def test_retry_that_repeats_what_was_delivered_is_found_at_every_point_but_the_first(
    client: MockStreamClient, make: Any
) -> None:
    result = await bad(lambda: make(client), client)

    assert found(result) == [(number, ["repeats_delivered"]) for number in (2, 3, 4)]
    assert "Paris Paris is lovely." in result.report()
    assert "async for chunk in stream" in result.report()
    assert "Once text has been delivered, a retry must not append to it" in result.report()


async def test_what_the_user_sees_may_be_shown_by_a_function(client: MockStreamClient) -> None:
    screen: list[str] = []

    async def shows() -> None:
        screen[:] = [await appends(client)]

    result = await bad(shows, client, shown=lambda: screen)

    assert found(result) == [(number, ["repeats_delivered"]) for number in (2, 3, 4)]


async def test_retry_that_begins_anew_is_clean(client: MockStreamClient) -> None:
    result = await sweep_faults(lambda: begins_anew(client), client, faults=[Disconnect], allow_completion=True)

    assert (result.ok, result.points) == (True, 4)


async def test_iterator_that_breaks_off_is_judged_as_a_coroutine_is(client: MockStreamClient) -> None:
    async def passes_on() -> AsyncIterator[str]:
        async with client.complete_stream("Paris?") as stream:
            async for chunk in stream:
                yield chunk.delta

    assert (await sweep_faults(passes_on, client, faults=[Disconnect])).ok
    assert [number for number, _ in found(await bad(passes_on, client, faults=[Truncate]))] == [1, 2, 3, 4]


async def test_heading_that_looks_like_the_delivered_part_is_no_repetition(client: MockStreamClient) -> None:
    async def with_heading() -> str:
        return f"Paris\n{await begins_anew(client)}"

    result = await sweep_faults(with_heading, client, faults=[Disconnect], allow_completion=True)

    assert (result.ok, result.points) == (True, 4)


async def keeps(client: MockStreamClient) -> str:
    shown = ""
    try:
        async with client.complete_stream("Paris?") as stream:
            async for chunk in stream:
                shown += chunk.delta
    except ConnectionError:
        pass
    return shown


async def loses(client: MockStreamClient) -> str:
    shown = await keeps(client)
    return shown if client.requests[-1].state == "exhausted" else ""


async def marks(client: MockStreamClient) -> tuple[str, bool]:
    return await keeps(client), client.requests[-1].state == "exhausted"


async def test_completion_that_is_allowed_must_not_hide_the_failure(client: MockStreamClient) -> None:
    assert found(await bad(lambda: keeps(client), client, faults=[Truncate])) == [
        (number, ["takes_truncated_for_whole"]) for number in (1, 2, 3, 4)
    ]
    assert found(await bad(lambda: keeps(client), client)) == [(number, ["hides_failure"]) for number in (1, 2, 3, 4)]
    assert found(await bad(lambda: loses(client), client)) == [
        (1, ["hides_failure"]),
        *((number, ["loses_delivered"]) for number in (2, 3, 4)),
    ]


async def test_completion_that_says_what_is_missing_is_clean(client: MockStreamClient) -> None:
    assert (await sweep_faults(lambda: marks(client), client, faults=[Truncate, Disconnect], allow_completion=True)).ok


async def test_completion_that_is_not_allowed_is_told_once(client: MockStreamClient) -> None:
    result = await bad(lambda: keeps(client), client, faults=[Truncate], allow_completion=False)

    assert all(len(visit.problems) == 1 for visit in result.bad)
    assert "it reported success on a broken stream" in result.report()


async def test_code_whose_outcome_is_no_answer_is_not_judged_by_it(client: MockStreamClient) -> None:
    async def counts() -> int:
        return len(await keeps(client))

    assert (await sweep_faults(counts, client, faults=[Truncate, Disconnect], allow_completion=True)).ok


async def test_permanent_error_that_is_tried_again_is_found(client: MockStreamClient) -> None:
    async def asks() -> str:
        for _ in range(2):
            try:
                return (await client.acomplete("Paris?")).content
            except Exception:  # noqa: S112 - what a retry loop does
                continue
        raise ConnectionError

    result = await bad(asks, client, faults=[HTTPError(400), HTTPError(503)])

    assert found(result) == [(None, ["retries_permanent"])]


# In threads.


def prints_in_a_thread(client: MockStreamClient) -> None:
    for _ in range(3):
        try:
            with client.complete_stream("Paris?") as stream:
                for chunk in stream:
                    print(chunk.delta, end="")  # noqa: T201 - what is tested
            return
        except ConnectionError:
            continue
    raise ConnectionError


def appends_in_a_thread(client: MockStreamClient) -> str:
    shown = ""
    for _ in range(3):
        try:
            with client.complete_stream("Paris?") as stream:
                for chunk in stream:
                    shown += chunk.delta
            return shown
        except ConnectionError:
            continue
    raise ConnectionError


def begins_anew_in_a_thread(client: MockStreamClient) -> str:
    for _ in range(3):
        try:
            with client.complete_stream("Paris?") as stream:
                return "".join(chunk.delta for chunk in stream)
        except ConnectionError:
            continue
    raise ConnectionError


def bad_in_threads(function: Any, client: MockStreamClient, **options: Any) -> SweepResult:
    with pytest.raises(SweepError) as caught:
        sweep_threads(function, client, **{"allow_completion": True, "faults": [Disconnect], **options})
    result = caught.value.result
    assert isinstance(result, SweepResult)
    return result


@pytest.mark.parametrize("function", [appends_in_a_thread, prints_in_a_thread])
def test_thread_that_repeats_what_was_delivered_is_found(client: MockStreamClient, function: Any) -> None:
    result = bad_in_threads(lambda: function(client), client)

    assert found(result) == [(number, ["repeats_delivered"]) for number in (2, 3, 4)]
    assert "for chunk in stream" in result.report()


def test_what_a_thread_shows_is_told_by_a_function(client: MockStreamClient) -> None:
    screen: list[str] = []

    def shows() -> None:
        screen[:] = [appends_in_a_thread(client)]

    result = bad_in_threads(shows, client, shown=lambda: screen)

    assert found(result) == [(number, ["repeats_delivered"]) for number in (2, 3, 4)]


def test_thread_that_begins_anew_is_clean(client: MockStreamClient) -> None:
    result = sweep_threads(lambda: begins_anew_in_a_thread(client), client, faults=[Disconnect], allow_completion=True)

    assert (result.ok, result.points) == (True, 4)


def test_thread_that_hides_the_failure_is_found(client: MockStreamClient) -> None:
    def keeps() -> str:
        shown = ""
        with contextlib.suppress(ConnectionError), client.complete_stream("Paris?") as stream:
            for chunk in stream:
                shown += chunk.delta
        return shown

    assert found(bad_in_threads(keeps, client)) == [(number, ["hides_failure"]) for number in (1, 2, 3, 4)]
    truncated = [(number, ["takes_truncated_for_whole"]) for number in (1, 2, 3, 4)]
    assert found(bad_in_threads(keeps, client, faults=[Truncate])) == truncated


def test_stream_that_another_thread_ends_is_no_failure_to_tell(client: MockStreamClient) -> None:
    def keeps() -> str:
        shown = ""
        with contextlib.suppress(StreamCancelled), client.complete_stream("Paris?") as stream:
            for chunk in stream:
                shown += chunk.delta
        return shown

    assert sweep_threads(keeps, client, faults=["close", "cancel"], allow_completion=True).ok
