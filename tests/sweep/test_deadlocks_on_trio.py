"""The same verdict on trio: nothing can happen any more, who waits for what, and only where it is certain."""

from __future__ import annotations

import _thread
import functools
import queue
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import pytest
import trio
from trio.testing import MockClock

from pytest_mockstream import (
    DeadlockError,
    Disconnect,
    Gate,
    MockStreamClient,
    Stall,
    SweepError,
    sweep_cancellation,
    sweep_faults,
)
from pytest_mockstream.sweep import or_deadlock_on_trio
from pytest_mockstream.sweep.deadlock_on_trio import deadlock_here
from sweep.acting_threads import (
    LateThread,
    handler_of_a_signal,
    job_of_a_pool,
    thread_of_ours,
    thread_of_the_standard_library,
    thread_that_nobody_lists,
    thread_without_python,
)


def jumping() -> MockClock:
    return MockClock(autojump_threshold=0)


async def told(*functions: Callable[[], Awaitable[object]]) -> list[str]:
    """Return who waits for what, without the places, once these functions are stuck in tasks called A, B and so on."""
    async with trio.open_nursery() as nursery:
        for name, function in zip("ABC", functions, strict=False):
            nursery.start_soon(function, name=name)
            await trio.testing.wait_all_tasks_blocked()
        problem = await deadlock_here()
        nursery.cancel_scope.cancel()
    if problem is None:
        return []
    return [line.strip().partition(", at ")[0].partition(" at ")[0] for line in str(problem).splitlines()[1:]]


class Shared:
    def __init__(self) -> None:
        self.lock = trio.Lock()
        self.other = trio.StrictFIFOLock()
        self.anyios = anyio.Lock()
        self.slots = trio.Semaphore(1)
        self.limiter = trio.CapacityLimiter(1)
        self.sending, self.receiving = trio.open_memory_channel[int](1)
        self.event = trio.Event()
        self.turn = trio.Event()
        self.condition = trio.Condition()
        self.lot = trio.lowlevel.ParkingLot()

    async def locks_first(self) -> None:
        async with self.lock:
            await self.turn.wait()
            async with self.other:
                pass

    async def locks_other(self) -> None:
        async with self.other:
            self.turn.set()
            async with self.lock:
                pass

    async def locks_anyios(self) -> None:
        async with self.anyios:
            await self.turn.wait()
            async with self.lock:
                pass

    async def locks_for_anyios(self) -> None:
        async with self.lock:
            self.turn.set()
            async with self.anyios:
                pass

    async def takes_with_lock(self) -> None:
        async with self.lock:
            await self.receiving.receive()

    async def puts_with_lock(self) -> None:
        async with self.lock:
            await self.sending.send(1)

    async def puts_twice(self) -> None:
        async with self.lock:
            await self.sending.send(1)
            await self.sending.send(2)

    async def drains_with_lock(self) -> None:
        async with self.lock:
            await self.receiving.receive()

    async def has_slot_and_waits(self) -> None:
        async with self.slots:
            await self.event.wait()

    async def sets_with_slot(self) -> None:
        async with self.slots:
            self.event.set()

    async def is_limited_and_parks(self) -> None:
        async with self.limiter:
            await self.lot.park()

    async def unparks_where_limited(self) -> None:
        async with self.limiter:
            self.lot.unpark()

    async def is_notified(self) -> None:
        async with self.condition:
            await self.condition.wait()

    async def has_a_child(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.event.wait, name="child")

    async def starts_what_never_has(self) -> None:
        async def never_has(task_status: trio.TaskStatus[None]) -> None:
            await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            await nursery.start(never_has)

    async def waits_for_somebody(self) -> None:
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        (
            ["locks_first", "locks_other"],
            ["'A' waits for the lock that 'B' holds", "'B' waits for the lock that 'A' holds"],
        ),
        (
            ["locks_anyios", "locks_for_anyios"],
            ["'A' waits for the lock that 'B' holds", "'B' waits for the lock that 'A' holds"],
        ),
        (
            ["takes_with_lock", "puts_with_lock"],
            ["'A' waits for the channel that 'B' fills", "'B' waits for the lock that 'A' holds"],
        ),
        (
            ["puts_twice", "drains_with_lock"],
            ["'A' waits for room in the channel that 'B' empties", "'B' waits for the lock that 'A' holds"],
        ),
        (
            ["has_slot_and_waits", "sets_with_slot"],
            ["'A' waits for the event that 'B' sets", "'B' waits for the semaphore that 'A' holds"],
        ),
        (
            ["is_limited_and_parks", "unparks_where_limited"],
            ["'A' waits in the parking lot that 'B' unparks", "'B' waits for the limiter that 'A' holds"],
        ),
        (["is_notified"], ["'A' waits for the condition"]),
        (["has_a_child"], ["'A' waits for 'child'", "'child' waits for the event"]),
    ],
)
def test_it_is_said_who_waits_for_what(names: list[str], lines: list[str]) -> None:
    async def main() -> list[str]:
        shared = Shared()
        return await told(*(getattr(shared, name) for name in names))

    assert trio.run(main) == lines


def test_task_without_a_name_goes_by_its_function() -> None:
    async def main() -> list[str]:
        return await told(Shared().starts_what_never_has)

    function = "Shared.starts_what_never_has.<locals>.never_has"
    assert trio.run(main) == [f"'A' waits for the task of {function}", f"the task of {function} waits for ever"]


def test_other_end_of_a_channel_is_known() -> None:
    async def main() -> list[str]:
        sending, receiving = trio.open_memory_channel[int](0)
        event = trio.Event()

        async def puts() -> None:
            await event.wait()
            await sending.send(1)

        return await told(receiving.receive, puts)

    assert trio.run(main) == ["'A' waits for the channel that 'B' fills", "'B' waits for the event"]


@asynccontextmanager
async def beside(function: Callable[..., Awaitable[object]], *arguments: Any) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(function, *arguments)
        yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def listening() -> AsyncIterator[None]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        async with beside(trio.lowlevel.wait_readable, ours):
            yield


@asynccontextmanager
async def thread_that_ends_in_between() -> AsyncIterator[None]:
    LateThread(functools.partial(trio.lowlevel.current_trio_token().run_sync_soon, print))
    yield


@asynccontextmanager
async def timer_thread() -> AsyncIterator[None]:
    timer = threading.Timer(3600, trio.lowlevel.current_trio_token().run_sync_soon, [print])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@asynccontextmanager
async def job_in_a_worker() -> AsyncIterator[None]:
    end = threading.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(functools.partial(trio.to_thread.run_sync, end.wait))
        yield
        end.set()


@asynccontextmanager
async def signal_receiver() -> AsyncIterator[None]:
    with trio.open_signal_receiver(signal.SIGTERM):
        yield


@asynccontextmanager
async def timer() -> AsyncIterator[None]:
    async with beside(trio.sleep, 3600):
        yield


@asynccontextmanager
async def what_runs() -> AsyncIterator[None]:
    async def runs() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    async with beside(runs):
        yield


@asynccontextmanager
async def wait_that_is_not_known() -> AsyncIterator[None]:
    async with beside(Shared().waits_for_somebody):
        yield


class Waker:
    """An instrument that does something whenever nothing happens."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function

    def after_io_wait(self, timeout: float) -> None:
        if not trio.lowlevel.current_statistics().tasks_runnable:
            self.function()


def on_trio(around: Callable[[], AbstractContextManager[None]]) -> Callable[[], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    @functools.wraps(around)
    async def entered() -> AsyncIterator[None]:
        with around():
            yield

    return entered


MAY_COME = [
    listening,
    on_trio(thread_of_ours),
    on_trio(thread_that_nobody_lists),
    on_trio(thread_of_the_standard_library),
    on_trio(job_of_a_pool),
    thread_that_ends_in_between,
    timer,
    timer_thread,
    job_in_a_worker,
    on_trio(handler_of_a_signal),
    on_trio(thread_without_python),
    signal_receiver,
    what_runs,
    wait_that_is_not_known,
]


@pytest.mark.parametrize("may_come", MAY_COME)
def test_where_something_may_still_come_nothing_is_said(
    may_come: Callable[[], AbstractAsyncContextManager[None]],
) -> None:
    async def told_beside(*around: Callable[[], AbstractAsyncContextManager[None]]) -> list[str]:
        async with AsyncExitStack() as stack:
            for one in around:
                await stack.enter_async_context(one())
            shared = Shared()
            async with beside(shared.takes_with_lock):
                if what_runs not in around:
                    await trio.testing.wait_all_tasks_blocked()
                problem = await deadlock_here()
        return [] if problem is None else str(problem).splitlines()

    assert trio.run(told_beside, may_come) == []
    assert trio.run(told_beside) != []


@pytest.mark.usefixtures("mock_stream_server")
def test_server_of_ours_may_come_to_a_gate() -> None:
    assert trio.run(told, Gate().reached) == []


def test_raw_thread_that_has_not_begun_may_act() -> None:
    async def main() -> None:
        wake = trio.lowlevel.current_trio_token().run_sync_soon
        for _ in range(50):
            event = trio.Event()
            _thread.start_new_thread(wake, (event.set,))
            await or_deadlock_on_trio(event.wait)

    trio.run(main, clock=jumping())


def test_what_another_instrument_will_wake_is_not_deadlocked() -> None:
    async def main() -> None:
        event = trio.Event()
        waker = Waker(event.set)
        trio.lowlevel.add_instrument(waker)  # type: ignore[arg-type] # it need not inherit
        await or_deadlock_on_trio(event.wait)

    trio.run(main, clock=jumping())


def test_guest_of_another_loop_is_never_deadlocked() -> None:
    calls: queue.Queue[Callable[[], object]] = queue.Queue()
    ended: list[Any] = []

    async def main() -> list[str]:
        return await told(Shared().takes_with_lock)

    trio.lowlevel.start_guest_run(main, run_sync_soon_threadsafe=calls.put, done_callback=ended.append)
    while not ended:
        calls.get()()

    assert ended[0].unwrap() == []


@pytest.mark.usefixtures("mock_stream_server")
def test_server_of_ours_wakes_nobody() -> None:
    async def main() -> list[str]:
        return await told(Shared().is_notified)

    assert trio.run(main) == ["'A' waits for the condition"]


# Under a virtual clock.


async def locked() -> None:
    shared = Shared()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shared.locks_first, name="A")
        nursery.start_soon(shared.locks_other, name="B")


@pytest.mark.parametrize("threshold", [0, 0.01, float("inf")])
def test_code_that_can_never_end_is_ended(threshold: float) -> None:
    clock = MockClock(autojump_threshold=threshold)

    with pytest.raises(DeadlockError) as caught:
        trio.run(or_deadlock_on_trio, locked, clock=clock)

    lines = str(caught.value).splitlines()
    assert lines[0] == "deadlock: nothing can happen any more:"
    assert lines[1].startswith("  'A' waits for the lock that 'B' holds at ")
    assert lines[2].startswith("  'B' waits for the lock that 'A' holds at ")
    assert "trio.fail_after()" in lines[4]


def test_shielded_code_that_can_never_end_is_ended() -> None:
    async def shielded() -> None:
        async with trio.open_nursery() as nursery:
            with trio.CancelScope(shield=True):
                nursery.start_soon(trio.sleep_forever)
                await trio.Event().wait()

    with pytest.raises(DeadlockError, match="waits for the event"):
        trio.run(or_deadlock_on_trio, shielded, clock=jumping())


def test_deadlock_is_told_whatever_comes_of_the_cancellation() -> None:
    async def replaces() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise OSError("lost")

    async def swallows() -> str:
        try:
            await trio.sleep_forever()
        except BaseException:
            return "oops"
        return "fine"

    with pytest.raises(DeadlockError) as caught:
        trio.run(or_deadlock_on_trio, replaces, clock=jumping())
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(DeadlockError):
        trio.run(or_deadlock_on_trio, swallows, clock=jumping())


def test_in_real_time_a_deadlock_is_left_to_a_timeout() -> None:
    async def main(seconds: float) -> None:
        event, token, over = trio.Event(), trio.lowlevel.current_trio_token(), threading.Event()

        def work() -> None:
            over.wait(seconds)
            token.run_sync_soon(event.set)

        thread = threading.Thread(target=work, name="mockstream server")  # whose kind is taken to wake nobody
        thread.start()
        try:
            await or_deadlock_on_trio(event.wait)
        finally:
            over.set()
            thread.join()

    trio.run(main, 0.05)
    with pytest.raises(DeadlockError):
        trio.run(main, 60, clock=jumping())


async def waits_for_a_timer() -> None:
    await trio.sleep(3600)


async def waits_for_a_job() -> None:
    await trio.to_thread.run_sync(time.sleep, 0.05)


async def waits_for_a_thread() -> None:
    done, token = trio.Event(), trio.lowlevel.current_trio_token()

    def work() -> None:
        time.sleep(0.05)
        trio.from_thread.run_sync(done.set, trio_token=token)

    thread = threading.Thread(target=work)
    thread.start()
    await done.wait()
    thread.join()


async def waits_for_a_socket() -> None:
    ours, theirs = trio.socket.socketpair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.recv, 1)
        await trio.sleep(1)
        await theirs.send(b"a")
    ours.close()
    theirs.close()


async def waits_for_a_signal() -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        timer = threading.Timer(0.05, signal.raise_signal, [signal.SIGTERM])
        timer.start()
        async for _ in signals:
            break
        timer.join()


async def waits_for_a_call() -> None:
    event = trio.Event()
    trio.lowlevel.current_trio_token().run_sync_soon(event.set)
    await event.wait()


async def waits_for_a_process() -> None:
    await trio.run_process(["sleep", "0.05"])


async def waits_until_all_are_blocked() -> None:
    event = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(event.wait)
        await trio.testing.wait_all_tasks_blocked()
        event.set()


async def takes_turns() -> None:
    """Two tasks that both stand where they wait whenever the loop has run what was ready, and one has been woken."""
    events = [trio.Event(), trio.Event()]

    async def waits_and_wakes(number: int) -> None:
        for _ in range(20):
            await events[number].wait()
            events[number] = trio.Event()
            events[1 - number].set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waits_and_wakes, 0)
        nursery.start_soon(waits_and_wakes, 1)
        events[0].set()


async def waits_for_a_gate() -> None:
    gate, client = Gate(), MockStreamClient(producer="background")
    client.respond("a", gate, "b")
    async with client.complete_stream("hi") as stream, trio.open_nursery() as nursery:
        nursery.start_soon(stream.aread)
        await gate.reached()
        await trio.sleep(1)
        gate.open()


@pytest.mark.parametrize(
    "code",
    [
        waits_for_a_timer,
        waits_for_a_job,
        waits_for_a_thread,
        waits_for_a_socket,
        waits_for_a_signal,
        waits_for_a_call,
        waits_for_a_process,
        waits_until_all_are_blocked,
        takes_turns,
        waits_for_a_gate,
    ],
)
@pytest.mark.parametrize("threshold", [0, 0.01])
def test_code_that_waits_for_what_comes_is_left_alone(code: Callable[[], Awaitable[None]], threshold: float) -> None:
    trio.run(or_deadlock_on_trio, code, clock=MockClock(autojump_threshold=threshold))


# In sweeps.


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("sweep", [sweep_cancellation, lambda make: sweep_faults(make, MockStreamClient())])
def test_first_run_that_can_never_end_is_ended(sweep: Callable[[Any], Awaitable[object]], virtual: bool) -> None:
    with pytest.raises(DeadlockError, match="'A' waits for the lock that 'B' holds at "):
        trio.run(sweep, locked, clock=jumping() if virtual else None)


def test_sweep_in_code_that_is_watched_says_it_itself() -> None:
    async def code() -> None:
        with pytest.raises(DeadlockError) as caught:
            await sweep_cancellation(locked)
        assert "the task of locked waits for 'A' and 'B', at " in str(caught.value)

    trio.run(or_deadlock_on_trio, code, clock=jumping())


@pytest.mark.parametrize("virtual", [False, True])
def test_code_that_a_broken_stream_leaves_waiting_is_deadlocked(virtual: bool) -> None:
    client = MockStreamClient()
    client.respond("one two")

    async def pipe() -> None:
        sending, receiving = trio.open_memory_channel[str | None](10)

        async def produce() -> None:
            try:
                async with client.complete_stream("hi") as stream:
                    async for chunk in stream:
                        sending.send_nowait(chunk.delta)
                sending.send_nowait(None)
            except OSError:
                pass

        async with trio.open_nursery() as nursery:
            nursery.start_soon(produce, name="producer")
            while await receiving.receive() is not None:
                pass

    async def main() -> None:
        await sweep_faults(pipe, client, faults=[Disconnect])

    with pytest.raises(SweepError) as caught:
        trio.run(main, clock=jumping() if virtual else None)

    assert "deadlock: nothing can happen any more:" in str(caught.value)
    assert "the task of test_code_that" in str(caught.value)
    assert "waits for the channel, at " in str(caught.value)


def test_silence_of_a_stream_is_not_called_a_deadlock() -> None:
    client = MockStreamClient()
    client.respond("one")

    async def reads() -> None:
        async with client.complete_stream("hi") as stream:
            await stream.aread()

    async def main() -> None:
        await sweep_faults(reads, client, faults=[Stall], patience=0.1)

    with pytest.raises(SweepError) as caught:
        trio.run(main)

    assert "deadlock:" not in str(caught.value)
    assert "give the read a timeout" in str(caught.value)


@pytest.mark.parametrize("looked_at", [0.02, 0.118, 1])
def test_run_that_is_woken_at_the_instant_of_a_look_is_no_deadlock(looked_at: float) -> None:
    """What is due at that instant has been woken, and still looks as if it waited."""

    async def code() -> None:
        await trio.sleep(5 * looked_at if runs else 0)
        runs.append(1)

    async def main() -> None:
        assert (await sweep_cancellation(code, patience=5, max_points=1)).ok

    for _ in range(10):  # trio shuffles what is due
        runs: list[int] = []
        trio.run(main, clock=jumping())
