from __future__ import annotations

import asyncio
import threading

import pytest

from .verdict import clean, leaks
from .work import AFTERWARDS, KEPT, forever


async def leave() -> None:
    KEPT.append(asyncio.create_task(forever()))
    await asyncio.sleep(0)


async def leave_and_fail() -> None:
    await leave()
    raise ZeroDivisionError


async def tidy() -> None:
    await asyncio.create_task(asyncio.sleep(0))


@leaks(22, kinds="loop task thread")
def test_loop_in_a_thread_is_left() -> None:
    ready = threading.Event()

    async def main() -> None:
        await leave()
        ready.set()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    AFTERWARDS.callback(loop.close)
    AFTERWARDS.callback(thread.join)
    AFTERWARDS.callback(lambda: loop.call_soon_threadsafe(loop.stop))
    thread.start()
    KEPT.append(asyncio.run_coroutine_threadsafe(main(), loop))
    ready.wait()


@clean(22)
def test_loop_in_a_thread_ends() -> None:
    thread = threading.Thread(target=lambda: asyncio.run(tidy()))
    thread.start()
    thread.join()


@leaks(37, kinds="task", at="create_task(forever())")
def test_run_leaves_a_task() -> None:
    asyncio.run(leave())


@clean(37)
def test_run_leaves_nothing() -> None:
    asyncio.run(tidy())


@clean(82)
def test_run_that_fails_cancels_its_children() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(leave_and_fail())


@leaks(82, kinds="task")
def test_run_leaves_a_task_after_another_failed() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(leave_and_fail())
    asyncio.run(leave())


@leaks(83, kinds="task loop")
def test_runner_is_never_closed() -> None:
    runner = asyncio.Runner()
    AFTERWARDS.callback(runner.close)
    runner.run(leave())


@clean(83)
def test_runner_is_closed() -> None:
    with asyncio.Runner() as runner:
        KEPT.append(runner)
        runner.run(tidy())


@leaks(84, kinds="loop")
def test_loop_is_never_closed() -> None:
    loop = asyncio.new_event_loop()
    AFTERWARDS.callback(loop.close)
    loop.run_until_complete(tidy())


@clean(84)
def test_loop_is_closed() -> None:
    loop = asyncio.new_event_loop()
    KEPT.append(loop)
    loop.run_until_complete(tidy())
    loop.close()
