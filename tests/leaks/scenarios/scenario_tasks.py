from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from .verdict import clean, leaks
from .work import END, KEPT, forever

pytestmark = pytest.mark.asyncio

# From 3.14 on nobody can know where a task was made by calling asyncio.Task.
MADE_BY_CALL = None if sys.version_info >= (3, 14) else "asyncio.Task(forever()"

BG: set[asyncio.Task[None]] = set()


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


@leaks(1, 40, kinds="task", at="asyncio.create_task(forever())")
async def test_task_is_left_pending() -> None:
    KEPT.append(asyncio.create_task(forever()))


@leaks(1, kinds="task", at=MADE_BY_CALL)
async def test_task_is_made_without_its_loop_knowing() -> None:
    KEPT.append(asyncio.Task(forever(), loop=asyncio.get_running_loop()))


@clean(1)
async def test_task_is_made_without_its_loop_knowing_and_stopped() -> None:
    await stop(asyncio.Task(forever(), loop=asyncio.get_running_loop()))


@clean(1, 2, 40)
async def test_task_is_awaited() -> None:
    await asyncio.create_task(asyncio.sleep(0))


@clean(3)
async def test_task_is_cancelled_and_awaited() -> None:
    task = asyncio.create_task(forever())
    await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@clean(4)
async def test_task_is_cancelled_by_the_last_statement() -> None:
    task = asyncio.create_task(forever())
    await asyncio.sleep(0)

    task.cancel()


@leaks(3, 4, kinds="task")
async def test_task_is_uncancelled_in_the_end() -> None:
    task = asyncio.create_task(swallow(1))
    await asyncio.sleep(0)

    task.cancel()


async def swallow(times: int) -> None:
    while times:
        try:
            await forever()
        except asyncio.CancelledError:
            times -= 1
    await forever()


async def swallow_then_end(times: int) -> None:
    for _ in range(times):
        try:
            await forever()
        except asyncio.CancelledError:
            continue


@leaks(5, kinds="task")
async def test_task_swallows_three_cancellations() -> None:
    task = asyncio.create_task(swallow_then_end(3))
    await asyncio.sleep(0)
    task.cancel()


@clean(5)
async def test_task_is_cancelled_until_it_ends() -> None:
    task = asyncio.create_task(swallow_then_end(3))
    await asyncio.sleep(0)
    while not task.done():
        await stop_once(task)


async def stop_once(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.sleep(0)


@leaks(6, kinds="task", says="swallow")
async def test_task_swallows_every_cancellation() -> None:
    KEPT.append(asyncio.create_task(swallow(-1)))


@clean(6)
async def test_task_ends_by_flag_and_swallows_cancellation_before() -> None:
    over = asyncio.Event()

    async def stubborn() -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await stop_once(task)
    over.set()
    await task


@clean(7)
async def test_task_ends_by_itself_soon() -> None:
    KEPT.append(asyncio.create_task(asyncio.sleep(0.005)))


@clean(8)
async def test_task_ends_by_itself_within_the_grace_period() -> None:
    KEPT.append(asyncio.create_task(asyncio.sleep(0.06)))


@leaks(7, 8, kinds="task")
async def test_task_ends_by_itself_too_late() -> None:
    KEPT.append(asyncio.create_task(asyncio.sleep(3600)))


if sys.version_info >= (3, 12):

    def start_eagerly(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=loop, **{**options, "eager_start": True})

    @leaks(9, kinds="task")
    async def test_eager_task_is_left_pending() -> None:
        asyncio.get_running_loop().set_task_factory(start_eagerly)
        try:
            KEPT.append(asyncio.create_task(forever()))
        finally:
            asyncio.get_running_loop().set_task_factory(None)

    @leaks(9, kinds="task", at=MADE_BY_CALL and "eager_start=True")
    async def test_task_started_eagerly_is_left_pending() -> None:
        KEPT.append(asyncio.Task(forever(), loop=asyncio.get_running_loop(), eager_start=True))

    @clean(9)
    async def test_eager_task_ends_at_once() -> None:
        asyncio.get_running_loop().set_task_factory(start_eagerly)
        try:
            KEPT.append(asyncio.create_task(noted()))
        finally:
            asyncio.get_running_loop().set_task_factory(None)


async def noted() -> None:
    KEPT.append("done")


async def numbers() -> AsyncIterator[int]:
    for number in range(3):
        yield number


async def produced(*, ends: bool) -> AsyncIterator[int]:
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)

    async def produce() -> None:
        for number in range(100):
            await queue.put(number)

    task = asyncio.create_task(produce())
    try:
        while True:
            yield await queue.get()
    finally:
        if ends:
            task.cancel()


@clean(11)
async def test_generator_is_left_and_dropped() -> None:
    async for _ in numbers():
        break


@clean(12, 13)
async def test_generator_left_ends_its_producer() -> None:
    async for _ in produced(ends=True):
        break


@leaks(12, 13, kinds="task", at="create_task(produce())")
async def test_generator_left_forgets_its_producer() -> None:
    async for _ in produced(ends=False):
        break


@clean(20)
async def test_default_executor_is_idle() -> None:
    await asyncio.to_thread(int)


def work_for_a_while(working: threading.Event) -> None:
    working.set()
    threading.Event().wait(1)


@leaks(20, 21, kinds="thread", at="run_in_executor(None, work_for_a_while, working)")
async def test_default_executor_is_still_busy() -> None:
    working = threading.Event()
    KEPT.append(asyncio.get_running_loop().run_in_executor(None, work_for_a_while, working))
    working.wait()


@clean(21)
async def test_default_executor_was_busy() -> None:
    gate = threading.Event()
    job = asyncio.get_running_loop().run_in_executor(None, gate.wait)
    gate.set()
    await job


@pytest_asyncio.fixture
async def tidy_pump() -> AsyncIterator[None]:
    task = asyncio.create_task(forever())
    yield
    task.cancel()


@pytest_asyncio.fixture
async def forgetful_pump() -> AsyncIterator[None]:
    KEPT.append(asyncio.create_task(forever()))
    yield


@clean(24, 25)
@pytest.mark.usefixtures("tidy_pump")
async def test_fixture_cancels_its_task() -> None:
    pass


@leaks(24, 25, kinds="task", owner="fixture:forgetful_pump:function")
@pytest.mark.usefixtures("forgetful_pump")
async def test_fixture_forgets_its_task() -> None:
    pass


class Client:
    def __init__(self) -> None:
        self.reader: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.reader = asyncio.create_task(forever())

    async def aclose(self) -> None:
        if self.reader is not None:
            await stop(self.reader)


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    client = Client()
    yield client
    await client.aclose()


@clean(27)
async def test_fixture_ends_what_the_test_started(client: Client) -> None:
    client.start()


@leaks(27, kinds="task", at="asyncio.create_task(forever())")
async def test_client_without_a_fixture_is_not_closed() -> None:
    client = Client()
    client.start()


@leaks(32, kinds="task", outcomes=("skipped", "error"))
async def test_task_is_left_by_a_skip() -> None:
    KEPT.append(asyncio.create_task(forever()))
    pytest.skip("halfway")


@clean(32, outcomes=("skipped",))
async def test_skip_stops_its_task() -> None:
    task = asyncio.create_task(forever())
    try:
        pytest.skip("halfway")
    finally:
        await stop(task)


async def start_and_fail(*, tidy: bool) -> None:
    task = asyncio.create_task(forever())
    KEPT.append(task)
    try:
        raise ZeroDivisionError
    finally:
        if tidy:
            await stop(task)


@leaks(33, kinds="task")
async def test_task_is_left_by_an_expected_exception() -> None:
    with pytest.raises(ZeroDivisionError):
        await start_and_fail(tidy=False)


@clean(33)
async def test_expected_exception_stops_its_task() -> None:
    with pytest.raises(ZeroDivisionError):
        await start_and_fail(tidy=True)


@leaks(34, kinds="task", outcomes=("xfailed", "error"))
@pytest.mark.xfail
async def test_task_is_left_by_an_expected_failure() -> None:
    await start_and_fail(tidy=False)


@clean(34, outcomes=("xfailed",))
@pytest.mark.xfail
async def test_expected_failure_stops_its_task() -> None:
    await start_and_fail(tidy=True)


@leaks(35, kinds="task", outcomes=("failed",), says="XPASS.*LeakError")
@pytest.mark.xfail(strict=True)
async def test_task_is_left_by_an_unexpected_pass() -> None:
    KEPT.append(asyncio.create_task(forever()))


@clean(35, outcomes=("failed",), says="XPASS")
@pytest.mark.xfail(strict=True)
async def test_unexpected_pass_leaves_nothing() -> None:
    pass


@leaks(36, kinds="task", outcomes=("failed",), says="its own failure.*LeakError")
async def test_task_is_left_by_a_failure() -> None:
    KEPT.append(asyncio.create_task(forever()))
    pytest.fail("its own failure")


@clean(36, outcomes=("failed",), says="its own failure")
async def test_failure_stops_its_task() -> None:
    task = asyncio.create_task(forever())
    try:
        pytest.fail("its own failure")
    finally:
        await stop(task)


async def wait_for_oneself() -> None:
    await asyncio.get_running_loop().create_future()


@leaks(48, kinds="task")
async def test_task_nobody_refers_to_would_be_collected() -> None:
    asyncio.create_task(wait_for_oneself())  # noqa: RUF006 # that nobody refers to it is the scenario
    await asyncio.sleep(0)
    gc.collect()


@clean(48)
async def test_finished_task_nobody_refers_to_is_collected() -> None:
    asyncio.create_task(asyncio.sleep(0))  # noqa: RUF006 # that nobody refers to it is the scenario
    await asyncio.sleep(0.001)
    gc.collect()


@leaks(49, kinds="task")
async def test_task_is_kept_by_a_cycle_only() -> None:
    asyncio.create_task(wait_for_oneself())  # noqa: RUF006 # that nobody refers to it is the scenario
    await asyncio.sleep(0)


@clean(49)
async def test_cycle_with_a_finished_task() -> None:
    ring: list[object] = [asyncio.create_task(asyncio.sleep(0))]
    ring.append(ring)
    await asyncio.sleep(0.001)


@clean(50)
async def test_task_group_is_used_properly() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0))


@leaks(50, kinds="task")
async def test_task_group_child_starts_a_task_beside_the_group() -> None:
    async def child() -> None:
        KEPT.append(asyncio.create_task(forever()))

    async with asyncio.TaskGroup() as group:
        group.create_task(child())


async def refuse(_: float) -> None:
    msg = "patched"
    raise RuntimeError(msg)


@clean(56)
async def test_patched_sleep_is_not_called_by_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    KEPT.append(asyncio.create_task(asyncio.sleep(0.005)))
    monkeypatch.setattr(asyncio, "sleep", refuse)


@leaks(56, kinds="task")
async def test_task_is_left_while_sleep_is_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    KEPT.append(asyncio.create_task(forever()))
    monkeypatch.setattr(asyncio, "sleep", refuse)


@leaks(60, kinds="task", case="leaks")
@clean(60, case="clean")
@pytest.mark.parametrize("case", ["leaks", "clean"])
async def test_one_case_of_two(case: str) -> None:
    if case == "leaks":
        KEPT.append(asyncio.create_task(forever()))


class TestMethods:
    @leaks(61, kinds="task")
    async def test_task_is_left_by_a_method(self) -> None:
        KEPT.append(asyncio.create_task(forever()))

    @clean(61)
    async def test_method_stops_its_task(self) -> None:
        await stop(asyncio.create_task(forever()))


@leaks(64, kinds="task")
async def test_shielded_task_outlives_its_timeout() -> None:
    task = asyncio.create_task(forever())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), 0.001)


@clean(64)
async def test_shielded_task_is_stopped_after_its_timeout() -> None:
    task = asyncio.create_task(forever())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), 0.001)
    await stop(task)


@leaks(65, kinds="task")
async def test_task_is_kept_in_a_module_level_set() -> None:
    task = asyncio.create_task(forever())
    BG.add(task)
    task.add_done_callback(BG.discard)


@clean(65)
async def test_task_in_a_module_level_set_ends() -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    BG.add(task)
    task.add_done_callback(BG.discard)
    await task


async def consume_and_raise(*, ends: bool) -> None:
    async for _ in produced(ends=ends):
        raise ZeroDivisionError


@leaks(75, kinds="task", at="create_task(produce())")
async def test_consumer_raises_and_its_producer_lives_on() -> None:
    with pytest.raises(ZeroDivisionError):
        await consume_and_raise(ends=False)


@clean(75)
async def test_consumer_raises_and_its_producer_ends() -> None:
    with pytest.raises(ZeroDivisionError):
        await consume_and_raise(ends=True)


async def consume(*, ends: bool) -> None:
    async for _ in produced(ends=ends):
        await forever()


@leaks(76, kinds="task", at="create_task(produce())")
async def test_consumer_times_out_and_its_producer_lives_on() -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(consume(ends=False), 0.001)


@clean(76)
async def test_consumer_times_out_and_its_producer_ends() -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(consume(ends=True), 0.001)


LINK = 0.004
"""Seconds that each of a chain takes."""


def start_link(left: int, *, gap: float = 0) -> None:
    KEPT.append(asyncio.get_running_loop().create_task(link(left, gap)))


async def link(left: int, gap: float) -> None:
    await asyncio.sleep(LINK)
    if left and not END.is_set():
        asyncio.get_running_loop().call_later(gap, lambda: start_link(left - 1, gap=gap))


@leaks(97, kinds="task")
async def test_each_task_starts_the_next() -> None:
    start_link(200)


@clean(97)
async def test_chain_of_tasks_comes_to_an_end() -> None:
    start_link(2)


@leaks(97, kinds="task")
async def test_each_task_has_a_timer_start_the_next() -> None:
    start_link(200, gap=LINK)


@clean(97)
async def test_chain_of_tasks_and_timers_comes_to_an_end() -> None:
    start_link(2, gap=LINK)
