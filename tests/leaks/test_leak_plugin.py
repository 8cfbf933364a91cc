"""The plugin's part, in runs of their own: outcomes, owners, markers, other plugins, bad input."""

from __future__ import annotations

import sys

import pytest
from leak_runs import Runner

# The verdict and the outcome.


def test_leaking_task_and_thread_fail_their_tests(run_leaks: Runner) -> None:
    made = run_leaks("""
async def test_task(): leak_task()
def test_thread(): leak_thread()
async def test_clean(): await leak_task(0)
""")

    made.result.assert_outcomes(passed=3, errors=2)
    assert made.leaks == [("test_task", "test", "task", "error"), ("test_thread", "test", "thread", "error")]
    assert made.data["version"] == 1
    assert made.data["armed"] == {"tasks": True, "threads": True, "streams": True}
    made.result.stdout.fnmatch_lines(
        [
            "leak check: error, grace 0.2 s (watching: tasks, threads, streams)",
            "LeakError: test_task left 1 thing running (tasks 0 -> 1, threads * -> *), still there after 0.20 s:",
            "  task 'Task-*'",
            "    created at test_it.py:4 in leak_task",
            "    It is sleeping. Cancel and await it when it is no longer needed.",
            "*= leaks =*",
            "test_it.py:4 in leak_task: 1 task in 1 test",
        ]
    )


def test_skip_and_xfail_stay_and_the_leak_is_an_error(run_leaks: Runner) -> None:
    made = run_leaks("""
async def test_skip():
    leak_task()
    pytest.skip("x")
@pytest.mark.xfail
async def test_xfail():
    leak_task()
    assert False
@pytest.mark.xfail(strict=True)
async def test_strict():
    leak_task()
""")

    made.result.assert_outcomes(skipped=1, xfailed=1, failed=1, errors=2)
    assert [test for test, *_ in made.leaks] == ["test_skip", "test_xfail", "test_strict"]


def test_failure_of_its_own_stays_and_the_leak_is_added(run_leaks: Runner) -> None:
    made = run_leaks("""
async def test():
    leak_task()
    assert 1 == 2
""")

    made.result.assert_outcomes(failed=1)
    made.result.stdout.fnmatch_lines(["E       assert 1 == 2", "*leaks at teardown*", "LeakError: test left 1 thing*"])


@pytest.mark.parametrize("end", ["raise KeyboardInterrupt", "pytest.exit('enough')"])
def test_interrupt_wins(run_leaks: Runner, end: str) -> None:
    made = run_leaks(f"""
async def test():
    leak_task()
    leak_thread()
    {end}
""")

    assert made.result.ret == pytest.ExitCode.INTERRUPTED
    assert not made.data.get("leaks")
    assert "LeakError" not in made.text


def test_maxfail_gives_no_false_alarm(run_leaks: Runner) -> None:
    made = run_leaks(
        """
@pytest.fixture(scope="session")
def server():
    over = leak_thread()
    yield
    over.set()
def test_fails(server): assert False
def test_never_run(server): pass
""",
        "--maxfail=1",
    )

    made.result.assert_outcomes(failed=1)
    assert made.leaks == []


def test_leak_in_raising_setup_is_reported(run_leaks: Runner) -> None:
    made = run_leaks("""
@pytest.fixture
def broken():
    leak_thread()
    raise ValueError
def test(broken): pass
""")

    assert made.leaks == [("test", "fixture:broken:function", "thread", "error")]


def test_one_parameter_leaks_and_the_other_is_clean(run_leaks: Runner) -> None:
    made = run_leaks("""
@pytest.mark.parametrize("leaks", [True, False])
async def test(leaks):
    if leaks: leak_task()
""")

    assert made.leaks == [("test[True]", "test", "task", "error")]


def test_warn_mode_warns(run_leaks: Runner) -> None:
    made = run_leaks("async def test(): leak_task()", "--mockstream-leaks=warn", "-W", "error")

    made.result.assert_outcomes(passed=1)
    assert made.leaks == [("test", "test", "task", "warn")]


def test_off_mode_is_off(run_leaks: Runner) -> None:
    made = run_leaks("async def test(): leak_task()", "--mockstream-leaks=off")

    made.result.assert_outcomes(passed=1)
    assert "leak check" not in made.text


def test_grace_is_an_option(run_leaks: Runner) -> None:
    source = "def test(): leak_thread(3)"

    assert run_leaks(source, "--mockstream-grace=10").leaks == []
    assert len(run_leaks(source, "--mockstream-grace=1ms").leaks) == 1


# Owners.


def test_fixtures_own_what_they_start(run_leaks: Runner) -> None:
    made = run_leaks("""
@pytest.fixture
async def tidy():
    task = leak_task()
    yield
    task.cancel()
@pytest.fixture
async def untidy():
    leak_task()
    yield
@pytest.fixture(scope="module")
def wide_untidy():
    leak_thread()
    yield
@pytest.fixture(scope="session")
def wide_tidy():
    over = leak_thread()
    yield
    over.set()
async def test_tidy(tidy): pass
async def test_untidy(untidy): pass
def test_wide(wide_untidy, wide_tidy): pass
def test_late(request): request.getfixturevalue("wide_tidy")
def test_last(wide_untidy): pass
""")

    assert made.leaks == [
        ("test_untidy", "fixture:untidy:function", "task", "error"),
        ("test_last", "fixture:wide_untidy:module", "thread", "error"),
    ]


def test_functions_that_set_a_module_or_class_up_are_fixtures(run_leaks: Runner) -> None:
    made = run_leaks("""
def setup_module(): KEPT.append(leak_thread())
def teardown_module(): KEPT.pop(0).set()
class TestXunit:
    @classmethod
    def setup_class(cls): cls.over = leak_thread()
    @classmethod
    def teardown_class(cls): cls.over.set()
    def setup_method(self): self.mine = leak_thread()
    def teardown_method(self): self.mine.set()
    def test_one(self): pass
    def test_two(self): pass
class TestUnittest(unittest.TestCase):
    @classmethod
    def setUpClass(cls): cls.over = leak_thread()
    @classmethod
    def tearDownClass(cls): cls.over.set()
    def test_one(self): pass
    def test_two(self): pass
class TestForgetful:
    @classmethod
    def setup_class(cls): leak_thread()
    def test_one(self): pass
    def test_two(self): pass
""")

    assert [(test, outcome) for test, _, _, outcome in made.leaks] == [("TestForgetful::test_two", "error")]
    made.result.assert_outcomes(passed=6, errors=1)


def test_fixture_may_close_what_the_test_opened(run_leaks: Runner) -> None:
    made = run_leaks("""
@pytest.fixture
async def client():
    yield
    for task in KEPT: task.cancel()
async def test(client): leak_task()
""")

    assert made.leaks == []


@pytest.mark.parametrize("scope", ["module", "session"])
def test_wider_loops_are_pumped_and_judged(run_leaks: Runner, scope: str) -> None:
    made = run_leaks(f"""
pytestmark = pytest.mark.asyncio(loop_scope={scope!r})
async def test_leak(): leak_task()
async def test_cancelled(): leak_task().cancel()
async def test_short(): leak_task(0.005)
async def test_clean(): pass
""")

    assert made.leaks == [("test_leak", "test", "task", "error")]


def test_task_of_a_module_fixture_is_judged_when_its_loop_closes(run_leaks: Runner) -> None:
    made = run_leaks("""
import pytest_asyncio
@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def background():
    leak_task()
    yield
@pytest.mark.asyncio(loop_scope="module")
async def test_first(background): pass
@pytest.mark.asyncio(loop_scope="module")
async def test_second(background): pass
""")

    assert made.leaks == [("test_second", "fixture:background:module", "task", "error")]


def test_session_server_may_start_handlers_in_the_middle_of_a_test(run_leaks: Runner) -> None:
    made = run_leaks("""
@pytest.fixture(scope="session")
def loop():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    async def tick():
        while True:
            asyncio.ensure_future(asyncio.sleep(1))
            await asyncio.sleep(0.005)
    asyncio.run_coroutine_threadsafe(tick(), loop)
    yield loop
    async def stop():
        for task in asyncio.all_tasks() - {asyncio.current_task()}: task.cancel()
    asyncio.run_coroutine_threadsafe(stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
def test_innocent(loop): time.sleep(0.05)
def test_guilty(loop):
    asyncio.run_coroutine_threadsafe(asyncio.sleep(3600), loop)
    time.sleep(0.01)
def test_innocent_again(loop): time.sleep(0.05)
""")

    assert made.leaks == [("test_guilty", "test", "task", "error")]


def test_thread_of_an_import_belongs_to_the_import(run_leaks: Runner, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(lazy="import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n")

    made = run_leaks("def test():\n    import lazy\ndef test_next(): pass\n")

    made.result.assert_outcomes(passed=2)
    assert made.leaks == [("test", "import", "thread", "allowed")]
    made.result.stdout.fnmatch_lines(["*by an import: it lives as long as the process*"])


def test_thread_of_another_plugins_setup_belongs_to_the_setup(run_leaks: Runner) -> None:
    made = run_leaks(
        "def test(): pass",
        conftest="""
import threading
def pytest_runtest_setup(item):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
""",
    )

    assert made.leaks == [("test", "setup", "thread", "error")]


def test_thread_of_a_hook_that_refuses_the_setup_is_a_leak(run_leaks: Runner) -> None:
    made = run_leaks(
        "def test(): pass",
        conftest="""
import pytest, threading
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    pytest.skip("not today")
""",
    )

    made.result.assert_outcomes(skipped=1, errors=1)
    assert made.leaks == [("test", "setup", "thread", "error")]


def test_hook_of_a_folder_comes_after_the_watch_has_begun(run_leaks: Runner, pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("folder")
    (folder / "conftest.py").write_text(
        """
import pytest, threading
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
"""
    )
    (folder / "test_in_folder.py").write_text("def test(): pass")

    made = run_leaks("def test_before(): pass")

    assert made.leaks == [("test", "setup", "thread", "error")]


def test_markers_of_the_last_test_do_not_excuse_a_wide_fixture(run_leaks: Runner) -> None:
    made = run_leaks("""
@pytest.fixture(scope="session")
def forgetful(): leak_thread()
@pytest.mark.allow_leaks(reason="not ours")
def test(forgetful): pass
""")

    assert made.leaks == [("test", "fixture:forgetful:session", "thread", "error")]
    assert made.data["stale"] == ["test_it.py::test"]


def test_marker_of_a_module_excuses_its_fixtures_and_one_leak_keeps_it_fresh(run_leaks: Runner) -> None:
    made = run_leaks("""
pytestmark = pytest.mark.allow_leaks(reason="not ours")
@pytest.fixture(scope="module")
def forgetful(): leak_thread()
def test_leaks(forgetful): leak_thread()
def test_is_clean(): pass
""")

    made.result.assert_outcomes(passed=2)
    assert {outcome for *_, outcome in made.leaks} == {"allowed"}
    assert made.data["stale"] == []


def test_task_of_a_finaliser_is_not_the_bystanders(run_leaks: Runner) -> None:
    made = run_leaks("""
class Client:
    def __del__(self):
        asyncio.get_running_loop().create_task(asyncio.sleep(3600))
def test_makes(): KEPT.append(Client())
async def test_bystander(): KEPT.clear()
""")

    assert made.leaks == []


def test_unittest_cases_are_checked(run_leaks: Runner) -> None:
    made = run_leaks("""
class Test(unittest.IsolatedAsyncioTestCase):
    async def test_leak(self): leak_task()
    async def test_clean(self): await leak_task(0)
class Plain(unittest.TestCase):
    def test_thread(self): leak_thread()
""")

    assert made.leaks == [
        ("Test::test_leak", "test", "task", "error"),
        ("Plain::test_thread", "test", "thread", "error"),
    ]


def test_stubborn_task_does_not_stop_the_run(run_leaks: Runner) -> None:
    made = run_leaks("""
async def stubborn():
    while True:
        try: await asyncio.sleep(3600)
        except asyncio.CancelledError: pass
async def catches_everything():
    while True:
        try: await asyncio.sleep(3600)
        except BaseException: pass
async def test_catches_everything():
    KEPT.append(asyncio.ensure_future(catches_everything()))
    await asyncio.sleep(0)
async def test_stubborn():
    KEPT.append(asyncio.ensure_future(stubborn()))
    await asyncio.sleep(0)
@pytest.mark.asyncio(loop_scope="module")
async def test_on_a_wider_loop():
    KEPT.append(asyncio.ensure_future(stubborn()))
    await asyncio.sleep(0)
@pytest.mark.asyncio(loop_scope="module")
async def test_next(): pass
""")

    assert [test for test, *_ in made.leaks] == ["test_catches_everything", "test_stubborn", "test_on_a_wider_loop"]
    assert [(leak["fate"], leak["diagnosis"]) for leak in made.data["leaks"]] == [
        ("abandoned", "It swallowed its cancellation."),
        ("ended", "It swallowed its cancellation."),
        ("lives", "It is sleeping."),
    ]


def test_stubborn_task_that_nobody_keeps_does_not_stop_the_run(run_leaks: Runner) -> None:
    made = run_leaks("""
import gc
async def catches_everything():
    while True:
        try: await asyncio.sleep(3600)
        except BaseException: pass
async def test_catches_everything():
    asyncio.ensure_future(catches_everything())
    await asyncio.sleep(0)
def test_next(): gc.collect()
""")

    assert [(test, leak["fate"]) for (test, *_), leak in zip(made.leaks, made.data["leaks"], strict=True)] == [
        ("test_catches_everything", "abandoned")
    ]


def test_patched_clocks_do_not_change_the_grace(run_leaks: Runner) -> None:
    made = run_leaks(
        """
def boom(*args): raise RuntimeError
async def test(monkeypatch):
    leak_task(0.005)
    await asyncio.sleep(0)
    monkeypatch.setattr(asyncio, "sleep", boom)
    monkeypatch.setattr(time, "sleep", boom)
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    threading.Timer(0.01, int).start()
""",
        "--mockstream-grace=60",
    )

    assert made.leaks == []


def test_forked_child_takes_no_part(run_leaks: Runner) -> None:
    made = run_leaks("""
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test():
    from pytest_mockstream import leak_check
    check = leak_check(grace=0.01).__enter__()
    child = os.fork()
    if child == 0:
        leak_thread()
        try:
            check.__exit__(None, None, None)
        except BaseException:
            os._exit(1)
        os._exit(0)
    check.__exit__(None, None, None)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
""")

    assert made.leaks == []
    made.result.assert_outcomes(passed=1)


# Streams.


def test_open_stream_is_a_leak(run_leaks: Runner) -> None:
    made = run_leaks("""
def test_leak(mock_stream_client):
    KEPT.append(mock_stream_client.complete_stream("hi"))
    next(KEPT[0])
def test_closed(mock_stream_client):
    with mock_stream_client.complete_stream("hi") as stream: next(stream)
def test_read(mock_stream_client):
    KEPT.append(mock_stream_client.complete_stream("hi"))
    KEPT[-1].read()
""")

    assert made.leaks == [("test_leak", "test", "stream", "error")]
    made.result.stdout.fnmatch_lines(
        ["    opened at test_it.py:* in test_leak", "    Its consumer read 1 of * chunks*"]
    )


# Markers, ini keys and hooks.


def test_markers_tune_one_test(run_leaks: Runner) -> None:
    made = run_leaks("""
@pytest.mark.assert_no_leaks(ignore=["heart.*"])
async def test_ignored():
    leak_task().set_name("heartbeat")
@pytest.mark.assert_no_leaks(grace="10s")
def test_grace(): leak_thread(0.4)
@pytest.mark.assert_no_leaks(kinds=["task"])
def test_kinds(): leak_thread()
@pytest.mark.allow_leaks(reason="not ours")
async def test_allowed(): leak_task()
@pytest.mark.expect_leak(kind="task", match="leak_task")
async def test_expected(): leak_task()
""")

    made.result.assert_outcomes(passed=5)
    assert made.leaks == [("test_allowed", "test", "task", "allowed"), ("test_expected", "test", "task", "expected")]
    assert made.data["stale"] == []


def test_stale_markers_are_reported(run_leaks: Runner) -> None:
    made = run_leaks("""
@pytest.mark.allow_leaks(reason="not ours")
def test_allowed(): pass
@pytest.mark.expect_leak(kind="task")
def test_expected(): pass
""")

    made.result.assert_outcomes(passed=2, errors=1)
    assert made.data["stale"] == ["test_it.py::test_allowed", "test_it.py::test_expected"]
    made.result.stdout.fnmatch_lines(["*test_expected was expected to leak a task, and did not."])
    made.result.stdout.fnmatch_lines(["test_it.py::test_allowed: its allow_leaks is stale, it leaks no more"])
    made.result.stdout.fnmatch_lines(["test_it.py::test_expected: its expect_leak is stale, it leaks no more"])


def test_unexpected_leak_beside_an_expected_one_fails(run_leaks: Runner) -> None:
    made = run_leaks("""
@pytest.mark.expect_leak(kind="task")
async def test():
    leak_task()
    leak_thread()
""")

    assert {outcome for *_, outcome in made.leaks} == {"expected", "error"}
    made.result.assert_outcomes(passed=1, errors=1)


def test_ini_ignores_by_any_function_in_the_stack(run_leaks: Runner) -> None:
    made = run_leaks("async def test(): leak_task()", ini="mockstream_leak_ignore =\n    leak_task\n")

    assert made.leaks == []


def test_ini_switches_kinds_on(run_leaks: Runner) -> None:
    made = run_leaks(
        "async def test(): asyncio.get_running_loop().call_later(3600, int)", ini="mockstream_leak_kinds = timer\n"
    )

    assert made.leaks == [("test", "test", "timer", "error")]
    assert "(watching: tasks, threads, streams, timers)" in made.text


#: What pytest-asyncio before 1.4 does in a fixture, and looptime in a hook: both ask for the loop of the thread, and do
#: not close it.
ASKS_FOR_A_LOOP = """
import asyncio, warnings, pytest
warnings.simplefilter("ignore", DeprecationWarning)
PLUGIN = "@pytest.fixture\\ndef runner(): return asyncio.get_event_loop()"
exec(compile(PLUGIN, "/lib/pytest_asyncio/plugin.py", "exec"))
HOOK = "def pytest_pyfunc_call(): LOOPS.append(asyncio.get_event_loop()) if ASKS else None"
LOOPS, ASKS = [], %r
exec(compile(HOOK, "/lib/site-packages/looptime/plugin.py", "exec"))
"""


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="asyncio makes no loop for whoever asks for one")
@pytest.mark.parametrize(
    ("test", "in_a_hook", "found"),
    [
        ("def test(runner): assert not runner.is_closed()", False, []),
        ("def test(): pass", True, []),
        ("def test(): KEPT.append(asyncio.get_event_loop())", False, [("test", "test", "loop", "error")]),
    ],
    ids=["fixture", "hook", "test"],
)
def test_loop_that_the_test_runner_asks_for_is_nobodys(
    run_leaks: Runner, test: str, in_a_hook: bool, found: list[tuple[str, str, str, str]]
) -> None:
    made = run_leaks(test, ini="mockstream_leak_kinds = loop\n", conftest=ASKS_FOR_A_LOOP % in_a_hook)

    assert made.leaks == found, made.text


def test_header_says_what_it_cannot_see(run_leaks: Runner) -> None:
    conftest = "import asyncio\ndel asyncio.selector_events.BaseSelectorEventLoop.add_reader\n"

    made = run_leaks("def test(): pass", ini="mockstream_leak_kinds = reader timer\n", conftest=conftest)

    assert "(watching: tasks, threads, streams, timers; cannot see: readers)" in made.text


def test_hooks_ignore_and_take_note(run_leaks: Runner) -> None:
    made = run_leaks(
        "async def test_ignored(): leak_task().set_name('mine')\nasync def test_found(): leak_task()",
        conftest="""
def pytest_mockstream_ignore_leak(leak, item): return leak.name == "mine" or None
def pytest_mockstream_leaks_found(report, item): print("FOUND", item.name, len(report.leaks))
""",
    )

    assert made.leaks == [("test_found", "test", "task", "error")]
    assert "FOUND test_found 1" in made.text


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        (
            "assert_no_leaks(gracie=1)",
            "unknown keyword 'gracie': did you mean 'grace'? give some of grace, ignore, kinds",
        ),
        ("assert_no_leaks(1)", "takes keywords only, got 1: give some of grace, ignore, kinds"),
        ("assert_no_leaks(grace='soon')", "grace='soon' is not a duration"),
        ("assert_no_leaks(ignore=['('])", "ignore: '(' is not a regular expression"),
        pytest.param(
            "assert_no_leaks(kinds=['cat'])",
            "kinds: 'cat' is not known: give some of task, thread, stream",
            marks=pytest.mark.slow,
        ),
        pytest.param("allow_leaks()", "reason=None: give a text that says why", marks=pytest.mark.slow),
        pytest.param("allow_leaks(reason=' ')", "reason=' ': give a text that says why", marks=pytest.mark.slow),
        pytest.param(
            "expect_leak(kind='cat')",
            "kind='cat' is not known: give one of task, thread, stream",
            marks=pytest.mark.slow,
        ),
        pytest.param("expect_leak(match='(')", "match='(' is not a regular expression", marks=pytest.mark.slow),
        ("allow_leaks(reason='x')\n@pytest.mark.expect_leak()", "allow_leaks and expect_leak contradict each other"),
    ],
)
def test_bad_marker_fails_its_test_alone(run_leaks: Runner, marker: str, said: str) -> None:
    made = run_leaks(f"@pytest.mark.{marker}\ndef test(): pass\ndef test_good(): pass")

    made.result.assert_outcomes(errors=1, passed=1)
    assert said in made.text


def test_reason_needs_no_keyword(run_leaks: Runner) -> None:
    made = run_leaks("@pytest.mark.allow_leaks('#123')\ndef test(): leak_thread()")

    assert made.leaks == [("test", "test", "thread", "allowed")]


def test_bad_marker_of_a_module_leaves_its_wider_fixtures_alone(run_leaks: Runner) -> None:
    made = run_leaks(
        "pytestmark = pytest.mark.allow_leaks()\ndef test(wide): pass",
        conftest="import pytest\n@pytest.fixture(scope='module', autouse=True)\ndef wide(): yield",
    )

    made.result.assert_outcomes(errors=1)


@pytest.mark.parametrize(
    ("ini", "said"),
    [
        ("mockstream_leak_ignore = (", "mockstream_leak_ignore: '(' is not a regular expression"),
        ("mockstream_leak_kinds = cat", "mockstream_leak_kinds: 'cat' is not known"),
    ],
)
def test_bad_ini_is_a_usage_error(run_leaks: Runner, ini: str, said: str) -> None:
    made = run_leaks("def test(): pass", ini=ini)

    assert made.result.ret == pytest.ExitCode.USAGE_ERROR
    assert said in made.result.stderr.str()


# Beside other plugins.


def test_workers_of_xdist_report_to_the_controller(run_leaks: Runner) -> None:
    made = run_leaks(
        "async def test_a(): leak_task()\ndef test_b(): leak_thread()\ndef test_c(): pass", "-p", "xdist", "-n", "2"
    )

    made.result.assert_outcomes(passed=3, errors=2)
    assert sorted(test for test, *_ in made.leaks) == ["test_a", "test_b"]
    made.result.stdout.fnmatch_lines(["*= leaks =*"])


def test_name_that_utf8_cannot_say_stops_no_worker(run_leaks: Runner) -> None:
    made = run_leaks(
        "def test(): KEPT.append(leak_thread()); threading.enumerate()[-1].name = 'a\\ud800b'", "-p", "xdist", "-n1"
    )

    made.result.assert_outcomes(passed=1, errors=1)
    assert made.data["leaks"][0]["name"] == "a\\ud800b"


def test_rerun_does_not_mask_a_leak(run_leaks: Runner) -> None:
    made = run_leaks("async def test():\n    if not KEPT: leak_task()\n", "-p", "rerunfailures", "--reruns", "1")

    assert made.leaks == [("test", "test", "task", "error")]
    assert "1 rerun" in made.text


def test_timeout_of_a_thread_is_no_leak(run_leaks: Runner) -> None:
    made = run_leaks("def test(): pass", "-p", "timeout", "--timeout=30", "--timeout-method=thread")

    assert made.leaks == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio_plugin(run_leaks: Runner, backend: str) -> None:
    made = run_leaks(
        f"""
import anyio
pytestmark = pytest.mark.anyio
@pytest.fixture(scope="session")
def anyio_backend(): return {backend!r}
@pytest.fixture(scope="session")
async def ticker(anyio_backend):
    yield
async def test_clean(ticker): await anyio.to_thread.run_sync(int)
async def test_thread(ticker):
    begun = threading.Event()
    def work():
        begun.set()
        time.sleep(2)
    async def give_away():
        await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
    async with anyio.create_task_group() as group:
        group.start_soon(give_away)
        while not begun.is_set():
            await anyio.sleep(0.001)
        group.cancel_scope.cancel()
async def test_task(ticker, anyio_backend):
    if anyio_backend == "asyncio": leak_task()
""",
        "-p",
        "anyio",
        "-o",
        "asyncio_mode=strict",
    )

    expected = [("test_thread", "test", "thread", "error"), ("test_task", "test", "task", "error")]
    assert made.leaks == (expected if backend == "asyncio" else expected[:1])


def test_uvloop(run_leaks: Runner) -> None:
    made = run_leaks("""
uvloop = pytest.importorskip("uvloop")
async def main(leaks):
    await asyncio.to_thread(int)
    if leaks: leak_task()
def test_leak(): uvloop.run(main(True))
def test_clean(): uvloop.run(main(False))
def test_busy():
    over = threading.Event()
    async def main(): asyncio.get_running_loop().run_in_executor(None, over.wait)
    threading.Timer(1, over.set).start()
    uvloop.run(main())
""")

    assert [(test, kind) for test, _, kind, _ in made.leaks if kind == "task"] == [("test_leak", "task")]
    assert "test_busy" in {test for test, *_ in made.leaks}


def test_virtual_time_gets_its_grace_in_virtual_time(run_leaks: Runner) -> None:
    made = run_leaks(
        """
import looptime
async def main(): leak_task(5)
async def hang(): leak_task(500)
def loop():
    return looptime.new_event_loop(start=0)
def test_short():
    with asyncio.Runner(loop_factory=loop) as runner: runner.run(main())
def test_leak():
    with asyncio.Runner(loop_factory=loop) as runner: runner.run(hang())
""",
        "--mockstream-grace=60",
    )

    assert [test for test, *_ in made.leaks] == ["test_leak"]


def test_run_within_a_run_leaves_the_outer_one_alone(run_leaks: Runner) -> None:
    made = run_leaks("""
pytest_plugins = ["pytester"]
def test_inner(pytester):
    pytester.makepyfile('''
import asyncio
async def main(): asyncio.get_running_loop().create_task(asyncio.sleep(3600))
def test_leak(): asyncio.run(main())
''')
    result = pytester.runpytest_inprocess("-p", "asyncio", "-p", "mockstream")
    result.assert_outcomes(passed=1, errors=1)
async def test_outer(): leak_task()
""")

    assert made.leaks == [("test_outer", "test", "task", "error")]


def test_debugger_only_warns(run_leaks: Runner) -> None:
    made = run_leaks("async def test(): leak_task()", "--pdb")

    made.result.assert_outcomes(passed=1)
    assert made.leaks == [("test", "test", "task", "warn")]


def test_doctests_and_other_items_are_no_trouble(run_leaks: Runner) -> None:
    made = run_leaks('def f():\n    """\n    >>> 1 + 1\n    2\n    """\n', "--doctest-modules")

    made.result.assert_outcomes(passed=1)
    assert made.leaks == []


@pytest.mark.parametrize("marker", ["expect_leak(kind='task')", "allow_leaks(reason='#1')"])
@pytest.mark.parametrize("how", ["pytest.skip('not here')", "pass"])
def test_marker_of_a_test_that_was_skipped_is_neither_wrong_nor_stale(how: str, marker: str, run_leaks: Runner) -> None:
    skip = "@pytest.mark.skip(reason='not here')\n" if how == "pass" else ""

    run = run_leaks(f"{skip}@pytest.mark.{marker}\ndef test_it(): {how}\n")

    run.result.assert_outcomes(skipped=1)
    assert run.data["stale"] == []


@pytest.mark.parametrize("scope", ["function", "session"])
def test_stream_that_is_closed_a_few_turns_after_its_test_is_no_leak(scope: str, run_leaks: Runner) -> None:
    source = """
async def test_it(mock_stream_client):
    stream = mock_stream_client.complete_stream("hi")
    await anext(stream)
    loop = asyncio.get_running_loop()
    def later(turns): loop.call_soon(later, turns - 1) if turns else stream.close()
    later(8)
    KEPT.append(stream)
"""
    run = run_leaks(source, ini=f"asyncio_default_test_loop_scope = {scope}\n")

    run.result.assert_outcomes(passed=1)
    assert run.leaks == []
