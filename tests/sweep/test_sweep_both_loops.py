"""The sweeps on both event loops, asyncio's and trio's, in virtual time; the code under test is written with anyio."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import anyio
import pytest
import trio
import trio.lowlevel
import virtual
from virtual import Asyncio, Trio

from pytest_mockstream import (
    Disconnect,
    Gate,
    MockStreamClient,
    ScriptError,
    StreamDisconnected,
    SweepError,
    sweep_cancellation,
    sweep_faults,
    sweep_threads,
)
from pytest_mockstream._base.collector import collect
from pytest_mockstream.sweep import SweepResult

Code = Callable[[MockStreamClient], Coroutine[Any, Any, object]]

on_both = virtual.on_both


pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest_mockstream.UnclosedStreamWarning"),
    pytest.mark.usefixtures("small_heap", "what_is_dropped_is_gone"),
]


@pytest.fixture
def what_is_dropped_is_gone() -> Iterator[None]:
    """Let the streams that a sweep leaves open warn here, and not in a later test."""
    yield
    collect()


def swept(backend: Asyncio, code: Code, **options: Any) -> SweepResult:
    """Cancel code at each of its points; two words come, a second apart."""

    async def main() -> SweepResult:
        client = MockStreamClient(delay=1)
        client.respond("so it", times=None)
        return await sweep_cancellation(lambda: code(client), **options)

    return backend.run(main)


def broken(backend: Asyncio, code: Code, **options: Any) -> SweepResult:
    """Break the stream that code reads, before each chunk."""

    async def main() -> SweepResult:
        client = MockStreamClient()
        client.respond("so it", times=None)
        return await sweep_faults(lambda: code(client), client, **options)

    return backend.run(main)


def problems_of(sweep: Callable[..., SweepResult], backend: Asyncio, code: Code, **options: Any) -> set[str]:
    """Return the first lines of what was wrong, at whichever point."""
    with pytest.raises(SweepError) as caught:
        sweep(backend, code, **options)
    result = caught.value.result
    assert isinstance(result, SweepResult)
    return {str(problem).partition("\n")[0] for visit in result.visits for problem in visit.problems}


async def reads(client: MockStreamClient) -> str:
    async with client.complete_stream("hi") as stream:
        return await stream.aread()


async def reads_in_children(client: MockStreamClient) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(reads, client)
        group.start_soon(reads, client)


async def closes_after_the_loop(client: MockStreamClient) -> None:
    stream = client.complete_stream("hi")
    await stream.aread()
    await stream.aclose()


async def swallows(client: MockStreamClient) -> str:
    try:
        return await reads(client)
    except BaseException:
        return "oops"


@on_both
def test_code_that_closes_its_stream_is_clean_at_every_point(backend: Asyncio) -> None:
    result = swept(backend, reads)

    assert (result.points, len(result.visits), result.ok) == (5, 5, True)


@on_both
def test_points_of_child_tasks_count(backend: Asyncio) -> None:
    result = swept(backend, reads_in_children)

    assert result.ok
    assert {visit.child.function for visit in result.visits if visit.child is not None} == {"reads"}


@on_both
def test_stream_that_only_the_straight_path_closes_is_found(backend: Asyncio) -> None:
    found = problems_of(swept, backend, closes_after_the_loop)

    assert all("was not closed" in problem for problem in found)


@on_both
def test_swallowed_cancellation_is_found(backend: Asyncio) -> None:
    assert problems_of(swept, backend, swallows) == {"the cancellation was swallowed: it went on and returned 'oops'"}


@on_both
def test_code_that_is_meant_to_complete_may(backend: Asyncio) -> None:
    assert swept(backend, swallows, allow_completion=True).ok


@on_both
def test_another_error_in_place_of_the_cancellation_is_found(backend: Asyncio) -> None:
    async def code(client: MockStreamClient) -> None:
        try:
            await reads(client)
        except BaseException as error:
            raise OSError("lost") from error

    assert problems_of(swept, backend, code) == {"the cancellation was replaced by OSError: lost"}


@on_both
def test_check_is_asked_after_every_cancelled_run(backend: Asyncio) -> None:
    async def check() -> bool:
        await anyio.lowlevel.checkpoint()
        return False

    assert problems_of(swept, backend, reads, check=check) == {"check() returned False"}


@on_both
def test_thread_that_is_left_is_found(backend: Asyncio) -> None:
    over = threading.Event()

    async def code(client: MockStreamClient) -> None:
        try:
            await reads(client)
        except BaseException:
            threading.Thread(target=over.wait, args=(30,), name="left", daemon=True).start()
            raise

    with pytest.raises(SweepError, match="thread 'left'"):
        swept(backend, code, grace=0.02, max_points=1)
    over.set()


@on_both
def test_error_of_the_first_run_is_the_codes_own(backend: Asyncio) -> None:
    async def code(client: MockStreamClient) -> None:
        await reads(client)
        raise OSError("not ready")

    with pytest.raises(OSError, match="not ready"):
        swept(backend, code)


@on_both
def test_first_run_may_skip_its_test(backend: Asyncio) -> None:
    async def code(client: MockStreamClient) -> None:
        pytest.skip("not here")

    with pytest.raises(pytest.skip.Exception, match="not here"):
        swept(backend, code)


@on_both
def test_first_run_that_cannot_be_awaited_is_refused(backend: Asyncio) -> None:
    def code(client: MockStreamClient) -> Any:
        return 1

    with pytest.raises(TypeError, match="which cannot be awaited"):
        swept(backend, code)


@on_both
def test_late_cancellation_is_raised_where_no_chunk_is_lost(backend: Asyncio) -> None:
    shown: list[str] = []

    async def code(client: MockStreamClient) -> None:
        shown.clear()
        async with client.complete_stream("hi") as stream:
            async for chunk in stream:
                assert len(shown) + 1 == stream.chunks_read
                shown.append(chunk.delta)

    assert swept(backend, code, late=True).ok


@on_both
def test_late_cancellation_finds_what_loses_a_chunk_that_has_come(backend: Asyncio) -> None:
    lost: list[int] = []

    async def code(client: MockStreamClient) -> None:
        lost.clear()
        async with client.complete_stream("hi") as stream:
            async for chunk in stream:
                lost.append(chunk.index)
                await anyio.lowlevel.checkpoint()
                lost.pop()

    assert problems_of(swept, backend, code, late=True, check=lambda: not lost) == {"check() returned False"}


@on_both
@pytest.mark.parametrize("late", [False, True])
def test_limit_around_a_sweep_ends_it(backend: Asyncio, late: bool) -> None:
    gate = Gate()

    async def main() -> None:
        client = MockStreamClient()
        client.respond("a", gate, "b", times=None)
        scope = anyio.CancelScope(deadline=anyio.current_time() + 5)
        with scope:
            await sweep_cancellation(lambda: reads(client), late=late)
        assert scope.cancelled_caught
        assert client.requests[0].state == "closed"

    backend.run(main)


@on_both
def test_faults_have_to_come_out(backend: Asyncio) -> None:
    async def code(client: MockStreamClient) -> str:
        try:
            return await reads(client)
        except StreamDisconnected:
            return "half"

    assert broken(backend, reads, faults=[Disconnect], raises=StreamDisconnected).ok
    assert problems_of(broken, backend, code, faults=[Disconnect]) == {
        "it reported success on a broken stream: it returned 'half'"
    }


@on_both
def test_stalled_stream_without_a_timeout_hangs_and_is_told(backend: Asyncio) -> None:
    found = problems_of(broken, backend, reads)

    assert any(problem.startswith("it did not end within 1.5 s: it waits at ") for problem in found)


@on_both
def test_sweep_of_threads_says_that_it_would_block_the_loop(backend: Asyncio) -> None:
    async def main() -> None:
        client = MockStreamClient()
        sweep_threads(lambda: client.complete("hi"), client)

    with pytest.raises(ScriptError, match="blocks the event loop that runs here"):
        backend.run(main)


# What is trio's alone: a cancellation that lasts, and shields.


def test_code_that_no_checkpoint_told_of_its_cancellation_may_complete() -> None:
    async def code(client: MockStreamClient) -> None:
        with trio.CancelScope(shield=True):
            await reads(client)

    assert swept(Trio(), code).ok


def test_timeout_of_the_codes_own_in_a_shield_is_not_taken_for_the_sweeps_cancellation() -> None:
    async def code(client: MockStreamClient) -> None:
        with trio.move_on_after(1, shield=True):
            await trio.sleep_forever()

    assert swept(Trio(), code).ok


def test_cancellation_that_a_group_is_caught_with_is_swallowed() -> None:
    async def code(client: MockStreamClient) -> str:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reads, client)
        except BaseException:
            return "oops"
        return "fine"

    assert problems_of(swept, Trio(), code) == {"the cancellation was swallowed: it went on and returned 'oops'"}


def test_clean_up_that_waits_in_a_shield_for_ever_is_deadlocked_and_ended() -> None:
    async def code(client: MockStreamClient) -> None:
        try:
            await reads(client)
        except BaseException:
            with trio.CancelScope(shield=True):
                await trio.sleep_forever()

    with pytest.raises(SweepError) as caught:
        swept(Trio(), code)

    assert "deadlock: nothing can happen any more:\n" in str(caught.value)
    assert ".code waits for ever, at " in str(caught.value)


def test_code_that_goes_on_after_every_cancellation_is_told_and_ended() -> None:
    async def code(client: MockStreamClient) -> None:
        while not done:
            try:
                await trio.sleep(1)
                return
            except trio.Cancelled:
                continue

    done = False
    found = problems_of(swept, Trio(), code)

    assert {problem.partition(" within")[0] for problem in found} == {"it did not end"}


def test_task_that_is_left_in_a_nursery_of_others_is_found() -> None:
    async def main() -> None:
        client = MockStreamClient()
        async with trio.open_nursery() as nursery:

            async def code() -> None:
                nursery.start_soon(trio.sleep_forever, name="poller")
                await reads(client)

            with pytest.raises(SweepError, match="task 'poller'"):
                await sweep_cancellation(code)
            await sweep_cancellation(code, ignore=["poller"])
            nursery.cancel_scope.cancel()

    Trio().run(main)


def test_task_in_a_nursery_of_others_that_ends_in_time_is_no_leak() -> None:
    async def main() -> SweepResult:
        client = MockStreamClient()
        async with trio.open_nursery() as nursery:

            async def code() -> None:
                nursery.start_soon(trio.sleep, 0.1)
                await reads(client)

            return await sweep_cancellation(code)

    assert Trio().run(main).ok


def test_instrument_is_taken_off_after_a_sweep() -> None:
    async def main() -> Sequence[object]:
        client = MockStreamClient()
        await sweep_cancellation(lambda: reads(client))
        seen: list[object] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 1)
            await trio.lowlevel.checkpoint()
            seen += [task.coro for task in nursery.child_tasks]
        return seen

    (coro,) = Trio().run(main)
    assert type(coro).__name__ == "coroutine"
