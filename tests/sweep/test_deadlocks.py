"""Nothing can happen any more: that is a verdict at once, with who waits for what, and only where it is certain."""

from __future__ import annotations

import asyncio
import faulthandler
import functools
import selectors
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import pytest_mockstream.plugin.deadlocks  # noqa: F401 - pytester forgets again what a run within the run has imported
from pytest_mockstream import (
    DeadlockError,
    Disconnect,
    Gate,
    MockStreamClient,
    MockStreamServer,
    Stall,
    SweepError,
    sweep_cancellation,
    sweep_faults,
    sweep_orders,
)
from pytest_mockstream.sweep import native_threads, threads_at_work
from pytest_mockstream.sweep.deadlock import deadlock_here
from sweep.acting_threads import (
    LateThread,
    handler_of_a_signal,
    idle_thread_without_python,
    job_of_a_pool,
    thread_of_another_plugin_for_pytest,
    thread_of_ours,
    thread_of_the_standard_library,
    thread_that_nobody_lists,
    thread_without_python,
)

pytestmark = pytest.mark.usefixtures("no_garbage")


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def told(*functions: Callable[[], Awaitable[object]]) -> list[str]:
    """Return who waits for what, without the places, once these functions are stuck in tasks called A, B and so on."""
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(function(), name=name)  # type: ignore[arg-type] # they are async
        for name, function in zip("ABC", functions, strict=False)
    ]
    await settle()
    problem = deadlock_here()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    if problem is None:
        return []
    return [line.strip().partition(", at ")[0].partition(" at ")[0] for line in str(problem).splitlines()[1:]]


class Shared:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.other = asyncio.Lock()
        self.slots = asyncio.Semaphore(1)
        self.queue: asyncio.Queue[int] = asyncio.Queue(1)
        self.event = asyncio.Event()
        self.condition = asyncio.Condition()

    async def locks_first(self) -> None:
        async with self.lock:
            await asyncio.sleep(0)
            async with self.other:
                pass

    async def locks_other(self) -> None:
        async with self.other:
            await asyncio.sleep(0)
            async with self.lock:
                pass

    async def takes_with_lock(self) -> None:
        async with self.lock:
            await self.queue.get()

    async def puts_with_lock(self) -> None:
        await asyncio.sleep(0)
        async with self.lock:
            self.queue.put_nowait(1)

    async def puts_twice(self) -> None:
        async with self.lock:
            await self.queue.put(1)
            await self.queue.put(2)

    async def drains_with_lock(self) -> None:
        await asyncio.sleep(0)
        async with self.lock:
            await self.queue.get()

    async def has_slot_and_waits(self) -> None:
        async with self.slots:
            await self.event.wait()

    async def sets_with_slot(self) -> None:
        await asyncio.sleep(0)
        async with self.slots:
            self.event.set()

    async def is_notified(self) -> None:
        async with self.condition:
            await self.condition.wait()

    async def gathers(self) -> None:
        await asyncio.gather(self.event.wait())

    async def gathers_a_gathering(self) -> None:
        await asyncio.gather(asyncio.gather(self.event.wait()))

    async def gathers_a_future(self) -> None:
        await asyncio.gather(self.event.wait(), asyncio.get_running_loop().create_future())

    async def groups(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.event.wait(), name="child")

    async def sleeps(self) -> None:
        await asyncio.sleep(3600)

    async def waits_for_a_future(self) -> None:
        await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        (
            ["locks_first", "locks_other"],
            ["'A' waits for the lock that 'B' holds", "'B' waits for the lock that 'A' holds"],
        ),
        (
            ["takes_with_lock", "puts_with_lock"],
            ["'A' waits for the queue that 'B' fills", "'B' waits for the lock that 'A' holds"],
        ),
        (
            ["puts_twice", "drains_with_lock"],
            ["'A' waits for room in the queue that 'B' empties", "'B' waits for the lock that 'A' holds"],
        ),
        (
            ["has_slot_and_waits", "sets_with_slot"],
            ["'A' waits for the event that 'B' sets", "'B' waits for the semaphore that 'A' holds"],
        ),
        (["is_notified"], ["'A' waits for the condition"]),
        (["groups"], ["'A' waits for 'child'", "'child' waits for the event"]),
    ],
)
async def test_it_is_said_who_waits_for_what(names: list[str], lines: list[str]) -> None:
    shared = Shared()

    assert await told(*(getattr(shared, name) for name in names)) == lines


@pytest.mark.parametrize("name", ["gathers", "gathers_a_gathering"])
async def test_task_without_a_name_goes_by_its_function(name: str) -> None:
    shared = Shared()

    lines = await told(getattr(shared, name))

    assert lines == ["'A' waits for the task of Event.wait", "the task of Event.wait waits for the event"]


@contextmanager
def listening() -> Iterator[None]:
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    loop.add_reader(ours, print)
    try:
        yield
    finally:
        loop.remove_reader(ours)
        ours.close()
        theirs.close()


@contextmanager
def thread_that_ends_in_between() -> Iterator[None]:
    LateThread(functools.partial(asyncio.get_running_loop().call_soon_threadsafe, print))
    yield


@contextmanager
def timer_thread() -> Iterator[None]:
    timer = threading.Timer(3600, asyncio.get_running_loop().call_soon_threadsafe, [print])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@contextmanager
def other_loop() -> Iterator[None]:
    other = asyncio.new_event_loop()
    thread = threading.Thread(target=other.run_forever)
    thread.start()
    started = threading.Event()
    other.call_soon_threadsafe(started.set)
    started.wait()
    try:
        yield
    finally:
        other.call_soon_threadsafe(other.stop)
        thread.join()
        other.close()


@contextmanager
def signal_handler() -> Iterator[None]:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, print)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)


@contextmanager
def timer() -> Iterator[None]:
    handle = asyncio.get_running_loop().call_later(3600, print)
    try:
        yield
    finally:
        handle.cancel()


@pytest.mark.parametrize(
    "may_come",
    [
        listening,
        thread_of_ours,
        thread_that_nobody_lists,
        thread_of_the_standard_library,
        job_of_a_pool,
        thread_that_ends_in_between,
        timer,
        timer_thread,
        other_loop,
        signal_handler,
        handler_of_a_signal,
        thread_without_python,
    ],
)
async def test_where_something_may_still_come_nothing_is_said(may_come: Callable[[], Any]) -> None:
    with may_come():
        assert await told(Shared().takes_with_lock) == []


async def test_watchdog_of_faulthandler_wakes_nobody() -> None:
    faulthandler.dump_traceback_later(600)  # instead of pytest's own, if that is set
    try:
        assert await told(Shared().takes_with_lock) == ["'A' waits for the queue"]
        with thread_without_python():
            assert await told(Shared().takes_with_lock) == []
    finally:
        faulthandler.cancel_dump_traceback_later()


async def test_idle_thread_of_a_library_in_c_wakes_nobody() -> None:
    with idle_thread_without_python():
        assert await told(Shared().takes_with_lock) == ["'A' waits for the queue"]
        with thread_without_python():
            assert await told(Shared().takes_with_lock) == []


async def test_workers_of_numpy_wake_nobody() -> None:
    numpy = pytest.importorskip("numpy")
    matrix = numpy.ones((500, 500))
    assert (matrix @ matrix)[0, 0] == 500

    assert await told(Shared().takes_with_lock) == ["'A' waits for the queue"]


@pytest.mark.skipif(native_threads._FUTEX is None, reason="not known which system call it is")
@pytest.mark.parametrize(
    ("arguments", "waits"),
    [
        ("0x7f11fabbd660 0x189 0x0 0x0 0x0 0xffffffff", True),  # FUTEX_WAIT_BITSET, private
        ("0x7f11fabbd660 0x80 0x2 0x0 0x0 0x0", True),  # FUTEX_WAIT, private
        ("0x7f11fabbd660 0x189 0x0 0x7f11f51fed90 0x0 0xffffffff", False),  # with a time-out
        ("0x7f11fabbd660 0x109 0x0 0x0 0x0 0xffffffff", False),  # another process may end it
        ("0x7f11fabbd660 0x81 0x1 0x0 0x0 0x0", False),  # FUTEX_WAKE
    ],
)
def test_thread_that_waits_for_another_is_told_by_its_system_call(arguments: str, waits: bool) -> None:
    call = f"{native_threads._FUTEX} {arguments} 0x7f11f51fed90 0x7f11fbaa3f16"

    assert native_threads.waits_for_another(call) is waits
    assert not native_threads.waits_for_another(f"1{call}")


@pytest.mark.parametrize("call", ["running", "-1 0x7ffe8e105078 0x7f11fbb162ad", ""])
def test_thread_in_no_system_call_goes_on_by_itself(call: str) -> None:
    assert not native_threads.waits_for_another(call)


def test_thread_that_has_just_been_created_is_no_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_threads, "_GONE", 0.002)

    for _ in range(100):
        with thread_without_python():
            assert threads_at_work.threads_may_act()


async def test_thread_of_a_plugin_for_pytest_may_wake_somebody(tmp_path: Path) -> None:
    with thread_of_another_plugin_for_pytest(tmp_path):
        assert await told(Shared().takes_with_lock) == []


@pytest.mark.mockstream(unused="allow")
async def test_server_of_ours_may_call_a_function_of_the_users(mock_stream_server: MockStreamServer) -> None:
    assert await told(Shared().is_notified) == ["'A' waits for the condition"]

    mock_stream_server.when(predicate=lambda _request: True).respond("hi", times=None)

    assert await told(Shared().is_notified) == []


class CallingSelector(selectors.DefaultSelector):
    """A selector as loops of GUIs have one: it calls what they like while it waits."""


def test_loop_with_a_selector_of_its_own_is_never_deadlocked() -> None:
    def lines(selector: selectors.BaseSelector) -> list[str]:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
            return runner.run(told(Shared().is_notified))

    assert lines(selectors.DefaultSelector()) == ["'A' waits for the condition"]
    assert lines(CallingSelector()) == []


@pytest.mark.usefixtures("mock_stream_server")
async def test_server_of_ours_may_come_to_a_gate() -> None:
    assert await told(Gate().reached) == []


@pytest.mark.usefixtures("mock_stream_server")
async def test_server_of_ours_wakes_nobody() -> None:
    assert await told(Shared().is_notified) == ["'A' waits for the condition"]


@pytest.mark.parametrize("name", ["sleeps", "waits_for_a_future", "gathers_a_future"])
async def test_wait_that_is_not_known_for_certain_is_none(name: str) -> None:
    shared = Shared()

    assert await told(shared.takes_with_lock, getattr(shared, name)) == []


# In sweeps.


async def locked() -> None:
    shared = Shared()
    async with asyncio.TaskGroup() as group:
        group.create_task(shared.locks_first(), name="A")
        group.create_task(shared.locks_other(), name="B")


@pytest.mark.parametrize("sweep", [sweep_cancellation, lambda make: sweep_faults(make, MockStreamClient())])
async def test_first_run_that_can_never_end_is_ended(sweep: Callable[[Any], Awaitable[object]]) -> None:
    with pytest.raises(DeadlockError, match="'A' waits for the lock that 'B' holds at "):
        await sweep(locked)


async def test_order_that_can_never_end_is_said() -> None:
    with pytest.raises(SweepError, match="'A' waits for the lock that 'B' holds at "):
        await sweep_orders(locked)


async def test_code_that_a_broken_stream_leaves_waiting_is_deadlocked() -> None:
    client = MockStreamClient()
    client.respond("one two")

    async def pipe() -> None:
        queue: asyncio.Queue[str | None] = asyncio.Queue()

        async def produce() -> None:
            async with client.complete_stream("hi") as stream:
                async for chunk in stream:
                    queue.put_nowait(chunk.delta)
            queue.put_nowait(None)

        task = asyncio.create_task(produce(), name="producer")
        try:
            while await queue.get() is not None:
                pass
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()

    with pytest.raises(SweepError) as caught:
        await sweep_faults(pipe, client, faults=[Disconnect])

    assert "deadlock: nothing can happen any more:" in str(caught.value)
    assert "waits for the queue, at " in str(caught.value)


async def test_silence_of_a_stream_is_not_called_a_deadlock() -> None:
    client = MockStreamClient()
    client.respond("one")

    async def reads() -> None:
        async with client.complete_stream("hi") as stream:
            await stream.aread()

    with pytest.raises(SweepError) as caught:
        await sweep_faults(reads, client, faults=[Stall], patience=0.1)

    assert "deadlock:" not in str(caught.value)
    assert "give the read a timeout" in str(caught.value)


# In any test under a virtual clock.

VIRTUAL = """
    import asyncio, looptime, pytest
    from pytest_mockstream import Gate

    def pytest_asyncio_loop_factories(config, item):
        return {"virtual": lambda: looptime.new_event_loop(start=0)}
"""


@pytest.fixture
def virtual_clock(pytester: pytest.Pytester) -> None:
    pytest.importorskip("pytest_asyncio", minversion="1.4")
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nasyncio_mode = auto\n")
    pytester.makeconftest(VIRTUAL)


def run(pytester: pytest.Pytester) -> pytest.RunResult:
    return pytester.runpytest_inprocess("-p", "no:looptime_plugin", "-p", "no:randomly", "-p", "no:rerunfailures")


@pytest.mark.usefixtures("virtual_clock")
def test_test_under_a_virtual_clock_fails_at_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio
        from pytest_mockstream import Gate

        async def test_event():
            await asyncio.Event().wait()

        async def test_gate(mock_stream_client):
            mock_stream_client.respond("a", Gate(), "b")
            async with mock_stream_client.complete_stream("hi") as stream:
                await stream.aread()
        """
    )

    result = run(pytester)

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "E*DeadlockError: deadlock: nothing can happen any more:",
            "E*the task of test_event waits for the event, at *test_test_under*.py:5 in test_event:*",
            "E*the task of test_gate waits for a stream that stands still, at *:10 in test_gate:*",
        ]
    )


@pytest.mark.usefixtures("virtual_clock")
def test_test_under_a_virtual_clock_may_wait_for_what_comes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio, threading, time
        from concurrent.futures import ThreadPoolExecutor

        async def test_timer():
            await asyncio.sleep(3600)

        async def test_job():
            with ThreadPoolExecutor() as pool:
                await asyncio.get_running_loop().run_in_executor(pool, time.sleep, 0.05)

        async def test_thread():
            done, loop = asyncio.Event(), asyncio.get_running_loop()

            def work():
                time.sleep(0.05)
                loop.call_soon_threadsafe(done.set)

            thread = threading.Thread(target=work)
            thread.start()
            await done.wait()
            thread.join()
        """
    )

    run(pytester).assert_outcomes(passed=3)


async def test_gate_that_nobody_opens_is_no_deadlock_of_an_order() -> None:
    async def reads() -> None:
        client = MockStreamClient()
        client.respond("a", Gate(), "b")
        async with client.complete_stream("hi") as stream:
            await asyncio.gather(stream.aread(), asyncio.sleep(1))

    assert (await sweep_orders(reads)).ok
