from __future__ import annotations

import _thread
import faulthandler
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from logging.handlers import QueueListener
from multiprocessing.shared_memory import SharedMemory

import pytest

from .singleton import Flusher, shared
from .verdict import clean, leaks
from .work import AFTERWARDS, END, KEPT, until_the_end


def start(*, daemon: bool = True) -> threading.Thread:
    thread = threading.Thread(target=until_the_end, daemon=daemon)
    thread.start()
    return thread


@leaks(14, kinds="thread")
def test_thread_is_left() -> None:
    start(daemon=False)


@clean(14)
def test_thread_is_joined() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


@leaks(15, kinds="thread")
def test_daemon_thread_is_left() -> None:
    start()


@clean(15)
def test_daemon_thread_is_joined() -> None:
    thread = threading.Thread(target=int, daemon=True)
    thread.start()
    thread.join()


def produce(wanted: threading.Event, left: threading.Event) -> None:
    while not left.is_set() and not END.is_set():
        wanted.wait(3600)


@leaks(16, kinds="thread", says=r"wanted\.wait")
def test_producer_waits_for_its_consumer() -> None:
    wanted, left = threading.Event(), threading.Event()
    AFTERWARDS.callback(wanted.set)
    threading.Thread(target=produce, args=(wanted, left), daemon=True).start()


@clean(16)
def test_producer_is_told_that_its_consumer_left() -> None:
    wanted, left = threading.Event(), threading.Event()
    threading.Thread(target=produce, args=(wanted, left), daemon=True).start()
    left.set()
    wanted.set()


@leaks(17, kinds="thread")
def test_pool_is_kept_and_never_shut_down() -> None:
    pool = ThreadPoolExecutor(max_workers=1)
    KEPT.append(pool)
    pool.submit(int).result()


@clean(17)
def test_pool_is_shut_down() -> None:
    with ThreadPoolExecutor(max_workers=1) as pool:
        KEPT.append(pool)
        pool.submit(int).result()


@clean(18)
def test_pool_is_dropped() -> None:
    ThreadPoolExecutor(max_workers=1).submit(int).result()


@leaks(18, kinds="thread")
def test_pool_is_dropped_at_work() -> None:
    ThreadPoolExecutor(max_workers=1).submit(until_the_end)


@leaks(19, kinds="thread")
def test_pool_is_named_as_the_default_executor() -> None:
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="asyncio")
    KEPT.append(pool)
    pool.submit(int).result()


@clean(19)
def test_pool_named_as_the_default_executor_is_shut_down() -> None:
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="asyncio") as pool:
        pool.submit(int).result()


@pytest.fixture
def forgetful_thread() -> None:
    start()


@pytest.fixture
def tidy_thread() -> Iterator[None]:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    yield
    over.set()
    thread.join()


@leaks(26, kinds="thread", owner="fixture:forgetful_thread:function")
@pytest.mark.usefixtures("forgetful_thread")
def test_fixture_forgets_its_thread() -> None:
    pass


@clean(26)
@pytest.mark.usefixtures("tidy_thread")
def test_fixture_joins_its_thread() -> None:
    pass


@leaks(51, kinds="thread")
def test_timer_is_left() -> None:
    timer = threading.Timer(3600, int)
    AFTERWARDS.callback(timer.cancel)
    timer.start()


@clean(51)
def test_timer_is_cancelled() -> None:
    timer = threading.Timer(3600, int)
    timer.start()
    timer.cancel()


def say_and_stay(running: threading.Event) -> None:
    running.set()
    until_the_end()


@leaks(53, kinds="thread", at=None)
def test_thread_without_an_object_is_left() -> None:
    running = threading.Event()
    _thread.start_new_thread(say_and_stay, (running,))
    running.wait()


@clean(53)
def test_thread_without_an_object_ends() -> None:
    _thread.start_new_thread(int, ())


def introduce(done: threading.Event) -> None:
    KEPT.append(threading.current_thread())
    done.set()


@clean(54)
def test_finished_foreign_thread_leaves_a_dummy() -> None:
    done = threading.Event()
    _thread.start_new_thread(introduce, (done,))
    done.wait()


def introduce_and_stay(done: threading.Event) -> None:
    introduce(done)
    until_the_end()


@leaks(54, kinds="thread", at=None)
def test_foreign_thread_with_a_dummy_is_left() -> None:
    done = threading.Event()
    _thread.start_new_thread(introduce_and_stay, (done,))
    done.wait()


def refuse(_: float) -> None:
    msg = "patched"
    raise RuntimeError(msg)


@clean(55)
def test_patched_sleep_is_not_called_by_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    threading.Thread(target=END.wait, args=(0.005,)).start()
    monkeypatch.setattr(time, "sleep", refuse)


@leaks(55, kinds="thread")
def test_thread_is_left_while_sleep_is_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    start()
    monkeypatch.setattr(time, "sleep", refuse)


@pytest.fixture
def broken_setup() -> None:
    start()
    msg = "no database"
    raise RuntimeError(msg)


@leaks(59, kinds="thread", owner="fixture:broken_setup:function", outcomes=("error",), says="no database.*LeakError")
@pytest.mark.usefixtures("broken_setup")
def test_fixture_starts_a_thread_and_fails() -> None:
    pass


@pytest.fixture
def tidy_broken_setup(request: pytest.FixtureRequest) -> None:
    over = threading.Event()
    request.addfinalizer(over.set)  # noqa: PT021 # it never gets to a yield
    threading.Thread(target=over.wait).start()
    msg = "no database"
    raise RuntimeError(msg)


@clean(59, outcomes=("error",), says="no database")
@pytest.mark.usefixtures("tidy_broken_setup")
def test_fixture_stops_its_thread_and_fails() -> None:
    pass


@clean(62)
def test_thread_ends_by_itself_soon() -> None:
    threading.Thread(target=END.wait, args=(0.05,)).start()


@leaks(62, kinds="thread")
def test_thread_does_not_end_by_itself() -> None:
    threading.Thread(target=END.wait, args=(3600,)).start()


@clean(63)
@pytest.mark.assert_no_leaks(grace=60)
def test_thread_ends_by_itself_within_a_long_grace_period() -> None:
    threading.Thread(target=END.wait, args=(0.3,)).start()


@leaks(63, kinds="thread", says=r"after 0\.\d+ s")
def test_report_says_how_long_was_waited() -> None:
    start()


@leaks(69, kinds="thread", owner="import", reported="allowed", outcomes=("passed",))
def test_import_starts_a_thread() -> None:
    from . import lazy_ticker  # noqa: F401 # that it is imported here is the scenario


@clean(69)
def test_import_started_its_thread_already() -> None:
    from . import early_ticker  # noqa: F401 # that it is imported here again is the scenario


@clean(69)
def test_import_starts_a_thread_and_joins_it() -> None:
    from . import lazy_check  # noqa: F401 # that it is imported here is the scenario


@leaks(69, kinds="thread", at="self._thread.start()")
def test_thread_of_a_library_is_started_by_a_call() -> None:
    flusher = Flusher()
    AFTERWARDS.callback(flusher.stop)
    flusher.start()


@leaks(70, kinds="thread", at="self._thread.start()", says="ignore=")
def test_singleton_starts_its_thread_when_first_used() -> None:
    shared()


@clean(70)
def test_singleton_is_stopped_by_its_user() -> None:
    flusher = Flusher()
    flusher.start()
    flusher.stop()


@leaks(88, kinds="thread", at="listener.start()")
def test_queue_listener_is_left() -> None:
    listener = QueueListener(queue.Queue())
    listener.start()
    AFTERWARDS.callback(listener.stop)


@clean(88)
def test_queue_listener_is_stopped() -> None:
    listener = QueueListener(queue.Queue())
    listener.start()
    listener.stop()


@clean(87)
def test_resource_tracker_starts() -> None:
    memory = SharedMemory(create=True, size=1)
    memory.close()
    memory.unlink()


@clean(90)
def test_faulthandler_watches_on() -> None:
    faulthandler.dump_traceback_later(3600)
    AFTERWARDS.callback(faulthandler.cancel_dump_traceback_later)


class Debugged(threading.Thread):
    is_pydev_daemon_thread = True
    pydev_do_not_trace = True


@clean(89)
def test_debugger_starts_its_thread() -> None:
    Debugged(target=until_the_end, daemon=True).start()


class TestMethods:
    @leaks(61, kinds="thread")
    def test_thread_is_left_by_a_method(self) -> None:
        start()

    @clean(61)
    def test_method_leaves_nothing(self) -> None:
        pass


def start_link(left: int) -> None:
    threading.Thread(target=link, args=(left,), daemon=True).start()


def link(left: int) -> None:
    time.sleep(0.004)
    if left:
        start_link(left - 1)


@clean(97)
def test_chain_of_threads_comes_to_an_end() -> None:
    start_link(2)


def tick(left: int) -> None:
    if left:
        timer = threading.Timer(0.004, tick, (left - 1,))
        timer.daemon = True
        timer.start()


@clean(97)
def test_chain_of_timers_comes_to_an_end() -> None:
    tick(2)
