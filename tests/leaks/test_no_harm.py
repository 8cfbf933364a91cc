"""What the check must not do to a suite: hang it, change it, or let it pass unseen."""

from __future__ import annotations

import sys

import pytest
from leak_runs import INI, Runner

COUNTED = """
import sys, pytest
look, looks = sys._current_frames, []
def counting():
    looks.append(sys._getframe(1))
    return look()
@pytest.hookimpl(trylast=True)
def pytest_sessionstart():
    sys._current_frames = counting
def pytest_sessionfinish():
    print("looks at frames:", len(looks))
"""


# It takes frames of suspects only.


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("def test(): pass", id="sync"),
        pytest.param("async def test(): await asyncio.sleep(0)", id="async"),
        pytest.param(
            "def test():\n    thread = threading.Thread(target=int)\n    thread.start()\n    thread.join()",
            id="thread that was joined",
        ),
        pytest.param("async def test(): await asyncio.to_thread(int)", id="job in a default pool"),
        pytest.param(
            "@pytest.mark.asyncio(loop_scope='session')\n@pytest.mark.parametrize('n', range(3))\n"
            "async def test(n): await asyncio.to_thread(int)",
            id="idle worker of a loop that lives on",
        ),
        pytest.param(
            "import anyio\n@pytest.mark.asyncio(loop_scope='session')\n@pytest.mark.parametrize('n', range(3))\n"
            "async def test(n): await anyio.to_thread.run_sync(int)",
            id="workers that anyio keeps",
        ),
        pytest.param(
            "import trio\n@pytest.mark.parametrize('n', range(3))\ndef test(n):\n"
            "    async def main(): await trio.to_thread.run_sync(int)\n    trio.run(main)",
            id="workers that trio keeps",
        ),
        pytest.param(
            "from concurrent.futures import ThreadPoolExecutor\n@pytest.fixture(scope='session')\ndef pool():\n"
            "    with ThreadPoolExecutor(1) as pool: yield pool\n"
            "@pytest.mark.parametrize('n', range(3))\ndef test(pool, n): pool.submit(int).result()",
            id="pool of the session",
        ),
        pytest.param(
            "@pytest.fixture(scope='session')\ndef server():\n    over = threading.Event()\n"
            "    thread = threading.Thread(target=over.wait)\n    thread.start()\n    yield\n    over.set()\n"
            "    thread.join()\n@pytest.mark.parametrize('n', range(3))\ndef test(server, n): pass",
            id="thread of the session",
        ),
    ],
)
def test_clean_test_takes_no_frames(run_leaks: Runner, source: str) -> None:
    # Faulthandler's watchdog is a thread that Python did not start: whoever has it is looked at once in a run.
    made = run_leaks(source, "-s", "-o", "faulthandler_timeout=0", conftest=COUNTED)

    made.result.assert_outcomes(passed=3 if "parametrize" in source else 1)
    made.result.stdout.fnmatch_lines(["*looks at frames: 0"])


def test_leaking_test_takes_frames(run_leaks: Runner) -> None:
    made = run_leaks("def test(): leak_thread()", "-s", conftest=COUNTED)

    assert len(made.leaks) == 1
    made.result.stdout.no_fnmatch_line("*looks at frames: 0")


def test_garbage_with_thread_locals_hangs_nothing(run_leaks: Runner) -> None:
    made = run_leaks(
        """
import gc, sys
class Node: pass
def make_garbage(stop):
    while not stop.is_set():
        node = Node()
        node.me, node.local = node, threading.local()
        node.local.x = 1
@pytest.fixture(scope="module", autouse=True)
def busy_threads():
    stop, thresholds, interval = threading.Event(), gc.get_threshold(), sys.getswitchinterval()
    threads = [threading.Thread(target=make_garbage, args=(stop,), daemon=True) for _ in range(4)]
    for thread in threads: thread.start()
    gc.set_threshold(8)
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*thresholds)
    stop.set()
    for thread in threads: thread.join()
@pytest.mark.parametrize("number", range(10))
def test_leak(number): leak_thread(60)
@pytest.mark.parametrize("number", range(70))
def test_clean(number): pass
""",
        "--mockstream-grace=0",
    )

    made.result.assert_outcomes(passed=80, errors=10)


def test_collector_is_held_off_only_while_frames_are_taken(run_leaks: Runner) -> None:
    made = run_leaks(
        "def test(): leak_thread()\ndef test_next(): print('collects:', gc.isenabled(), *seen)",
        "-s",
        conftest="""
import builtins, gc, sys
look, builtins.gc, builtins.seen = sys._current_frames, gc, set()
def looking():
    builtins.seen.add(gc.isenabled())
    return look()
sys._current_frames = looking
""",
    )

    made.result.stdout.fnmatch_lines(["*collects: True False"])


# It observes.

KEEPER = """
class Pool:
    keeper, beats = None, 0
    async def keep(self):
        while True:
            self.beats += 1
            await asyncio.sleep(0.001)
    async def query(self):
        if self.keeper is None:
            self.keeper = asyncio.create_task(self.keep())
        beats = self.beats
        while self.beats == beats:
            assert not self.keeper.done(), "the keeper is gone"
            await asyncio.sleep(0)
POOL = Pool()
"""
ON_SESSION_LOOP = "pytestmark = pytest.mark.asyncio(loop_scope='session')\n"
TWO_QUERIES = "async def test_first(): await POOL.query()\nasync def test_second(): await POOL.query()\n"


@pytest.mark.parametrize("mode", ["error", "warn"])
def test_task_on_a_loop_that_lives_on_is_left_alone(run_leaks: Runner, mode: str) -> None:
    made = run_leaks(KEEPER + ON_SESSION_LOOP + TWO_QUERIES, f"--mockstream-leaks={mode}")

    made.result.assert_outcomes(passed=2, errors=mode == "error", warnings=mode == "warn")
    assert made.leaks == [("test_first", "test", "task", mode)]
    assert [leak["fate"] for leak in made.data["leaks"]] == ["lives"]


@pytest.mark.parametrize(
    ("marker", "outcome"),
    [("allow_leaks(reason='it lives as long as the process')", "allowed"), ("expect_leak(kind='task')", "expected")],
)
def test_task_that_may_leak_is_left_alone(run_leaks: Runner, marker: str, outcome: str) -> None:
    made = run_leaks(f"{KEEPER}{ON_SESSION_LOOP}@pytest.mark.{marker}\n{TWO_QUERIES}")

    made.result.assert_outcomes(passed=2)
    assert made.leaks == [("test_first", "test", "task", outcome)]


@pytest.mark.parametrize("how", ["ini", "marker"])
def test_task_is_cancelled_for_who_wants_it_contained(run_leaks: Runner, how: str) -> None:
    marker = "@pytest.mark.assert_no_leaks(contain=True)\n" if how == "marker" else ""

    made = run_leaks(
        KEEPER + ON_SESSION_LOOP + marker + TWO_QUERIES, ini="mockstream_contain = true\n" if how == "ini" else ""
    )

    made.result.assert_outcomes(passed=1, failed=1, errors=1)
    assert [leak["fate"] for leak in made.data["leaks"]] == ["ended"]
    made.result.stdout.fnmatch_lines(["  Ended now: task 'Task-*'.", "E*the keeper is gone"])


def test_nothing_is_contained_that_fails_nobody(run_leaks: Runner) -> None:
    made = run_leaks(
        KEEPER + ON_SESSION_LOOP + TWO_QUERIES, "--mockstream-leaks=warn", ini="mockstream_contain = true\n"
    )

    made.result.assert_outcomes(passed=2, warnings=1)


LOOP_IN_A_THREAD = """
import functools
@functools.cache
def server():
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    async def beat():
        while True: await asyncio.sleep(0.001)
    async def start(): return loop.create_task(beat())
    return asyncio.run_coroutine_threadsafe(start(), loop).result()
def test_first(): server()
def test_second(): assert not server().done()
"""


@pytest.mark.parametrize("mode", ["error", "warn"])
def test_loop_in_a_thread_is_left_alone(run_leaks: Runner, mode: str) -> None:
    made = run_leaks(LOOP_IN_A_THREAD, f"--mockstream-leaks={mode}")

    made.result.assert_outcomes(passed=2, errors=mode == "error", warnings=mode == "warn")
    assert made.leaks == [("test_first", "test", "task", mode), ("test_first", "test", "thread", mode)]


@pytest.mark.parametrize("ini", ["", "mockstream_leak_ignore = keep\n"])
def test_what_a_leak_starts_later_is_nobodys(run_leaks: Runner, ini: str) -> None:
    made = run_leaks(
        """
pytestmark = pytest.mark.asyncio(loop_scope="session")
more = asyncio.Event()
async def keep():
    await more.wait()
    leak_task()
async def test_first():
    KEPT.append(asyncio.create_task(keep()))
async def test_second():
    more.set()
    while len(KEPT) == 1:
        await asyncio.sleep(0)
""",
        ini=ini,
    )

    assert made.leaks == ([] if ini else [("test_first", "test", "task", "error")])


def test_stubborn_task_of_a_session_does_not_keep_it_from_ending(run_leaks: Runner) -> None:
    made = run_leaks("""
async def stubborn():
    while True:
        try: await asyncio.sleep(3600)
        except asyncio.CancelledError: pass
@pytest.mark.asyncio(loop_scope="session")
async def test():
    KEPT.append(asyncio.create_task(stubborn()))
    await asyncio.sleep(0)
""")

    made.result.assert_outcomes(passed=1, errors=1)


@pytest.mark.parametrize("mode", ["error", "warn"])
def test_busy_default_pool_is_let_go_only_where_it_fails_the_test(run_leaks: Runner, mode: str) -> None:
    made = run_leaks(
        """
done = []
def work():
    time.sleep(0.5)
    done.append(True)
async def test(): asyncio.get_running_loop().run_in_executor(None, work)
def test_next(): print("the closing waited:", bool(done))
""",
        "-s",
        f"--mockstream-leaks={mode}",
    )

    assert made.leaks == [("test", "test", "thread", mode)]
    made.result.stdout.fnmatch_lines([f"*the closing waited: {mode == 'warn'}"])


@pytest.mark.parametrize("mode", ["error", "warn"])
def test_open_stream_is_ended_only_where_it_fails_the_test(run_leaks: Runner, mode: str) -> None:
    made = run_leaks(
        """
def test_first(mock_stream_client):
    KEPT.append(mock_stream_client.complete_stream("hi"))
    next(KEPT[0])
def test_second(): print("state:", KEPT[0].state)
""",
        "-s",
        f"--mockstream-leaks={mode}",
    )

    assert [leak["fate"] for leak in made.data["leaks"]] == ["ended" if mode == "error" else "lives"]
    made.result.stdout.fnmatch_lines([f"*state: {'cancelled' if mode == 'error' else 'open'}"])


def test_join_that_ends_its_thread_is_not_called(run_leaks: Runner) -> None:
    made = run_leaks("""
class Stopping(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.over = threading.Event()
    def run(self): self.over.wait(30)
    def join(self, timeout=None):
        self.over.set()
        super().join(timeout)
def test():
    KEPT.append(Stopping())
    KEPT[0].start()
def test_next(): assert KEPT[0].is_alive()
""")

    made.result.assert_outcomes(passed=2, errors=1)


@pytest.mark.timeout(60)
def test_stand_in_that_seems_to_await_for_ever_does_not_hang_the_report(run_leaks: Runner) -> None:
    made = run_leaks("""
from unittest.mock import MagicMock
class Pending(MagicMock):
    def __await__(self): return self
    def __iter__(self): return self
    def __next__(self): return None
async def wait(): await Pending()
async def test():
    KEPT.append(asyncio.create_task(wait()))
    await asyncio.sleep(0)
""")

    assert made.leaks == [("test", "test", "task", "error")]


# It does not pass what it cannot see.

BLIND = """
import asyncio
class Frozen(type(asyncio.SelectorEventLoop)):
    def __setattr__(cls, name, value):
        raise TypeError(f"cannot set {name!r} of immutable type")
class Loop(asyncio.SelectorEventLoop, metaclass=Frozen):
    def create_task(self, coro, **options):
        return asyncio.Task(coro, loop=self, **options)
class Register:
    def __init__(self, tasks): self.tasks = tasks
    def __iter__(self): return iter(self.tasks)
for name in {"_scheduled_tasks", "_all_tasks"} & {*vars(asyncio.tasks)}:  # no data, no hook: up to 3.13
    setattr(asyncio.tasks, name, Register(getattr(asyncio.tasks, name)))
asyncio.all_tasks = lambda loop=None: set()
asyncio.new_event_loop = Loop
"""
NO_PYTHON = "CPython *: a task planted at the start was not found"


def test_blind_check_is_refused_where_it_was_to_fail_tests(run_leaks: Runner) -> None:
    made = run_leaks("async def test(): leak_task()", conftest=BLIND)

    assert made.result.ret == pytest.ExitCode.USAGE_ERROR
    made.result.stderr.fnmatch_lines(
        [f"ERROR: --mockstream-leaks=error cannot see tasks on {NO_PYTHON}; use --mockstream-leaks=warn or off"]
    )


@pytest.mark.parametrize("options", [(), ("-W", "error"), ("-q",)])
def test_blind_check_warns_where_it_was_to_warn(run_leaks: Runner, options: tuple[str, ...]) -> None:
    made = run_leaks("def test(): pass", "--mockstream-leaks=warn", *options, conftest=BLIND)

    made.result.assert_outcomes(passed=1, warnings=1)
    made.result.stdout.fnmatch_lines([f"*--mockstream-leaks=warn cannot see tasks on {NO_PYTHON}"])


def test_marker_that_asks_for_a_blind_check_is_refused(run_leaks: Runner) -> None:
    made = run_leaks("@pytest.mark.assert_no_leaks\ndef test(): pass", "--mockstream-leaks=warn", conftest=BLIND)

    assert made.result.ret == pytest.ExitCode.USAGE_ERROR
    made.result.stderr.fnmatch_lines(
        [f"ERROR: *::test: its marker asks for the leak check, which cannot see tasks on {NO_PYTHON}"]
    )


@pytest.mark.parametrize("missing", ["threading.Thread.start", "asyncio.Runner.close"])
def test_what_cannot_be_listened_to_ends_no_session(run_leaks: Runner, missing: str) -> None:
    owner, _, name = missing.rpartition(".")
    conftest = f"""
import asyncio, threading
class Frozen(type):
    def __setattr__(cls, name, value): raise TypeError("immutable")
found = {owner}
setattr({owner.partition(".")[0]}, found.__name__, Frozen(found.__name__, (found,), {{{name!r}: found.{name}}}))
"""
    made = run_leaks("def test(): pass", "--mockstream-leaks=warn", conftest=conftest)

    made.result.assert_outcomes(passed=1, warnings=1)
    made.result.stdout.fnmatch_lines(["*--mockstream-leaks=warn cannot see t* on CPython *"])


def test_thread_is_seen_where_nobody_can_tell_where_it_stands(run_leaks: Runner) -> None:
    made = run_leaks("def test(): leak_thread()", conftest="import sys\ndel sys._current_frames\n")

    assert made.leaks == [("test", "test", "thread", "error")]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how many threads there are for next to nothing")
@pytest.mark.parametrize("place", ["module", "test"])
def test_thread_that_another_language_started_is_seen(run_leaks: Runner, place: str) -> None:
    made = run_leaks(f"""
{"import ctypes" if place == "module" else ""}
def test():
    import ctypes
    begun = threading.Event()
    def run(_):
        begun.set()
        time.sleep(5)
    function = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(run)
    KEPT.append(function)
    ctypes.CDLL(None).pthread_create(ctypes.byref(ctypes.c_ulong()), None, function, None)
    begun.wait()
def test_next(): pass
""")

    assert made.leaks == [("test", "test", "thread", "error")]


def test_greenlets_that_stand_in_for_threads_are_checked(run_leaks: Runner, pytester: pytest.Pytester) -> None:
    pytest.importorskip("gevent")
    pytester.makepyfile(patched="from gevent import monkey\nmonkey.patch_all()\n")

    made = run_leaks(
        """
def test_leak(): leak_thread(60)
@pytest.mark.assert_no_leaks(grace=5)
def test_ends_in_time(): leak_thread(0.01)
async def test_task(): leak_task()
""",
        "-p",
        "patched",
    )

    assert made.leaks == [("test_leak", "test", "thread", "error"), ("test_task", "test", "task", "error")]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="asyncio shows its tasks before 3.14")
def test_task_that_its_loop_did_not_create_has_no_place_of_birth(run_leaks: Runner) -> None:
    made = run_leaks("""
async def forever(): await asyncio.Event().wait()
async def test(): KEPT.append(asyncio.Task(forever()))
""")

    made.result.stdout.fnmatch_lines(
        ["    created at a place that nobody saw", "*assert_no_leaks(ignore=[[]'test_it.forever'])*"]
    )


# The garbage collector does not come before streams are judged.


def test_stream_that_only_a_cycle_keeps_is_judged_whichever_test_comes_first(
    pytester: pytest.Pytester, lean_pytest: None
) -> None:
    pytester.makeini(INI)
    pytester.makepyfile(
        """
import gc
async def test_left(mock_stream_client):
    stream = mock_stream_client.complete_stream("hi")
    await anext(stream)
    gc.collect()
    ring = [stream]
    ring.append(ring)
    gc.set_threshold(1000)
"""
    )

    result = pytester.runpytest_subprocess()

    result.assert_outcomes(passed=1, errors=1)


@pytest.mark.parametrize("threshold", [100, 300])
def test_stream_that_only_a_cycle_keeps_is_judged_however_often_the_collector_comes(
    threshold: int, pytester: pytest.Pytester, lean_pytest: None
) -> None:
    pytester.makeini(INI)
    pytester.makepyfile(
        f"""
import gc
async def test_first(mock_stream_client): pass
async def test_left(mock_stream_client):
    stream = mock_stream_client.complete_stream("hi")
    await anext(stream)
    gc.collect()
    ring = [stream]
    ring.append(ring)
    gc.set_threshold({threshold})
def test_collector_is_on_again():
    assert gc.isenabled()
"""
    )

    result = pytester.runpytest_subprocess()

    result.assert_outcomes(passed=3, errors=1)
