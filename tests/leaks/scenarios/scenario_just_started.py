from __future__ import annotations

import _thread
import asyncio
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from .verdict import clean, leaks
from .work import AFTERWARDS, KEPT, forever, until_the_end


@pytest.fixture
def unhurried() -> Iterator[None]:
    """Let no other thread run before this one waits for something."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(60)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(scope="session")
def shared_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="session")
def shared_pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(int).result()
        yield pool


@leaks(14, kinds="thread")
@pytest.mark.usefixtures("unhurried")
def test_thread_is_left_before_it_runs() -> None:
    threading.Thread(target=until_the_end).start()


@leaks(53, kinds="thread", at=None)
@pytest.mark.usefixtures("unhurried")
def test_thread_without_an_object_is_left_before_it_runs() -> None:
    _thread.start_new_thread(until_the_end, ())


@clean(53)
def test_late_thread_of_the_test_before_is_not_blamed_on_this() -> None:
    ready = threading.Event()
    _thread.start_new_thread(ready.set, ())
    ready.wait()


@leaks(23, kinds="task", at=None)
@pytest.mark.usefixtures("unhurried")
def test_coroutine_on_a_shared_loop_is_left_before_it_runs(shared_loop: asyncio.AbstractEventLoop) -> None:
    KEPT.append(asyncio.run_coroutine_threadsafe(forever(), shared_loop))


@clean(23)
def test_late_coroutine_of_the_test_before_is_not_blamed_on_this(shared_loop: asyncio.AbstractEventLoop) -> None:
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), shared_loop).result()


@leaks(21, kinds="thread")
@pytest.mark.usefixtures("unhurried")
def test_job_of_a_shared_pool_is_left_before_it_runs(shared_pool: ThreadPoolExecutor) -> None:
    over = threading.Event()
    AFTERWARDS.callback(over.set)
    shared_pool.submit(over.wait)
    KEPT.append(over)


@clean(21)
def test_late_job_of_the_test_before_is_not_blamed_on_this() -> None:
    for over in KEPT:
        if isinstance(over, threading.Event):
            over.set()
