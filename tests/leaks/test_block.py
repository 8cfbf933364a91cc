"""The engine, through ``leak_check``: each leak beside its clean twin."""

from __future__ import annotations

import asyncio
import gc
import queue
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_mockstream import LeakError, LeakReport, ScriptError, leak_check
from pytest_mockstream.leaks.suspects import NO_DAEMON

pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"), pytest.mark.usefixtures("small_heap")]

NEVER = 3600.0


async def report_of(block: Callable[[], Awaitable[object]], **options: object) -> LeakReport:
    """Return what a coroutine function leaves running."""
    check = leak_check(**{"grace": 0.05, **options})  # type: ignore[arg-type] # checked by the tests themselves
    try:
        async with check:
            await block()
    except LeakError:
        pass
    return check.report


def sync_report_of(block: Callable[[], object], *, grace: float = 0.05) -> LeakReport:
    """Return what a function leaves running."""
    check = leak_check(grace=grace)
    try:
        with check:
            block()
    except LeakError:
        pass
    return check.report


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """An event that ends the threads of a test when it is over."""
    event = threading.Event()
    yield event
    event.set()
    for thread in threading.enumerate():
        if thread.name.startswith("planted"):
            thread.join(60)


async def swallow(times: float) -> None:
    while times > 0:
        try:
            await asyncio.sleep(NEVER)
        except asyncio.CancelledError:
            times -= 1


# Tasks.


async def test_pending_task_is_a_leak() -> None:
    async def start() -> None:
        asyncio.create_task(asyncio.sleep(NEVER), name="planted")  # noqa: RUF006 - it shall leak

    report = await report_of(start)

    (leak,) = report.leaks
    assert (leak.kind, leak.name, leak.owner) == ("task", "planted", "block")
    assert leak.created_at is not None
    assert leak.created_at.function.endswith("start")
    assert leak.diagnosis == "It is sleeping."
    assert report.counts.tasks[1] == report.counts.tasks[0] + 1


@pytest.mark.parametrize("contain", [False, True])
async def test_leaked_task_is_cancelled_only_to_contain_it(contain: bool) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def start() -> None:
        tasks.append(asyncio.create_task(asyncio.sleep(NEVER), name="planted"))

    report = await report_of(start, contain=contain)

    assert tasks[0].cancelled() is (report.leaks[0].fate == "ended") is contain
    assert ("  Ended now: task 'planted'." in str(report).splitlines()) is contain


def test_leaked_task_of_an_idle_loop_is_left_alone() -> None:
    loop = asyncio.new_event_loop()
    tasks: list[asyncio.Task[None]] = []

    report = sync_report_of(lambda: tasks.append(loop.create_task(asyncio.sleep(0.5))))

    assert (len(report.leaks), tasks[0].done()) == (1, False)
    loop.run_until_complete(tasks[0])
    loop.close()


@pytest.mark.parametrize("how", ["awaited", "cancelled", "short"])
async def test_task_that_ends_is_no_leak(how: str) -> None:
    async def start() -> None:
        task = asyncio.create_task(asyncio.sleep(NEVER if how == "cancelled" else 0.001))
        if how == "awaited":
            await task
        if how == "cancelled":
            task.cancel()

    assert not await report_of(start, grace=5)


async def test_task_that_was_there_before_is_no_leak() -> None:
    task = asyncio.create_task(asyncio.sleep(NEVER))

    report = await report_of(lambda: asyncio.sleep(0))

    task.cancel()
    assert not report


@pytest.mark.parametrize("pattern", ["heartbeat", "start", "beat.*", "sleep"])
async def test_ignored_task_is_no_leak(pattern: str) -> None:
    tasks = []

    async def start() -> None:
        tasks.append(asyncio.create_task(asyncio.sleep(NEVER), name="heartbeat"))
        tasks.append(asyncio.create_task(asyncio.sleep(NEVER), name="beat 2"))

    report = await report_of(start, ignore=[pattern, "heartbeat", "beat 2"])

    for task in tasks:
        task.cancel()
    assert not report


async def test_ignore_must_match_the_whole_name() -> None:
    async def start() -> None:
        asyncio.create_task(asyncio.sleep(NEVER), name="heartbeat")  # noqa: RUF006 - it shall leak

    assert await report_of(start, ignore=["heart"])


def test_ignore_that_is_no_expression_is_refused() -> None:
    with pytest.raises(ScriptError, match=r"ignore: '\(' is not a regular expression"):
        leak_check(ignore=["("])


@pytest.mark.usefixtures("no_garbage")
@pytest.mark.parametrize("times", [3, 10**9])
async def test_swallowed_cancellation_is_said(times: int) -> None:
    async def start() -> None:
        asyncio.create_task(swallow(times))  # noqa: RUF006 - it shall leak
        await asyncio.sleep(0)

    report = await report_of(start, contain=True)

    assert [leak.diagnosis for leak in report.leaks] == ["It swallowed its cancellation."]
    assert len(asyncio.all_tasks()) == 1


async def test_slow_clean_up_is_not_called_swallowing() -> None:
    async def tidy() -> None:
        try:
            await asyncio.sleep(NEVER)
        finally:
            await asyncio.sleep(0.001)

    async def start() -> None:
        asyncio.create_task(tidy())  # noqa: RUF006 - it shall leak
        await asyncio.sleep(0)

    report = await report_of(start, contain=True)

    assert [leak.diagnosis for leak in report.leaks] == ["It is sleeping."]


async def test_eager_task_is_a_leak() -> None:
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is None:
        pytest.skip("no eager tasks before Python 3.12")
    loop = asyncio.get_running_loop()

    async def start() -> None:
        loop.set_task_factory(factory)
        asyncio.create_task(asyncio.sleep(NEVER))  # noqa: RUF006 - it shall leak
        loop.set_task_factory(None)

    assert len((await report_of(start)).leaks) == 1


async def test_producer_of_a_generator_left_by_break_is_a_leak() -> None:
    async def chunks() -> AsyncIterator[int]:
        buffer: asyncio.Queue[int] = asyncio.Queue(2)

        async def pump() -> None:
            for number in range(100):
                await buffer.put(number)

        asyncio.create_task(pump(), name="pump")  # noqa: RUF006 - it shall leak
        while True:
            yield await buffer.get()

    async def consume() -> None:
        async for _ in chunks():
            break

    (leak,) = (await report_of(consume)).leaks

    assert leak.diagnosis == "It is blocked on a full queue (maxsize 2): its consumer stopped reading."
    assert leak.waits_at is not None
    assert leak.waits_at.function.endswith("pump")


async def test_producer_that_its_generator_cancels_is_no_leak() -> None:
    async def chunks() -> AsyncIterator[int]:
        task = asyncio.create_task(asyncio.sleep(NEVER))
        try:
            yield 1
        finally:
            task.cancel()

    async def consume() -> None:
        async for _ in chunks():
            break

    assert not await report_of(consume)


@pytest.mark.parametrize(
    ("wait", "said"),
    [
        (lambda: asyncio.Queue[int]().get(), "It waits on an empty queue that nobody fills."),
        (lambda: asyncio.Event().wait(), "It waits for an event that nobody sets."),
        (lambda: asyncio.Semaphore(0).acquire(), "It waits for a semaphore that is taken."),
        (lambda: asyncio.sleep(NEVER), "It is sleeping."),
    ],
)
async def test_diagnosis_of_a_task(wait: Callable[[], Awaitable[object]], said: str) -> None:
    async def waiting() -> None:
        await wait()

    async def start() -> None:
        asyncio.create_task(waiting())  # noqa: RUF006 - it shall leak
        await asyncio.sleep(0)

    assert [leak.diagnosis for leak in (await report_of(start)).leaks] == [said]


async def test_what_awaits_a_plain_future_gets_no_diagnosis() -> None:
    async def waiting() -> None:
        await asyncio.get_running_loop().create_future()

    async def start() -> None:
        asyncio.create_task(waiting())  # noqa: RUF006 - it shall leak
        await asyncio.sleep(0)

    assert [leak.diagnosis for leak in (await report_of(start)).leaks] == [None]


def test_pending_task_kept_by_a_cycle_only_is_a_leak() -> None:
    async def lonely() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        asyncio.create_task(lonely(), name="lonely")  # noqa: RUF006 - it shall leak
        await asyncio.sleep(0)
        gc.collect()
        await asyncio.sleep(0)

    assert [leak.name for leak in sync_report_of(lambda: asyncio.run(main())).leaks] == ["lonely"]


def test_children_of_a_run_that_ends_well_are_leaks() -> None:
    async def main() -> None:
        asyncio.create_task(asyncio.sleep(NEVER))  # noqa: RUF006 - it shall leak

    assert len(sync_report_of(lambda: asyncio.run(main())).leaks) == 1


def test_children_of_a_run_that_raises_are_no_leaks() -> None:
    async def main() -> None:
        asyncio.create_task(asyncio.sleep(NEVER))  # noqa: RUF006 - the run cancels it
        raise ZeroDivisionError

    def block() -> None:
        with pytest.raises(ZeroDivisionError):
            asyncio.run(main())

    assert not sync_report_of(block)


def test_run_in_another_thread_is_looked_at() -> None:
    async def main() -> None:
        asyncio.create_task(asyncio.sleep(NEVER))  # noqa: RUF006 - it shall leak

    def block() -> None:
        thread = threading.Thread(target=asyncio.run, args=(main(),))
        thread.start()
        thread.join()

    assert [leak.kind for leak in sync_report_of(block).leaks] == ["task"]


def test_idle_loop_is_pumped() -> None:
    loop = asyncio.new_event_loop()
    over = []

    async def short() -> None:
        await asyncio.sleep(0.001)
        over.append(True)

    report = sync_report_of(lambda: loop.create_task(short()), grace=5)

    loop.close()
    assert not report
    assert over


def test_coroutine_that_its_loop_has_not_come_to_yet_is_a_leak() -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def block() -> None:
        loop.call_soon_threadsafe(threading.Event().wait, 0.1)
        asyncio.run_coroutine_threadsafe(asyncio.sleep(NEVER), loop)

    (leak,) = sync_report_of(block, grace=0.3).leaks

    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    assert leak.kind == "task"
    assert leak.created_at is not None
    assert leak.created_at.function.endswith("block")


def test_finished_tasks_are_not_kept() -> None:
    from pytest_mockstream.leaks.births import BIRTHS

    async def nothing() -> None:
        pass

    async def main() -> None:
        before = len(BIRTHS.tasks)
        for _ in range(1000):
            await asyncio.create_task(nothing())
        assert len(BIRTHS.tasks) - before < 10

    with leak_check():
        asyncio.run(main())


# Threads.


def plant(
    over: threading.Event, target: Callable[[], object] | None = None, *, daemon: bool = True
) -> threading.Thread:
    thread = threading.Thread(target=target or over.wait, name="planted", daemon=daemon)
    thread.start()
    return thread


@pytest.mark.parametrize("daemon", [True, False])
def test_thread_is_a_leak(over: threading.Event, daemon: bool) -> None:
    (leak,) = sync_report_of(lambda: plant(over, daemon=daemon)).leaks

    assert (leak.kind, leak.name, leak.detail) == ("thread", "planted", "daemon" if daemon else NO_DAEMON)
    assert leak.diagnosis == "It waits for an event that nobody sets."
    assert leak.created_at is not None
    assert leak.created_at.function == "plant"


def test_thread_that_ends_is_no_leak(over: threading.Event) -> None:
    over.set()

    assert not sync_report_of(lambda: plant(over), grace=5)


def test_thread_that_was_there_before_is_no_leak(over: threading.Event) -> None:
    plant(over)

    assert not sync_report_of(lambda: None)


def test_thread_started_by_an_older_thread_belongs_to_that(over: threading.Event) -> None:
    go, started = threading.Event(), threading.Event()

    def ticker() -> None:
        go.wait()
        plant(over)
        started.set()

    def block() -> None:
        go.set()
        started.wait()

    assert sync_report_of(lambda: plant(over, ticker))
    assert not sync_report_of(block)


def test_full_queue_blocks_a_thread(over: threading.Event) -> None:
    full: queue.Queue[int] = queue.Queue(1)

    def pump() -> None:
        full.put(1)
        full.put(2)

    (leak,) = sync_report_of(lambda: plant(over, pump)).leaks

    full.get()
    assert leak.diagnosis == "It is blocked on a full queue (maxsize 1): its consumer stopped reading."
    assert leak.waits_at is not None
    assert leak.waits_at.function.endswith("pump")


def test_raw_thread_is_a_leak(over: threading.Event) -> None:
    import _thread

    (leak,) = sync_report_of(lambda: _thread.start_new_thread(over.wait, ())).leaks

    assert (leak.kind, leak.detail) == ("thread", "raw")


def test_idle_workers_of_a_pool_that_lives_on_are_leaks() -> None:
    (leak,) = sync_report_of(make_pool).leaks

    for made in POOLS:
        made.shutdown()
    POOLS.clear()
    assert leak.diagnosis == "It is an idle worker of a ThreadPoolExecutor that was never shut down."


POOLS: list[ThreadPoolExecutor] = []


def make_pool() -> None:
    pool = ThreadPoolExecutor(1, thread_name_prefix="asyncio")
    pool.submit(int).result()
    POOLS.append(pool)


@pytest.mark.parametrize("cycle", [False, True])
def test_pool_that_nobody_holds_is_no_leak(cycle: bool) -> None:
    def block() -> None:
        pool = ThreadPoolExecutor(1)
        pool.submit(int).result()
        if cycle:
            pool.me = pool  # type: ignore[attr-defined] # a reference to itself

    assert not sync_report_of(block)


def test_pool_that_nobody_holds_is_no_leak_though_another_thread_collects() -> None:
    begun = threading.Event()

    class Slow:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            begun.set()
            threading.Event().wait(0.4)

    def collect() -> None:
        Slow()
        gc.collect()

    def block() -> None:
        pool = ThreadPoolExecutor(1)
        pool.submit(int).result()
        pool.me = pool  # type: ignore[attr-defined] # a reference to itself

    collecting = threading.Thread(target=collect)
    collecting.start()
    begun.wait()

    assert not sync_report_of(block)
    collecting.join()


def test_worker_of_an_older_pool_is_no_leak() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert not sync_report_of(lambda: pool.submit(int).result())


def test_job_in_an_older_pool_is_a_leak(over: threading.Event) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()

        (leak,) = sync_report_of(lambda: pool.submit(over.wait)).leaks

        over.set()
    assert leak.diagnosis == "It is still at work on a job of its pool."


def test_idle_worker_of_a_default_pool_is_no_leak() -> None:
    assert not sync_report_of(lambda: asyncio.run(asyncio.to_thread(int)))


def test_busy_default_pool_is_a_leak_and_does_not_block(over: threading.Event) -> None:
    async def main() -> None:
        asyncio.get_running_loop().run_in_executor(None, over.wait)

    (leak,) = sync_report_of(lambda: asyncio.run(main())).leaks

    assert (leak.kind, leak.diagnosis) == ("thread", "It is still at work on a job of its pool.")


# The block itself.


async def test_error_of_the_block_stays_and_gets_a_note() -> None:
    with pytest.raises(ZeroDivisionError) as raised:  # noqa: PT012 - the block is what is tested
        async with leak_check(grace=0.01):
            asyncio.create_task(asyncio.sleep(NEVER))  # noqa: RUF006 - it shall leak
            _ = 1 / 0

    assert raised.value.__notes__[0].startswith("LeakError: the block left 1 thing running")


async def test_sync_block_in_a_coroutine_is_refused() -> None:
    with pytest.raises(RuntimeError, match="async with leak_check"), leak_check():
        pass


async def test_error_carries_the_report() -> None:
    with pytest.raises(LeakError) as raised:
        async with leak_check(grace=0.01):
            asyncio.create_task(asyncio.sleep(NEVER), name="planted")  # noqa: RUF006 - it shall leak

    assert isinstance(raised.value.report, LeakReport)
    assert raised.value.report.leaks[0].name == "planted"


def test_patches_are_put_back() -> None:
    before = (threading.Thread.start, asyncio.Runner.close, ThreadPoolExecutor.submit)

    with leak_check(), leak_check():
        pass

    assert (threading.Thread.start, asyncio.Runner.close, ThreadPoolExecutor.submit) == before


async def test_identical_leaks_are_grouped_in_the_text() -> None:
    async def start() -> None:
        for number in range(4):
            asyncio.create_task(asyncio.sleep(NEVER), name=f"worker {number}")  # noqa: RUF006 - it shall leak

    lines = str(await report_of(start)).splitlines()

    assert lines[0].startswith("the block left 4 things running (tasks ")
    assert lines[1] == "  4 tasks 'worker 0', 'worker 1', 'worker 2', ..."
    assert lines[3] == "    It is sleeping. Cancel and await it when it is no longer needed."
    creator = "test_block.test_identical_leaks_are_grouped_in_the_text.<locals>.start"
    assert lines[4] == f"  To exempt what is meant to live on: leak_check(ignore=[{creator!r}])"


def test_without_pytest_what_ran_before_the_block_in_its_loop_is_no_leak() -> None:
    program = """
    import asyncio

    from pytest_mockstream import leak_check, sweep_cancellation

    async def main():
        older = asyncio.create_task(asyncio.sleep(3600))
        async with leak_check(grace=0.05):
            await asyncio.create_task(asyncio.sleep(0))
        print((await sweep_cancellation(lambda: asyncio.sleep(0))).points, older.done())

    asyncio.run(main())
    """

    assert _said_by(program) == "1 False\n"


def test_without_pytest_what_ran_before_the_block_in_the_loop_of_a_thread_is_no_leak() -> None:
    program = """
    import asyncio, threading, time

    from pytest_mockstream import leak_check

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    def send(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop)

    async def nothing():
        pass

    async def older():
        return asyncio.create_task(asyncio.sleep(3600))

    kept = send(older()).result()
    check = leak_check(grace=0.05)
    try:
        with check:
            send(nothing()).result()
            left = send(older()).result()
    finally:
        print(len(check.report.leaks))
        loop.call_soon_threadsafe(loop.stop)
    """

    assert _said_by(program, fails=True) == "1\n"


def _said_by(program: str, fails: bool = False) -> str:
    """Return what a program prints that runs without pytest."""
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert bool(ran.returncode) is fails, ran.stderr
    assert fails or not ran.stderr
    return ran.stdout
