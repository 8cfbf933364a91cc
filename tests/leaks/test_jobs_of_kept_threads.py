"""What a job starts is its giver's, whoever keeps the thread that does it, and whenever that was made."""

from __future__ import annotations

import pytest
from leak_runs import Run, Runner

_EARLY_POOL = """
from concurrent.futures import ThreadPoolExecutor
POOL = ThreadPoolExecutor(1)
"""

_LIBRARY = """
import threading
from queue import Queue

class Worker:
    '''Does one job after the other, in a thread that it keeps.'''
    def __init__(self):
        self.jobs = Queue()
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()
    def _work(self):
        for job, done in iter(self.jobs.get, None):
            job()
            done.set()
    def do(self, job):
        done = threading.Event()
        self.jobs.put((job, done))
        assert done.wait(10)
    def do_beside(self, job):
        '''Start a thread of its own for a job.'''
        self.do(lambda: threading.Thread(target=job, daemon=True).start())
    def close(self):
        self.jobs.put(None)

WORKER = None
def worker():
    global WORKER
    WORKER = WORKER or Worker()
    return WORKER
"""

_SLOW_TO_BEGIN = """
import time
from trio._core import _thread_cache
handle = _thread_cache.WorkerThread._handle_job
def slow(worker):
    time.sleep(0.1)
    handle(worker)
_thread_cache.WorkerThread._handle_job = slow
"""

_JOBS_OF_TRIO = """
import trio
over = threading.Event()
async def use(function, *args):
    with trio.move_on_after(0.001 if args else 10):
        await trio.to_thread.run_sync(function, *args, abandon_on_cancel=True)
def test_first_use(): trio.run(use, int)
def test_leaks(): trio.run(use, over.wait, 10)
def test_after(): over.wait(0.5)
def test_long_after(): trio.run(trio.sleep, 0)
def test_at_the_end(): trio.run(trio.sleep, 0)
"""


def test_thread_that_a_job_starts_in_an_early_pool_is_a_leak_of_its_test(run_leaks: Runner) -> None:
    run = run_leaks(
        """
from conftest import POOL
def join_one():
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
def test_clean(): POOL.submit(join_one).result()
def test_leaks(): POOL.submit(leak_thread).result()
def test_after(): POOL.submit(join_one).result()
async def run_one(): await asyncio.create_task(asyncio.sleep(0))
def test_runs_a_loop(): POOL.submit(asyncio.run, run_one()).result()
""",
        conftest=_EARLY_POOL,
    )

    assert _failing(run) == [("test_leaks", "test", "thread", "error")]


def test_thread_that_a_job_starts_in_the_pool_of_a_fixture_is_a_leak_of_its_test(run_leaks: Runner) -> None:
    run = run_leaks("""
from concurrent.futures import ThreadPoolExecutor
@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        yield pool
def test_clean(pool): pool.submit(int).result()
def test_leaks(pool): pool.submit(leak_thread).result()
def test_after(pool): pool.submit(int).result()
""")

    assert _failing(run) == [("test_leaks", "test", "thread", "error")]


def test_job_that_is_done_before_whoever_gives_it_goes_on_is_a_leak_of_its_test(run_leaks: Runner) -> None:
    run = run_leaks("""
from concurrent.futures import ThreadPoolExecutor
DONE = threading.Event()
class Pool(ThreadPoolExecutor):
    def _adjust_thread_count(self):  # what submit() does last
        super()._adjust_thread_count()
        DONE.wait(10)
def starts_thread():
    leak_thread()
    DONE.set()
@pytest.fixture(scope="module")
def pool():
    DONE.set()
    with Pool(1) as pool:
        pool.submit(int).result()
        yield pool
def test_clean(pool): pool.submit(int).result()
def test_leaks(pool):
    DONE.clear()
    pool.submit(starts_thread).result()
def test_refused():
    pool = Pool(1)
    pool.shutdown()
    with pytest.raises(RuntimeError): pool.submit(int)
def test_after(pool): pool.submit(int).result()
""")

    assert _failing(run) == [("test_leaks", "test", "thread", "error")]


def test_thread_that_a_fixtures_own_job_starts_is_the_fixtures(run_leaks: Runner) -> None:
    run = run_leaks("""
from concurrent.futures import ThreadPoolExecutor
@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(leak_thread).result()
        yield pool
def test_one(pool): pool.submit(int).result()
def test_two(pool): pool.submit(int).result()
""")

    assert _failing(run) == [("test_two", "fixture:pool:module", "thread", "error")]


def test_thread_that_the_users_code_starts_in_a_thread_of_a_library_is_a_leak(
    run_leaks: Runner, pytester: pytest.Pytester
) -> None:
    folder = pytester.mkdir("site-packages")
    (folder / "lib.py").write_text(_LIBRARY)

    run = run_leaks(
        """
import lib
def test_first_use(): lib.worker().do(int)
def test_clean(): lib.worker().do(int)
def test_leaks(): lib.worker().do(leak_thread)
def test_after(): lib.worker().do(int)
""",
        ini="pythonpath = . site-packages\n",
    )

    assert _failing(run) == [("test_leaks", "test", "thread", "error")]


def test_thread_that_a_library_starts_in_its_own_thread_fails_nobody(
    run_leaks: Runner, pytester: pytest.Pytester
) -> None:
    folder = pytester.mkdir("site-packages")
    (folder / "lib.py").write_text(_LIBRARY)

    run = run_leaks(
        """
import lib
def test_first_use(): lib.worker().do(int)
def test_starts_one_beside(): lib.worker().do_beside(lib.worker().jobs.join)
def test_after(): lib.worker().do(int)
""",
        ini="pythonpath = . site-packages\n",
    )

    assert _failing(run) == []


@pytest.mark.parametrize(
    ("backend", "test"),
    [
        ("asyncio", "async def test_leaks(): await main()"),
        ("trio", "def test_leaks(): anyio.run(main, backend='trio')"),
    ],
)
@pytest.mark.parametrize(
    ("job", "diagnosis"),
    [
        ("sleep", "It is still at work on the job that it was given."),
        ("over.wait", "It waits for an event that nobody sets."),
    ],
)
def test_remedy_for_a_worker_of_a_library_is_about_its_job(
    run_leaks: Runner, backend: str, test: str, job: str, diagnosis: str
) -> None:
    pytest.importorskip(backend)
    pytest.importorskip("anyio")

    run = run_leaks(f"""
import anyio
begun, over = threading.Event(), threading.Event()
def sleep(seconds):
    begun.set()
    time.sleep(seconds)
async def main():
    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        while not begun.is_set() and not over._cond._waiters:
            await anyio.sleep(0.001)
        group.cancel_scope.cancel()
async def ask():
    await anyio.to_thread.run_sync({job}, 2, abandon_on_cancel=True)
{test}
""")

    assert _failing(run) == [("test_leaks", "test", "thread", "error")]
    (leak,) = run.data["leaks"]
    assert (leak["diagnosis"], leak["remedy"]) == (diagnosis, "Wait for the job, or make it end early.")


@pytest.mark.parametrize(
    "start",
    ["await asyncio.wait_for(asyncio.to_thread(time.sleep, 2), 0.01)", "_thread.start_new_thread(time.sleep, (2,))"],
)
def test_thread_that_nobody_can_name_is_exempted_by_its_function(run_leaks: Runner, start: str) -> None:
    run = run_leaks(f"""
import _thread
def mine(seconds): time.sleep(seconds)
async def test_leaks():
    try: {start}
    except TimeoutError: pass
@pytest.mark.assert_no_leaks(ignore=["test_it.mine"])
async def test_exempt():
    try: {start.replace("time.sleep", "mine")}
    except TimeoutError: pass
""")

    assert _failing(run) == [("test_leaks", "test", "thread", "error")]
    assert "live on: give it a function of your own to run, then ignore that function\n" in run.text


def test_job_of_a_greenlet_is_one_leak(run_leaks: Runner, pytester: pytest.Pytester) -> None:
    pytest.importorskip("gevent")
    pytester.makepyfile(patched="from gevent import monkey\nmonkey.patch_all()\n")

    run = run_leaks(
        """
async def test_clean(): assert await asyncio.to_thread(int, "1") == 1
async def test_leaks():
    KEPT.append(asyncio.get_running_loop().run_in_executor(None, threading.Event().wait, 2))
async def test_after(): await asyncio.sleep(0)
""",
        "-p",
        "patched",
    )

    assert _failing(run) == [("test_leaks", "test", "thread", "error")]


def test_job_that_an_older_worker_has_not_begun_is_a_leak_of_whoever_gave_it(run_leaks: Runner) -> None:
    pytest.importorskip("trio")

    run = run_leaks(_JOBS_OF_TRIO, "--mockstream-grace=2s", conftest=_SLOW_TO_BEGIN)

    assert _failing(run) == [("test_leaks", "test", "thread", "error")]


def test_job_that_begins_after_its_test_was_judged_is_one_leak(run_leaks: Runner) -> None:
    pytest.importorskip("trio")

    run = run_leaks(_JOBS_OF_TRIO, "--mockstream-grace=0.02s", conftest=_SLOW_TO_BEGIN)

    assert len(_failing(run)) == 1


def _failing(run: Run) -> list[tuple[str, str, str, str]]:
    return [leak for leak in run.leaks if leak[3] == "error"]
