"""The thread of the server: nobody waits for it for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from pytest_mockstream.doors.server.thread import LoopThread

LONG = 3600


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    loop = LoopThread("a server", patience=LONG)
    loop.start()
    yield loop
    loop.stop()


class Blocked:
    """Blocks a thread until it is told to go on; whoever waits for it soon loses patience."""

    def __init__(self, thread: LoopThread) -> None:
        self._thread = thread
        self._stands = threading.Event()
        self._go_on = threading.Event()
        self._went_on = threading.Event()

    def __enter__(self) -> None:
        assert self._thread._loop is not None
        self._thread._loop.call_soon_threadsafe(self._wait)
        self._stands.wait()
        self._thread._patience = 0.05

    def __exit__(self, *_: object) -> None:
        self._go_on.set()
        self._went_on.wait()
        self._thread._patience = LONG

    def _wait(self) -> None:
        self._stands.set()
        self._go_on.wait()  # the line that blocks
        self._went_on.set()


async def nothing() -> int:
    return 1


async def times_out() -> None:
    raise TimeoutError("of its own")


def test_a_blocked_thread_is_said_to_be_with_its_stack(thread: LoopThread) -> None:
    with Blocked(thread), pytest.raises(RuntimeError) as caught:
        thread.run(nothing())

    first, *stack = str(caught.value).splitlines()
    assert first == "'a server' has not answered for 0.05 s; its thread is here:"
    where = next(number for number, line in enumerate(stack) if line.endswith(", in _wait"))
    assert stack[where + 1].strip() == "self._go_on.wait()  # the line that blocks"


def test_a_blocked_thread_is_waited_for_once(thread: LoopThread) -> None:
    with Blocked(thread):
        with pytest.raises(RuntimeError):
            thread.run(nothing())
        thread._patience = LONG

        with pytest.raises(RuntimeError):
            thread.run(nothing())

    assert thread._overdue is not None
    thread._overdue.result(LONG)  # now it has caught up
    assert thread.run(nothing()) == 1


def test_what_nobody_waits_for_any_more_is_done_before_the_thread_ends(thread: LoopThread) -> None:
    done = []

    async def takes_turns() -> None:
        for _ in range(10_000):
            await asyncio.sleep(0)
        done.append(True)

    with Blocked(thread), pytest.raises(RuntimeError):
        thread.run(takes_turns())
    thread.stop()

    assert done == [True]


def test_a_blocked_thread_can_be_stopped_once_it_goes_on(thread: LoopThread) -> None:
    with Blocked(thread), pytest.raises(RuntimeError, match="has not answered"):
        thread.stop()

    thread.stop()
    assert not thread.is_running


def test_a_time_out_of_its_own_is_no_sign_of_that(thread: LoopThread) -> None:
    with pytest.raises(TimeoutError, match="of its own"):
        thread.run(times_out())
