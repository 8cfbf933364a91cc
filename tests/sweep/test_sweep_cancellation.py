from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from pytest_mockstream import (
    MockStreamClient,
    ScriptError,
    SweepError,
    SweepResult,
    SweepWarning,
    UnexpectedRequestError,
    sweep_cancellation,
)
from pytest_mockstream._base.collector import collect
from pytest_mockstream.sweep import Settings
from pytest_mockstream.sweep.jobs import in_this_loop
from pytest_mockstream.sweep.probe import Jobs, ProbedRun
from pytest_mockstream.sweep.runs import wait_for_end
from sweep import planted
from sweep.planted import line

pytestmark = pytest.mark.filterwarnings("ignore::pytest_mockstream.UnclosedStreamWarning")


async def failed(make: planted.Making, **options: Any) -> SweepResult:
    with pytest.raises(SweepError) as caught:
        await sweep_cancellation(make, **{"grace": 0.01, "patience": 0.1, **options})
    result = caught.value.result
    assert isinstance(result, SweepResult)
    return result


def bad_lines(result: SweepResult) -> set[int]:
    sites = [visit.again or visit.place for visit in result.bad]
    return {site.lineno for site in sites if site is not None}


# What it must show.


@pytest.mark.parametrize(
    ("buggy", "problem"),
    [
        (planted.started_before_try, "pump"),
        (planted.swallows, "the cancellation was swallowed: it went on and returned 'done'"),
        (planted.retries_cancellation, "the cancellation was swallowed: it went on and returned 'answer'"),
        (planted.cleans_up_slowly, "pump"),
    ],
)
async def test_planted_bug_is_found_and_its_line_named(buggy: planted.Making, problem: str) -> None:
    result = await failed(buggy)

    assert line(buggy, "here") in bad_lines(result)
    assert any(problem in str(told) for visit in result.bad for told in visit.problems)
    assert f"planted.py:{line(buggy, 'here')}" in result.report()


async def test_code_that_goes_on_is_not_cancelled_once_more() -> None:
    result = await failed(planted.retries_cancellation)

    assert [visit.again for visit in result.visits] == [None]


class Generator:
    async def chunks(self) -> AsyncIterator[int]:
        await asyncio.sleep(0)  # inside
        yield 1
        try:
            yield 2
        finally:
            await asyncio.sleep(0)  # closing

    async def read(self) -> None:
        chunks: Any = self.chunks()
        async for _ in chunks:
            break
        await chunks.aclose()

    async def read_with_default(self) -> None:
        async with contextlib.aclosing(self.chunks()) as chunks:  # type: ignore[type-var] # it is a generator
            await anext(chunks, None)

    async def left_in_the_middle(self) -> None:
        async with contextlib.aclosing(self.chunks()) as chunks:  # type: ignore[type-var] # it is a generator
            await anext(chunks)
            await anext(chunks)

    def __await__(self) -> Any:
        return planted.step().__await__()

    async def awaits_an_object(self) -> None:
        await self


@pytest.mark.parametrize(
    ("name", "marks"),
    [("read", ["inside"]), ("read_with_default", ["inside"]), ("left_in_the_middle", ["inside", "closing"])],
)
async def test_line_in_an_async_generator_is_named(name: str, marks: list[str]) -> None:
    result = await sweep_cancellation(getattr(Generator(), name))

    assert [visit.place.lineno for visit in result.visits if visit.place] == [
        line(Generator.chunks, mark) for mark in marks
    ]


async def test_line_behind_an_object_that_is_awaited_is_named() -> None:
    result = await sweep_cancellation(Generator().awaits_an_object)

    assert [visit.place.function for visit in result.visits if visit.place] == ["step"]


async def test_way_in_that_leaks_halfway_is_found_and_its_line_named() -> None:
    result = await failed(planted.enters_leaking)

    assert bad_lines(result) == {line(planted.Connection, "here")}


async def test_lock_that_stays_held_is_found_and_its_line_named() -> None:
    result = await failed(planted.HoldsLock().run)

    assert bad_lines(result) == {line(planted.HoldsLock, "here")}
    assert "as when a lock is still held" in result.report()
    assert "await self.lock.acquire()" in result.report()


async def test_lock_is_found_also_by_one_point_alone() -> None:
    result = await failed(planted.HoldsLock().run, point=1)

    assert bad_lines(result) == {line(planted.HoldsLock, "here")}


async def test_stream_that_nobody_closes_is_found_and_its_opening_named() -> None:
    client = MockStreamClient()

    result = await failed(lambda: planted.never_closes(client))

    assert bad_lines(result) == {line(planted.never_closes, "here")}
    assert len(result.bad) == result.points
    assert "opened at" in result.report()


async def test_clean_up_is_found_only_when_it_is_cancelled_again() -> None:
    result = await failed(planted.cleans_up_slowly, point=1)

    assert [visit.again is not None for visit in result.bad] == [True]


@pytest.mark.parametrize(
    "clean",
    [
        planted.started_inside_try,
        planted.lets_through,
        planted.retries_failure,
        planted.cleans_up_at_once,
        planted.HoldsLock().clean,
        planted.enters_carefully,
        lambda: planted.closes(MockStreamClient()),
    ],
    ids=lambda clean: clean.__name__,
)
async def test_clean_twin_passes(clean: planted.Making) -> None:
    result = await sweep_cancellation(clean)

    assert result.ok
    assert {visit.point for visit in result.visits} == set(range(1, result.points + 1))


# Our own client.


@pytest.mark.parametrize("producer", ["inline", "background"])
@pytest.mark.parametrize("size", [1, 100])
@pytest.mark.parametrize("late", [False, True])
async def test_default_client_passes_at_every_point(producer: Any, size: int, late: bool) -> None:
    client = MockStreamClient(producer=producer, buffer_size=size)
    client.respond("a b c d")

    result = await sweep_cancellation(lambda: planted.closes(client), late=late)

    assert result.points >= 5
    assert result.not_reached == ()


# The cancellation is a real one.


async def test_points_are_counted_as_often_as_the_loop_gets_control() -> None:
    async def three() -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    result = await sweep_cancellation(three)

    assert result.points == 3


class AtOnce(Executor):
    """Has every job done before anybody can wait for it."""

    def submit(self, job: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(job(*args, **options))
        except ValueError as error:
            future.set_exception(error)
        return future


async def test_job_of_a_thread_is_one_point_however_quick_it_is() -> None:
    async def ask() -> None:
        assert await asyncio.get_running_loop().run_in_executor(AtOnce(), int, "7") == 7
        with pytest.raises(ValueError, match="seven"):
            await asyncio.get_running_loop().run_in_executor(AtOnce(), int, "seven")

    result = await sweep_cancellation(ask)

    assert (result.points, result.steady) == (2, True)


async def test_timeout_does_not_take_the_cancellation_for_its_own() -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await asyncio.sleep(0)

    assert (await sweep_cancellation(limited)).ok


async def test_group_ends_its_children() -> None:
    async def grouped() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(planted.step())
            group.create_task(planted.step())

    result = await sweep_cancellation(grouped)

    assert result.points == 3, "its own one, and those of its children"


async def test_child_that_is_cancelled_halfway_through_is_seen() -> None:
    async def child() -> None:
        await asyncio.sleep(0)
        task = asyncio.create_task(planted.pump())
        await asyncio.sleep(0)
        task.cancel()

    async def parent() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(child())

    result = await failed(parent)

    assert any(visit.child is not None and visit.child.function.endswith("child") for visit in result.bad)


async def test_child_that_cleans_up_slowly_is_cancelled_again() -> None:
    async def child() -> None:
        task = asyncio.create_task(planted.pump())
        try:
            await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)
            task.cancel()

    async def parent() -> None:
        await asyncio.create_task(child())

    result = await failed(parent)

    assert any(visit.again is not None and visit.again.function.endswith("child") for visit in result.bad)


async def test_shielded_work_goes_on_and_is_waited_for() -> None:
    done = []

    async def work() -> None:
        await asyncio.sleep(0)
        done.append(1)

    async def shielding() -> None:
        await asyncio.shield(asyncio.ensure_future(work()))

    result = await sweep_cancellation(shielding)

    assert len(done) == len(result.visits) + 2, "every run, and the two that were left alone"


async def test_result_that_is_lost_is_found_late() -> None:
    taken: list[int] = []

    async def takes() -> None:
        future = asyncio.get_running_loop().create_future()

        def give() -> None:
            if not future.done():
                taken.append(1)
                future.set_result(None)

        asyncio.get_running_loop().call_soon(give)
        await future
        taken.pop()

    assert (await sweep_cancellation(takes, check=lambda: not taken)).ok
    result = await failed(takes, late=True, check=lambda: not taken)

    assert len(result.bad) == 1


async def test_context_of_one_run_does_not_reach_the_next() -> None:
    seen = contextvars.ContextVar("seen", default=0)
    values = []

    async def notes() -> None:
        values.append(seen.get())
        seen.set(1)
        await asyncio.sleep(0)

    await sweep_cancellation(notes)

    assert set(values) == {0}


async def test_cancelling_the_sweep_ends_the_run() -> None:
    sweep = asyncio.create_task(sweep_cancellation(planted.pump))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    sweep.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweep

    assert [task for task in asyncio.all_tasks() if "pump" in repr(task)] == []
    assert asyncio.get_running_loop().get_task_factory() is None


# How a run may end.


async def test_completion_may_be_allowed() -> None:
    assert (await sweep_cancellation(planted.swallows, allow_completion=True)).ok


async def test_exception_instead_of_the_cancellation_is_a_failure() -> None:
    async def turns() -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            msg = "no"
            raise ValueError(msg) from None

    result = await failed(turns)

    assert [*map(str, result.bad[0].problems)] == ["the cancellation was replaced by ValueError: no"]


async def test_run_that_goes_on_for_ever_is_ended_and_named() -> None:
    async def hangs() -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            while True:  # noqa: ASYNC110 - the bug
                await asyncio.sleep(0.01)

    result = await failed(hangs, again=False)

    assert "it did not end within" in result.report()
    assert "hangs: await asyncio.sleep(0.01)" in result.report()


async def test_run_that_can_never_end_is_a_deadlock() -> None:
    async def hangs() -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            await planted.pump()

    result = await failed(hangs, again=False)

    assert "deadlock: nothing can happen any more:\n" in result.report()
    assert "pump: await asyncio.Event().wait()  # pump" in result.report()


async def test_check_is_asked_after_each_cancelled_run() -> None:
    asked = []

    await sweep_cancellation(planted.lets_through, check=lambda: asked.append(1))

    assert len(asked) == 1


@pytest.mark.parametrize("holds", [lambda: False, lambda: asyncio.sleep(0, False)], ids=["sync", "async"])
async def test_check_that_returns_false_is_a_failure(holds: Callable[[], object]) -> None:
    result = await failed(planted.lets_through, check=holds)

    assert [*map(str, result.bad[0].problems)] == ["check() returned False"]


async def test_check_that_raises_is_a_failure() -> None:
    def broken() -> None:
        raise AssertionError("half written")

    result = await failed(planted.lets_through, check=broken)

    assert [*map(str, result.bad[0].problems)] == ["check() failed: AssertionError: half written"]


async def test_first_run_that_raises_is_the_callers_to_see() -> None:
    async def broken() -> None:
        raise ValueError("as always")

    with pytest.raises(ValueError, match="as always"):
        await sweep_cancellation(broken)


async def test_first_run_that_leaks_is_reported() -> None:
    async def leaks() -> None:
        asyncio.create_task(planted.pump())  # noqa: RUF006 - the leak

    result = await failed(leaks)

    assert result.bad[0].what == "the first run, which is not cancelled:"


async def test_coroutine_that_never_waits_has_no_points() -> None:
    async def quick() -> None:
        pass

    with pytest.warns(SweepWarning) as warned:
        result = await sweep_cancellation(quick)

    assert result.points == 0
    said = "It never waits: there is no place where it could be cancelled, so nothing was tested."
    assert str(warned[0].message) == f"{result.title}: {said}"
    assert str(result).endswith(f"\n  {said}")


# Points, budget, progress.


async def many() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


async def test_one_point_is_run_alone() -> None:
    result = await sweep_cancellation(many, point=17)

    assert [visit.point for visit in result.visits] == [17]
    assert str(result).endswith("99 of 100 points were left out (point=17).")


async def test_budget_is_spread_evenly_and_says_what_it_left_out() -> None:
    result = await sweep_cancellation(many, max_points=4)

    assert [visit.point for visit in result.visits] == [1, 34, 67, 100]
    left_out = "96 of 100 points were left out (max_points=4); visited: 1, 34, 67, 100."
    assert str(result).endswith(f"{left_out} max_points=None visits all, point=N one alone.")


@pytest.fixture
def fewer_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sweeps visit 10 points unless they are told otherwise: visiting the real number takes minutes."""
    monkeypatch.setattr("pytest_mockstream.sweep.settings.MAX_POINTS", 10)
    monkeypatch.setattr(
        Settings.__init__, "__kwdefaults__", (Settings.__init__.__kwdefaults__ or {}) | {"max_points": 10}
    )


async def test_sweep_that_leaves_out_points_unasked_warns_of_it(fewer_points: None) -> None:
    with pytest.warns(SweepWarning) as warned:
        result = await sweep_cancellation(many)

    assert len(result.visits) == 10
    said = "90 of 100 points were left out (max_points=10); visited: 1, 12, 23, ..., 100."
    assert str(warned[0].message) == f"{result.title}: {said} max_points=None visits all, point=N one alone."
    assert warned[0].filename == __file__


@pytest.mark.parametrize("asked", [{"max_points": None}, {"max_points": 4}, {"point": 17}])
async def test_sweep_that_leaves_out_what_it_was_told_to_does_not_warn(
    fewer_points: None, asked: dict[str, Any]
) -> None:
    await sweep_cancellation(many, **asked)


async def test_points_that_a_run_does_not_come_by_are_told() -> None:
    cached: list[int] = []

    async def caches() -> None:
        await asyncio.sleep(0)
        if not cached:
            cached.append(1)
            await asyncio.sleep(0)

    with pytest.warns(SweepWarning) as warned:
        result = await sweep_cancellation(caches)

    assert (result.not_reached, result.later_points, result.steady) == ((2,), (1, 1), False)
    said = (
        "The code under test does not take the same path each time: its first run had 2 points, later ones had 1;"
        " points that were not reached, each tried 3 times: 2. Build inside make_coroutine what it builds or caches"
        " the first time, and seed what is random; real sockets, threads and clocks wake it as they like."
    )
    assert str(warned[0].message) == f"{result.title}: {said}"
    assert warned[0].filename == __file__
    assert str(result).endswith(f"\n  {said}")


async def test_run_with_more_points_than_the_first_is_told() -> None:
    runs: list[int] = []

    async def grows() -> None:
        runs.append(1)
        for _ in runs:
            await asyncio.sleep(0)

    with pytest.warns(SweepWarning, match="its first run had 1 points, later ones had 3."):
        await sweep_cancellation(grows)


async def test_point_that_is_missed_once_is_tried_again() -> None:
    runs: list[int] = []

    async def differs() -> None:
        runs.append(1)
        for _ in range(2 if len(runs) in {1, 4} else 1):
            await asyncio.sleep(0)

    with pytest.warns(SweepWarning, match=r"later ones had 1\."):
        result = await sweep_cancellation(differs)

    assert len(runs) == 5
    assert result.not_reached == ()
    assert [visit.point for visit in result.visits] == [1, 2]


async def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []

    await sweep_cancellation(many, max_points=3, progress=lambda done, total: told.append((done, total)))

    assert told == [(1, 3), (2, 3), (3, 3)]


async def test_long_sweep_tells_the_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_mockstream.sweep.settings._LOG_INTERVAL", 0.0)

    with caplog.at_level(logging.INFO, "pytest_mockstream.sweep"):
        await sweep_cancellation(many, max_points=2)

    assert caplog.messages == [f"sweep_cancellation of many: {n} of 2 points visited" for n in (1, 2)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"point": 0}, "point=0: give a whole number >= 1"),
        ({"point": 101}, "point=101: the code under test has 100 points; give 1 to 100"),
        ({"max_points": 0}, "max_points=0: give a whole number >= 1"),
        ({"grace": -1}, "grace=-1 is not a duration"),
        ({"patience": "soon"}, "patience='soon' is not a duration"),
        ({"check": 3}, "check=3: give a callable"),
        ({"progress": "yes"}, "progress='yes': give a callable"),
        ({"ignore": "heartbeat"}, "ignore='heartbeat': give a list of names or regular expressions"),
        ({"allow_completion": 1}, "allow_completion=1: give True or False"),
        ({"again": None}, "again=None: give True or False"),
        ({"late": "yes"}, "late='yes': give True or False"),
    ],
)
async def test_argument_that_is_not_legal_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        await sweep_cancellation(many, **options)

    assert message in str(caught.value)


async def test_keyword_that_is_not_known_is_named() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'points'"):
        await sweep_cancellation(many, points=3)  # type: ignore[call-arg] # the mistake


async def refused(make: Any) -> str:
    with pytest.raises(TypeError) as caught:
        await sweep_cancellation(make)
    return str(caught.value)


async def test_coroutine_instead_of_a_function_is_named() -> None:
    assert await refused(many()) == (
        "make_coroutine is a coroutine of many, which can run only once: give what makes it, lambda: many(...)"
    )


async def test_what_cannot_be_called_is_named() -> None:
    assert await refused(3) == "make_coroutine=3 cannot be called: give a function without arguments"


async def test_what_cannot_be_awaited_is_named() -> None:
    assert await refused(lambda: 3) == (
        "make_coroutine() returned 3, which cannot be awaited: give a function that calls the async one"
    )


async def test_coroutine_that_is_returned_twice_is_named() -> None:
    one = many()

    assert await refused(lambda: one) == (
        "make_coroutine() returned a coroutine of many that has run already: make one in each call"
    )


# Scripts.


async def test_every_run_finds_the_scripts_of_the_first(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("one two")

    async def asks() -> None:
        async with mock_stream_client.complete_stream("hi") as stream:
            assert await stream.aread() == "one two"

    result = await sweep_cancellation(asks)

    assert result.points == 3
    assert [request.state for request in mock_stream_client.requests] == ["exhausted"]


async def test_asking_once_more_after_the_cancellation_is_a_failure(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("one")

    async def asks_again() -> None:
        try:
            async with mock_stream_client.complete_stream("hi") as stream:
                await stream.aread()
        except asyncio.CancelledError:
            with contextlib.suppress(AssertionError):
                mock_stream_client.complete("hi")
            raise

    result = await failed(asks_again)

    assert "it made more requests than in its first run: no script left for complete" in result.report()


async def test_what_another_client_was_asked_before_is_not_put_down_to_the_sweep(
    mock_stream_client: MockStreamClient,
) -> None:
    other = MockStreamClient()
    other.when(contains="weather").respond("sunny")
    with pytest.raises(UnexpectedRequestError):
        other.complete("hi")

    assert (await sweep_cancellation(lambda: planted.closes(mock_stream_client))).ok


async def test_every_run_lets_doors_in_other_threads_hear_of_its_requests() -> None:
    client = MockStreamClient()
    heard: list[int] = []
    client._playbook.catch_up = lambda: heard.append(len(client.requests))

    result = await sweep_cancellation(lambda: planted.closes(client), again=False)

    assert heard == [1] * (result.points + 2)


# One seed, one schedule.


async def test_sweep_gives_the_same_result_again() -> None:
    client = MockStreamClient(jitter=0.001, delay=0.001, producer="background", buffer_size=1)
    client.respond("a b c", times=None)

    results = [await sweep_cancellation(lambda: planted.closes(client)) for _ in range(2)]

    assert results[0].visits == results[1].visits


def test_pause_of_the_whole_process_is_no_hang() -> None:
    async def paused() -> None:
        time.sleep(0.2)  # noqa: ASYNC251 - as the collector does
        for _ in range(500):
            await asyncio.sleep(0)

    async def wait(jobs: Jobs) -> bool:
        run = ProbedRun()
        job = jobs.start(run, paused)
        await wait_for_end(run, 0.05)
        return job.done()

    async def main() -> bool:
        return await in_this_loop(wait)

    assert asyncio.run(main())


def runs_alive() -> int:
    for _ in range(2):  # what one collection frees may be what held the rest
        collect()
    return sum(isinstance(held, ProbedRun) for held in gc.get_objects())


async def test_runs_are_gone_when_a_sweep_is_over() -> None:
    before = runs_alive()

    await sweep_cancellation(many, max_points=10)

    assert runs_alive() <= before + 1  # the last one may still be on its way


class ClosesItself:
    """A client that an earlier test forgot: as those of several SDKs do, it closes itself when the collector comes."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        asyncio.get_running_loop().create_task(self.close())

    async def close(self) -> None:
        await asyncio.create_task(planted.step())


@pytest.mark.parametrize("late", [False, True])
async def test_what_a_finaliser_starts_is_no_part_of_a_run(late: bool) -> None:
    runs: list[int] = []

    async def meets_the_collector_at_times() -> None:
        runs.append(1)
        if len(runs) in {1, 4}:
            ClosesItself()
            collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    result = await sweep_cancellation(meets_the_collector_at_times, late=late)

    assert (result.points, result.steady) == (2, True)
    assert [visit.child for visit in result.visits] == [None, None]
