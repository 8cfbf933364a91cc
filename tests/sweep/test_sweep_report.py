# ruff: noqa: E501 - messages stand here as they are printed
"""What a sweep says, line by line."""

from __future__ import annotations

import asyncio
import contextlib
import textwrap
from typing import Any

import pytest

from pytest_mockstream import (
    Disconnect,
    HTTPError,
    MockStreamClient,
    Stall,
    SweepError,
    Truncate,
    sweep_cancellation,
    sweep_faults,
)
from sweep import planted
from sweep.planted import line

HERE = "tests/sweep/test_sweep_report.py"


def text(lines: str) -> str:
    return textwrap.dedent(lines).strip("\n")


async def said(make: planted.Making, **options: Any) -> str:
    with pytest.raises(SweepError) as caught:
        await sweep_cancellation(make, grace=0.01, **options)
    return at_home(str(caught.value))


async def said_of_faults(make: planted.Making, client: MockStreamClient, **options: Any) -> str:
    with pytest.raises(SweepError) as caught:
        await sweep_faults(make, client, grace=0.01, **options)
    return at_home(str(caught.value))


def at_home(report: str) -> str:
    """Name files as they are named where the suite runs in its own folder."""
    return report.replace(planted.__file__, "planted.py").replace("tests/sweep/planted.py", "planted.py")


@pytest.fixture
def client(mock_stream_client: MockStreamClient) -> MockStreamClient:
    mock_stream_client.respond("one two")
    return mock_stream_client


async def test_leak_is_said_with_its_place_its_reason_and_what_to_do() -> None:
    buggy = planted.started_before_try

    report = await said(buggy, max_points=1)

    assert report == text(
        f"""
        sweep_cancellation of started_before_try: 1 of 3 points visited in 1 runs, 1 bad
          1  BAD  cancelled at planted.py:{line(buggy, "here")} in started_before_try: await asyncio.sleep(0)  # here
                    it left 1 thing running, still there after 0.01 s:
                      task 'Task-N' waits at planted.py:{line(planted.pump, "pump")} in pump: await asyncio.Event().wait()  # pump
                        created at planted.py:{line(buggy, "here") - 1} in started_before_try
                        It waits for an event that nobody sets. Set the event, or cancel and await it.
          To exempt what is meant to live on: ignore=['sweep.planted.pump'].
          2 of 3 points were left out (max_points=1); visited: 1. max_points=None visits all, point=N one alone.
          To run one alone: point=1.
        """
    )


async def test_clean_up_that_is_cancelled_is_said() -> None:
    buggy = planted.cleans_up_slowly

    report = await said(buggy, point=1)

    assert report == text(
        f"""
        sweep_cancellation of cleans_up_slowly: 1 of 3 points visited in 2 runs, 1 bad
          1  BAD  cancelled at planted.py:{line(buggy, "here") - 2} in cleans_up_slowly: await asyncio.sleep(0)
                  and again at planted.py:{line(buggy, "here")} in cleans_up_slowly: await asyncio.sleep(0)  # here
                    it left 1 thing running, still there after 0.01 s:
                      task 'Task-N' waits at planted.py:{line(planted.pump, "pump")} in pump: await asyncio.Event().wait()  # pump
                        created at planted.py:{line(buggy, "here") - 4} in cleans_up_slowly
                        It waits for an event that nobody sets. Set the event, or cancel and await it.
          A clean-up that waits can be cancelled, too: do what must not be skipped before its first await, or put it in asyncio.shield().
          2 of 3 points were left out (point=1).
          To run one alone: point=1.
        """
    )


async def test_swallowed_cancellation_is_said() -> None:
    buggy = planted.swallows

    report = await said(buggy)

    assert report == text(
        f"""
        sweep_cancellation of swallows: 1 of 1 points visited in 1 runs, 1 bad
          1  BAD  cancelled at planted.py:{line(buggy, "here")} in swallows: await asyncio.sleep(0)  # here
                    the cancellation was swallowed: it went on and returned 'done'
          Let CancelledError propagate: catch Exception, not BaseException, and `raise` at the end of a handler that must see it. Where completing is meant: allow_completion=True.
          To run one alone: point=1.
        """
    )


async def test_lock_that_stays_held_is_said() -> None:
    buggy = planted.HoldsLock

    report = await said(buggy().run, patience=0.5)

    assert report == text(
        f"""
        sweep_cancellation of HoldsLock.run: 1 of 1 points visited in 1 runs, 1 bad
          1  BAD  cancelled at planted.py:{line(buggy, "here")} in HoldsLock.run: await asyncio.sleep(0)  # here
                    after this the code does not run any more, as when a lock is still held:
                      deadlock: nothing can happen any more:
                        the task of HoldsLock.run waits for the lock, at planted.py:{line(buggy, "here") - 1} in HoldsLock.run: await self.lock.acquire()
          The sweep stopped there: nothing that comes later could be judged.
          To run one alone: point=1.
        """
    )


async def test_broken_streams_are_said(client: MockStreamClient) -> None:
    read = line(planted.closes, "read")

    async def answer() -> str:
        return await planted.closes(client)

    report = await said_of_faults(answer, client, faults=[Truncate, Disconnect, Stall], raises=(OSError, TimeoutError))

    at = f"of answer 1 at planted.py:{read} in closes: return await stream.aread()  # read"
    assert report == text(
        f"""
        sweep_faults of test_broken_streams_are_said.answer: 9 of 9 points visited in 9 runs, 6 bad
          1-3  BAD  Truncate before chunk 1-3 {at}
                      it reported success on a broken stream: it returned '', 'one ', 'one two'
          7-9  BAD  Stall before chunk 1-3 {at}
                      it did not end within 1.5 s: it waits at planted.py:{read} in closes: return await stream.aread()  # read
          An SDK takes a stream that just ends for a whole one: look for its finish reason before you report success. Where retrying or salvaging is meant: allow_completion=True, with a check= that looks at what came of it.
          It has nothing that ends it when a stream falls silent: give the read a timeout. If it has one, shorten it for the test, raise patience=, or run in virtual time.
          To run one alone: point=1.
        """
    )


async def test_exception_that_the_caller_did_not_list_is_said(client: MockStreamClient) -> None:
    async def answer() -> str:
        return await planted.closes(client)

    report = await said_of_faults(answer, client, faults=[HTTPError(503)], raises=TimeoutError)

    assert report.splitlines()[2:] == [
        "            it ended in ProviderError: The request failed, not in TimeoutError",
        "  Catch it and raise what your callers expect, or list it in raises=.",
        "  To run one alone: point=1.",
    ]


async def test_stream_that_nobody_closes_is_said(client: MockStreamClient) -> None:
    kept = []

    async def holds() -> None:
        kept.append(client.complete_stream("hi"))
        await asyncio.sleep(0)

    report = await said(holds)

    assert report.splitlines()[0].endswith("holds: 0 of 1 points visited in 1 runs, 1 bad")
    assert report.splitlines()[1:-1] == [
        "  0  BAD  the first run, which is not cancelled:",
        "            stream of mock complete_stream (request 1, open, 0 of 3 chunks read, opened at "
        f"{HERE}:{holds.__code__.co_firstlineno + 1}) was not closed",
    ]
    assert report.splitlines()[-1].startswith("  Close it: use `with` or `async with`")


async def many() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


async def test_table_shows_equal_neighbours_in_one_row() -> None:
    result = await sweep_cancellation(many)

    assert str(result) == (
        "sweep_cancellation of many: 100 of 100 points visited in 100 runs, all clean\n"
        f"  1-100  ok   cancelled at {HERE}:{many.__code__.co_firstlineno + 2} in many: await asyncio.sleep(0)"
    )


@pytest.mark.parametrize(
    ("max_points", "numbers"), [(2, "1, 100"), (4, "1, 34, 67, 100"), (10, "1, 12, ..., 100"), (99, "1-49, 51-100")]
)
async def test_points_that_were_left_out_are_not_in_a_row_of_the_table(max_points: int, numbers: str) -> None:
    result = await sweep_cancellation(many, max_points=max_points)

    assert str(result).splitlines()[1].startswith(f"  {numbers}  ok   cancelled at ")


async def test_chunks_that_were_left_out_are_not_in_a_row_of_the_table(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("one two three four five")

    async def salvages() -> None:
        with contextlib.suppress(ConnectionError):
            async with mock_stream_client.complete_stream("hi") as stream:
                await stream.aread()

    with pytest.raises(SweepError) as caught:
        await sweep_faults(salvages, mock_stream_client, faults=[Disconnect], max_points=2)

    assert "\n  1, 6  BAD  Disconnect before chunk 1, 6 of answer 1 at " in str(caught.value)


async def test_second_cancellation_that_met_what_the_first_had_met_is_not_said_again() -> None:
    async def cleans_up_and_leaks() -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            asyncio.create_task(planted.pump())  # noqa: RUF006 - the leak
            await asyncio.sleep(0)
            raise

    report = await said(cleans_up_and_leaks)

    assert "visited in 2 runs, 1 bad" in report
    assert report.count("BAD") == 1
    assert "once more" not in report


async def test_lambda_is_called_by_its_line() -> None:
    make = lambda: many()  # noqa: E731, PLW0108 - what users write in the call

    result = await sweep_cancellation(make, max_points=1)

    assert result.title == f"sweep_cancellation of the lambda at {HERE}:{make.__code__.co_firstlineno}"
