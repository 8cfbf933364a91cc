"""Thirty-five tests: the twelve that have ``leaves`` in their names leave something running, the others do not.

Nothing here waits longer than it must, and no test depends on another: they run in any order and in any process.
"""

from __future__ import annotations

import asyncio
import threading
import unittest
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import pytest_asyncio
from left import KEPT, OVER, leave_task, leave_thread

asynchronous = pytest.mark.asyncio


def _worker() -> Iterator[threading.Thread]:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    yield thread
    stop.set()
    thread.join()


@pytest.fixture(scope="session")
def worker_of_session() -> Iterator[threading.Thread]:
    yield from _worker()


@pytest.fixture(scope="class")
def worker_of_class() -> Iterator[threading.Thread]:
    yield from _worker()


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest_asyncio.fixture
async def heartbeat() -> AsyncIterator[list[int]]:
    beats: list[int] = []

    async def beat() -> None:
        while True:
            beats.append(1)
            await asyncio.sleep(0.001)

    task = asyncio.create_task(beat())
    yield beats
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest_asyncio.fixture
async def forgetful() -> None:
    leave_task()


@pytest.fixture
def careless() -> None:
    leave_thread()


# Threads.


def test_nothing() -> None:
    pass


def test_thread_is_joined() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def test_leaves_a_thread() -> None:
    leave_thread()


def test_after_a_thread_was_left() -> None:
    assert threading.active_count() > 0


def test_leaves_a_timer() -> None:
    timer = threading.Timer(60, print)
    timer.daemon = True
    timer.start()


def test_leaves_a_thread_of_its_fixture(careless: None) -> None:
    pass


def test_worker_of_the_session(worker_of_session: threading.Thread) -> None:
    assert worker_of_session.is_alive()


def test_pool_of_the_module(pool: ThreadPoolExecutor) -> None:
    assert pool.submit(int, "1").result() == 1


def test_pool_of_the_module_again(pool: ThreadPoolExecutor) -> None:
    assert list(pool.map(int, "23")) == [2, 3]


# Loops of a test's own.


def test_runs_a_loop_to_its_end() -> None:
    async def main() -> int:
        return await asyncio.create_task(_answer())

    assert asyncio.run(main()) == 42


def test_leaves_a_loop_with_a_task() -> None:
    loop = asyncio.new_event_loop()
    KEPT.extend([loop, loop.create_task(asyncio.sleep(3600))])
    loop.run_until_complete(asyncio.sleep(0))


async def _answer() -> int:
    await asyncio.sleep(0)
    return 42


# Tasks.


@asynchronous
async def test_turn_of_the_loop() -> None:
    await asyncio.sleep(0)


@asynchronous
async def test_task_is_awaited() -> None:
    assert await asyncio.create_task(_answer()) == 42


@asynchronous
async def test_leaves_a_task() -> None:
    leave_task()


@asynchronous
async def test_after_a_task_was_left() -> None:
    await asyncio.sleep(0.001)


@asynchronous
async def test_heartbeat_of_a_fixture(heartbeat: list[int]) -> None:
    await asyncio.sleep(0.01)
    assert heartbeat


@asynchronous
async def test_leaves_a_task_of_its_fixture(forgetful: None) -> None:
    pass


@asynchronous
async def test_group_of_tasks() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_answer())
        group.create_task(_answer())


@asynchronous
async def test_job_in_a_thread() -> None:
    assert await asyncio.to_thread(int, "3") == 3


@asynchronous
async def test_leaves_a_job_in_a_thread() -> None:
    KEPT.append(asyncio.get_running_loop().run_in_executor(None, OVER.wait, 3))


@asynchronous
@pytest.mark.parametrize("case", ["one", "leaves", "three"])
async def test_case(case: str) -> None:
    if case == "leaves":
        leave_task()


# Streams.


@asynchronous
async def test_stream_is_read(mock_stream_client: Any) -> None:
    mock_stream_client.respond("one two three")
    async with mock_stream_client.complete_stream("Count!") as stream:
        assert await stream.aread() == "one two three"


@asynchronous
async def test_leaves_a_stream(mock_stream_client: Any) -> None:
    mock_stream_client.respond("one two three four")
    stream = mock_stream_client.complete_stream("Count!")
    KEPT.append(stream)
    async for _ in stream:
        break


# Outcomes other than passed.


@asynchronous
@pytest.mark.xfail(reason="known", strict=True)
async def test_fails_as_expected() -> None:
    pytest.fail("as expected")


@pytest.mark.skip(reason="not today")
def test_is_skipped() -> None:
    leave_thread()


def test_skips_itself() -> None:
    pytest.skip("not today")


# Classes.


class TestBox:
    def test_worker_of_the_class(self, worker_of_class: threading.Thread) -> None:
        assert worker_of_class.is_alive()

    @asynchronous
    async def test_worker_of_the_class_beside_a_loop(self, worker_of_class: threading.Thread) -> None:
        await asyncio.sleep(0)

    @asynchronous
    async def test_leaves_a_task(self) -> None:
        leave_task()


class TestOfUnittest(unittest.TestCase):
    def test_nothing(self) -> None:
        pass

    def test_leaves_a_thread(self) -> None:
        leave_thread()


class TestOfAsyncUnittest(unittest.IsolatedAsyncioTestCase):
    async def test_task_is_awaited(self) -> None:
        assert await asyncio.create_task(_answer()) == 42

    async def test_leaves_a_task(self) -> None:
        leave_task()
