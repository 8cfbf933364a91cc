"""Which tests have a trace, and when it is written."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
from traces import TITLE, traced

pytestmark = pytest.mark.usefixtures("lean_pytest")

EACH_WAY = """
    import asyncio, unittest, pytest

    def test_passes(mock_stream_client):
        mock_stream_client.complete("hi")

    def test_call(): assert False

    @pytest.fixture
    def unset(): raise OSError
    def test_setup(unset): pass

    @pytest.fixture
    def untorn():
        yield
        raise OSError
    def test_teardown(untorn): pass

    async def test_leaks(): asyncio.create_task(asyncio.sleep(100), name="pump")
    async def test_fails_and_leaks():
        asyncio.create_task(asyncio.sleep(100), name="pump")
        assert False

    def test_unused(mock_stream_client): mock_stream_client.respond("never asked for")

    @pytest.mark.xfail(strict=True)
    def test_strict(): pass
    @pytest.mark.xfail
    def test_expected(): assert False
    @pytest.mark.xfail
    def test_unexpected(): pass
    @pytest.mark.skip
    def test_skipped(): pass
    def test_skips(): pytest.skip()

    class TestCase(unittest.TestCase):
        def test_case(self): self.fail("no")
    class TestAsync(unittest.IsolatedAsyncioTestCase):
        async def test_async(self): self.fail("no")
    def doctested():
        '''
        >>> 1
        2
        '''
"""
FAILED = {
    "test_call",
    "test_setup",
    "test_teardown",
    "test_leaks",
    "test_fails_and_leaks",
    "test_unused",
    "test_strict",
    "TestCase.test_case",
    "TestAsync.test_async",
    "[doctest] test_it.doctested",
}


@pytest.mark.parametrize("leaks", ["error", "off"])
def test_each_test_that_failed_has_a_trace_and_names_it_once(pytester: pytest.Pytester, leaks: str) -> None:
    expected = FAILED if leaks == "error" else FAILED - {"test_leaks"}

    options = ("--mockstream-trace=failed", "--doctest-modules", f"--mockstream-leaks={leaks}")
    run = traced(pytester, EACH_WAY, *options, subprocess=leaks == "off")

    assert set(run.tests) == expected
    for page in (name for name in run.files if name.endswith(".html")):
        assert run.text.count(os.path.join("mockstream-trace", page)) == 1, page
    assert f"mockstream: {len(expected)} traces in mockstream-trace{os.sep}\n" in run.text


def test_all_leaves_out_what_was_skipped(pytester: pytest.Pytester) -> None:
    run = traced(pytester, EACH_WAY, "--mockstream-trace=all", "--doctest-modules")

    assert set(run.tests) == FAILED | {"test_passes", "test_expected", "test_unexpected"}
    outcomes = {trace["test"]["function"]: trace["test"]["outcome"] for trace in run.traces()}
    assert {outcomes[name] for name in FAILED} == {"failed"}
    assert outcomes["test_passes"] == outcomes["test_unexpected"] == "passed"
    assert outcomes["test_expected"] == "skipped"


@pytest.mark.parametrize("option", [(), ("--mockstream-trace=off",)])
def test_off_writes_nothing_and_says_nothing(pytester: pytest.Pytester, option: tuple[str, ...]) -> None:
    run = traced(pytester, EACH_WAY, *option)

    assert not run.folder.exists()
    assert TITLE not in run.text
    assert "traces in" not in run.text


MARKED = """
    import pytest

    def test_plain(): assert False

    @pytest.mark.mockstream(trace="off")
    class TestMarked:
        def test_off(self): assert False
        @pytest.mark.mockstream(trace="failed")
        def test_failed(self): assert False
        @pytest.mark.mockstream(trace="failed")
        def test_passed(self): pass
        @pytest.mark.mockstream(trace="all")
        def test_all(self): pass
"""


@pytest.mark.parametrize(
    ("ini", "tests"),
    [
        ("", ["TestMarked.test_all", "TestMarked.test_failed"]),
        ("mockstream_trace = failed", ["TestMarked.test_all", "TestMarked.test_failed", "test_plain"]),
    ],
)
def test_marker_wins_over_the_run(pytester: pytest.Pytester, ini: str, tests: list[str]) -> None:
    run = traced(pytester, MARKED, ini=ini)

    assert sorted(run.tests) == tests


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--mockstream-trace=on"], "--mockstream-trace='on' is not known: give 'off' or 'failed' or 'all'"),
        (["--mockstream-trace="], "--mockstream-trace='' is not known: give 'off' or 'failed' or 'all'"),
        (["-o", "mockstream_trace=on"], "mockstream_trace='on' is not known: give 'off' or 'failed' or 'all'"),
        (["--mockstream-trace-dir="], "--mockstream-trace-dir='' is not a path"),
        (
            ["--mockstream-trace=failed", "--mockstream-trace-dir=test_it.py"],
            "--mockstream-trace-dir='test_it.py' cannot be written, '*test_it.py' is no folder: give the path of *",
        ),
        (
            ["--mockstream-trace=failed", "--mockstream-trace-dir=test_it.py/below/it"],
            "--mockstream-trace-dir='test_it.py/below/it' cannot be written, '*test_it.py' is no folder: *",
        ),
    ],
)
def test_illegal_setting_is_a_usage_error(pytester: pytest.Pytester, args: list[str], message: str) -> None:
    run = traced(pytester, "def test_it(): print('the body ran')", "-s", *args)

    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    run.result.stderr.fnmatch_lines([f"ERROR: {message}*"])
    assert "the body ran" not in run.text


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="whoever runs this may write everywhere")
def test_folder_that_may_not_be_written_is_a_usage_error(pytester: pytest.Pytester) -> None:
    (pytester.path / "locked").mkdir(mode=0o500)

    run = traced(pytester, "def test_it(): pass", "--mockstream-trace=failed", "--mockstream-trace-dir=locked/x")

    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    run.result.stderr.fnmatch_lines(
        ["ERROR: --mockstream-trace-dir='locked/x' cannot be written, Permission denied in *"]
    )


def test_marker_that_is_not_legal_fails_its_test(pytester: pytest.Pytester) -> None:
    run = traced(pytester, "import pytest\n@pytest.mark.mockstream(trace='on')\ndef test_it(): pass")

    run.result.assert_outcomes(errors=1)
    run.result.stdout.fnmatch_lines(["*trace='on' is not known: give 'off' or 'failed' or 'all'*"])


def test_folder_is_below_the_rootdir_wherever_pytest_was_started(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = -p mockstream")
    inner = pytester.mkdir("inner")
    (inner / "test_it.py").write_text("def test_it(): assert False")
    os.chdir(inner)

    result = pytester.runpytest_inprocess("--mockstream-trace=failed", "--mockstream-trace-dir=../up/here")

    there = pytester.path.parent / "up" / "here"
    assert (there / "inner-test_it.py-test_it.html").exists()
    result.stdout.fnmatch_lines([f"mockstream: 1 trace in {there}{os.sep}"])


# What was there before.


def test_stale_trace_goes_when_its_test_runs_and_no_other(pytester: pytest.Pytester) -> None:
    first = traced(pytester, "def test_a(): assert 0\ndef test_b(): assert 0", "--mockstream-trace=failed")
    assert first.tests == ["test_a", "test_b"]

    second = traced(pytester, "def test_a(): pass\ndef test_b(): pass", "--mockstream-trace=failed", "-k", "test_a")

    assert second.tests == ["test_b"]
    assert TITLE not in second.text
    assert "mockstream-trace" not in second.text


def test_what_is_no_trace_is_never_touched(pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("mockstream-trace")
    names = ("test_it.py-test_passes.html", "test_it.py-test_passes.json", "test_it.py-test_fails.html", "mine.txt")
    for name in names:
        (folder / name).write_text("mine")
    source = "def test_passes(): pass\ndef test_fails(): assert False"

    run = traced(pytester, source, "--mockstream-trace=failed", "-W", "error:the trace of")

    run.result.assert_outcomes(passed=1, failed=1)
    assert [(folder / name).read_text() for name in names] == ["mine"] * len(names)
    assert run.files == sorted(names)
    run.result.stdout.fnmatch_lines(["*the trace of test_it.py::test_fails cannot be written: *is no trace*"])
    assert "1 trace in" not in run.text


@pytest.mark.parametrize("warnings", ["error:the trace of", "default"])
def test_trace_that_cannot_be_written_changes_no_outcome(pytester: pytest.Pytester, warnings: str) -> None:
    source = """
        from pathlib import Path
        def test_takes_the_place():
            Path("mockstream-trace").write_text("a file")
            assert False
        def test_passes(): pass
    """

    run = traced(pytester, source, "--mockstream-trace=all", "-W", warnings)

    run.result.assert_outcomes(passed=1, failed=1)
    run.result.stdout.fnmatch_lines(["*the trace of test_it.py::test_passes cannot be written: *"])
    assert "traces in" not in run.text


def test_folder_that_is_made_is_none_of_gits(pytester: pytest.Pytester) -> None:
    run = traced(pytester, "def test_it(): assert False", "--mockstream-trace=failed")
    assert (run.folder / ".gitignore").read_text() == "*\n"

    there = pytester.mkdir("there")
    pytester.runpytest_inprocess("--mockstream-trace=failed", f"--mockstream-trace-dir={there}")

    assert sorted(path.name for path in there.iterdir()) == ["test_it.py-test_it.html", "test_it.py-test_it.json"]


# What the terminal says.


@pytest.mark.parametrize(
    ("options", "is_named"),
    [
        ((), True),
        (("-q",), True),
        (("--no-header",), True),
        (("--show-capture=no",), True),
        (("--tb=short",), True),
        (("--tb=native",), True),
        (("--tb=no",), False),
    ],
)
@pytest.mark.parametrize("ci", ["", "true"])  # there pytest's summary has the whole text of each failure
def test_terminal_names_the_file_wherever_it_shows_the_failure(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], is_named: bool, ci: str
) -> None:
    monkeypatch.setenv("CI", ci)
    source = (
        "import asyncio\ndef test_it(): assert False\nasync def test_leak(): asyncio.create_task(asyncio.sleep(99))"
    )

    run = traced(pytester, source, "--mockstream-trace=failed", *options)

    for page in ("test_it.py-test_it.html", "test_it.py-test_leak.html"):
        assert run.text.count(os.path.join("mockstream-trace", page)) == is_named
    assert run.text.count("mockstream: 2 traces in mockstream-trace" + os.sep) == 1


def test_subtests_are_failures_of_one_trace(pytester: pytest.Pytester) -> None:
    source = """
        import unittest
        def test_it(subtests):
            for n in range(3):
                with subtests.test(n=n): assert n == 1
        class TestCase(unittest.TestCase):
            def test_case(self):
                for n in range(3):
                    with self.subTest(n=n): self.assertEqual(n, 1)
    """
    if pytest.version_tuple < (9,):
        pytest.skip("pytest 9 brings subtests")

    run = traced(pytester, source, "--mockstream-trace=failed")

    assert run.tests == ["TestCase.test_case", "test_it"]
    failures = run.trace("test_it")["attempts"][0]["failures"]
    assert [failure["phase"] for failure in failures] == ["call", "call", "call"]
    assert "contains 2 failed subtests" in failures[-1]["text"]
    assert all(TITLE not in failure["text"] for failure in failures)
    assert len(run.trace("TestCase.test_case")["attempts"][0]["failures"]) == 2
    assert run.text.count(TITLE) == 2


# What is in it.


def test_trace_says_which_test_it_is(pytester: pytest.Pytester) -> None:
    source = "import pytest\n\n@pytest.mark.parametrize('n', [1])\ndef test_it(n):\n    assert not n"

    test = traced(pytester, source, "--mockstream-trace=failed").traces()[0]["test"]

    assert test.pop("started")
    assert test == {
        "id": "test_it.py::test_it[1]",
        "file": "test_it.py",
        "line": 3,
        "function": "test_it[1]",
        "outcome": "failed",
        "python": ".".join(map(str, sys.version_info[:3])),
        "platform": sys.platform,
    }


def test_failures_are_in_it_as_the_terminal_shows_them(pytester: pytest.Pytester) -> None:
    run = traced(pytester, EACH_WAY, "--mockstream-trace=failed")

    def failures(test: str) -> list[tuple[str, str]]:
        (attempt,) = run.trace(test)["attempts"]
        assert attempt["outcome"] == "failed"
        assert attempt["duration"] > 0
        return [(failure["phase"], failure["text"].splitlines()[-1]) for failure in attempt["failures"]]

    assert failures("test_call") == [("call", "test_it.py:6: AssertionError")]
    assert failures("test_setup") == [("setup", "test_it.py:9: OSError")]
    assert failures("test_teardown") == [("teardown", "test_it.py:15: OSError")]
    assert failures("test_leaks") == [("teardown", "  Ended now: task 'pump'.")]
    assert failures("test_fails_and_leaks") == [
        ("call", "test_it.py:21: AssertionError"),
        ("teardown", "  Ended now: task 'pump'."),
    ]
    assert failures("test_strict") == [("call", "[XPASS(strict)]")]


PHASES = """
    import pytest, unittest

    @pytest.fixture(scope="module")
    def wide(): yield
    @pytest.fixture
    def narrow(wide): yield
    @pytest.fixture
    async def in_loop(): yield
    @pytest.fixture
    def unset(): raise OSError
    @pytest.fixture
    def skips(): pytest.skip()

    @pytest.mark.parametrize("n", [1])
    def test_sync(narrow, n): assert False
    async def test_async(in_loop, narrow): assert False
    def test_setup(narrow, unset): pass
    def test_skips(skips): pass
    class TestLast(unittest.TestCase):
        def setUp(self): pass
        def test_last(self): pytest.skip()
"""


def test_phases_and_fixtures_are_lanes(pytester: pytest.Pytester) -> None:
    run = traced(pytester, PHASES, "--mockstream-trace=failed")

    assert _phases(run.trace("test_sync[1]")) == [
        "setup passed test_it.py:14",
        "  fixture wide passed test_it.py:3",
        "  fixture narrow passed test_it.py:5",
        "call failed test_it.py:14",
        "teardown passed test_it.py:14",
    ]
    assert _phases(run.trace("test_async")) == [
        "setup passed test_it.py:16",
        "  fixture in_loop passed test_it.py:7",
        "  fixture narrow passed test_it.py:5",
        "call failed test_it.py:16",
        "teardown passed test_it.py:16",
    ]
    assert _phases(run.trace("test_setup")) == [
        "setup failed test_it.py:17",
        "  fixture narrow passed test_it.py:5",
        "  fixture unset failed test_it.py:9",
        "teardown passed test_it.py:17",
    ]


def test_fixture_is_set_up_and_torn_down_on_its_lane(pytester: pytest.Pytester) -> None:
    run = traced(pytester, PHASES, "--mockstream-trace=failed")

    (narrow,) = [lane for lane in _lanes(run.trace("test_async")) if lane["name"] == "fixture narrow"]
    assert len([event for event in narrow["events"] if event["kind"] == "phase"]) == 2


def test_functions_that_are_alike_in_two_files_are_each_in_its_own(pytester: pytest.Pytester) -> None:
    source = "def test_it(): assert False"
    pytester.makepyfile(test_other=source)

    run = traced(pytester, source, "--mockstream-trace=failed")

    at = {trace["test"]["file"]: {lane["at"]["file"] for lane in _lanes(trace)} for trace in run.traces()}
    assert at == {"test_it.py": {"test_it.py"}, "test_other.py": {"test_other.py"}}


def test_failure_is_at_the_line_that_the_terminal_names(pytester: pytest.Pytester) -> None:
    source = """
        def asserts(value):
            assert value
        def test_it(): asserts(False)
    """

    run = traced(pytester, source, "--mockstream-trace=failed")

    places = [
        event["place"] for lane in _lanes(run.traces()[0]) for event in lane["events"] if event["kind"] == "error"
    ]
    assert places == [{"file": "test_it.py", "line": 2, "function": "asserts"}]


def test_fixture_that_is_torn_down_and_set_up_for_one_test_is_one_lane(pytester: pytest.Pytester) -> None:
    source = """
        import pytest
        @pytest.fixture(params=[1, 2], scope="module")
        def wide(request): yield
        def test_it(wide): assert False
    """

    run = traced(pytester, source, "--mockstream-trace=failed")

    assert [trace["test"]["function"] for trace in run.traces()] == ["test_it[1]", "test_it[2]"]
    assert _phases(run.trace("test_it[2]")) == [
        "setup passed test_it.py:4",
        "  fixture wide passed test_it.py:2",
        "call failed test_it.py:4",
        "teardown passed test_it.py:4",
    ]


def _phases(trace: dict[str, Any]) -> list[str]:
    """Return the lanes of phases and fixtures, and below which they are."""
    (attempt,) = trace["attempts"]
    lanes = [lane for lane in attempt["runs"][0]["lanes"] if lane["kind"] in {"test", "fixture"}]
    shown = "{name} {state} {at[file]}:{at[line]}"
    return [f"{'' if lane['parent'] is None else '  '}{shown.format_map(lane)}" for lane in lanes]


# Whoever runs the test.


ASYNC = """
    import asyncio, functools, unittest, pytest

    def in_a_runner(function):
        @functools.wraps(function)
        def run(*args, **kwargs): asyncio.run(function(*args, **kwargs))
        return run

    async def read(client, name):
        async with client.complete_stream(name) as stream:
            await stream.aread()

    MARK
    async def test_it(mock_stream_client):
        await read(mock_stream_client, "first")
        assert False
"""
OF_ASYNCIO = """
    class TestIt(unittest.IsolatedAsyncioTestCase):
        @pytest.fixture(autouse=True)
        def client(self, mock_stream_client): self.client = mock_stream_client
        async def test_it(self):
            await asyncio.create_task(read(self.client, "first"), name="reader")
            self.fail()
"""


@pytest.mark.parametrize(
    ("plugins", "mark", "tests"),
    [
        pytest.param(("asyncio",), "", ["test_it"], id="asyncio", marks=pytest.mark.slow),
        pytest.param(
            ("no:asyncio", "anyio"),
            "@pytest.mark.anyio",
            ["test_it[asyncio]", "test_it[trio]"],
            id="anyio",
            marks=pytest.mark.slow,
        ),
        pytest.param(("no:asyncio", "trio"), "@pytest.mark.trio", ["test_it"], id="trio"),
        pytest.param(("no:asyncio",), "@in_a_runner", ["test_it"], id="own"),
    ],
)
@pytest.mark.parametrize("leaks", ["error", pytest.param("off", marks=pytest.mark.slow)])
def test_async_tests_have_their_requests_whoever_runs_them(
    pytester: pytest.Pytester, plugins: tuple[str, ...], mark: str, tests: list[str], leaks: str
) -> None:
    for plugin in plugins:
        pytest.importorskip({"anyio": "trio", "trio": "pytest_trio"}.get(plugin, "asyncio"))
    loaded = [option for plugin in plugins for option in ("-p", plugin)]

    options = ("--mockstream-trace=failed", f"--mockstream-leaks={leaks}", *loaded)
    run = traced(pytester, ASYNC.replace("MARK", mark) + OF_ASYNCIO, *options, subprocess=True)

    assert sorted(run.tests) == ["TestIt.test_it", *tests]
    for trace in run.traces():
        lanes = trace["attempts"][0]["runs"][0]["lanes"]
        assert [lane["request"]["body"]["prompt"] for lane in lanes if lane["kind"] == "request"] == ["first"]
    tasks = [lane["name"] for lane in _lanes(run.trace("TestIt.test_it")) if lane["kind"] == "task"]
    assert "'reader' read()" in tasks


def test_without_the_leak_check_tasks_and_threads_are_there_without_verdicts(pytester: pytest.Pytester) -> None:
    source = """
        import asyncio, threading
        async def pump(): await asyncio.sleep(100)
        async def test_it():
            asyncio.create_task(pump(), name="pump")
            thread = threading.Thread(target=int, name="worker")
            thread.start()
            thread.join()
            await asyncio.sleep(0)
            assert False
    """

    run = traced(pytester, source, "--mockstream-trace=failed", "--mockstream-leaks=off", subprocess=True)

    lanes = {lane["name"]: lane for lane in _lanes(run.traces()[0]) if lane["kind"] in {"task", "thread"}}
    assert "'pump' pump()" in lanes
    assert any("worker" in name for name in lanes)
    assert not any(lane.get("leaked") for lane in lanes.values())


def _lanes(trace: dict[str, Any]) -> list[dict[str, Any]]:
    (attempt,) = trace["attempts"]
    lanes: list[dict[str, Any]] = attempt["runs"][0]["lanes"]
    return lanes


def test_leak_is_at_the_end_of_its_lane(pytester: pytest.Pytester) -> None:
    source = """
        import asyncio
        KEPT = []
        async def pump(): await asyncio.sleep(100)
        async def test_it(mock_stream_client):
            asyncio.create_task(pump(), name="pump")
            KEPT.append(mock_stream_client.complete_stream("never closed"))
            await anext(KEPT[0])
    """

    run = traced(pytester, source, "--mockstream-trace=failed")

    assert _phases(run.traces()[0])[-1].startswith("teardown failed")
    leaked = [lane for lane in _lanes(run.traces()[0]) if lane.get("leaked")]
    assert [lane["kind"] for lane in leaked] == ["task", "request"]
    assert all(lane["events"][-1]["kind"] == "leak" for lane in leaked)


def test_finding_is_on_the_lane_of_its_request(pytester: pytest.Pytester) -> None:
    source = """
        from pytest_mockstream import HTTPError, ProviderError
        def test_it(mock_stream_client):
            mock_stream_client.respond(HTTPError(401), times=2)
            for _ in range(2):
                try:
                    mock_stream_client.complete("hi")
                except ProviderError:
                    pass
            assert False
    """

    run = traced(pytester, source, "--mockstream-trace=failed")

    found = [event for lane in _lanes(run.traces()[0]) for event in lane["events"] if event["kind"] == "finding"]
    assert ["retries_permanent" in str(event) for event in found] == [True]


def test_no_secret_is_shown(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_TOKEN", "tuesday-9-bananas")
    source = """
        import asyncio, os, pytest
        TOKEN = os.environ["BOT_TOKEN"]
        @pytest.mark.parametrize("token", [TOKEN, "sk-proj-1234567890abcdef"])
        async def test_it(token, mock_stream_client):
            mock_stream_client.respond(f"so it is {token}")
            stream = mock_stream_client.complete_stream(token)
            print([chunk async for chunk in stream])
            await asyncio.create_task(asyncio.sleep(0), name=token)
            raise OSError(token)
    """

    run = traced(pytester, source, "--mockstream-trace=failed")

    assert len(run.traces()) == 2
    for name in run.files:
        assert "bananas" not in name + (run.folder / name).read_text(encoding="utf-8"), name
        assert "1234567890abcdef" not in name + (run.folder / name).read_text(encoding="utf-8"), name


# What it costs others.


def test_unless_it_is_asked_for_nothing_of_it_is_loaded(pytester: pytest.Pytester) -> None:
    source = """
        import sys
        def test_it(mock_stream_client):
            mock_stream_client.complete("hi")
            ours = [name for name in sys.modules if name.startswith("pytest_mockstream.")]
            print("loaded:", [name for name in ours if "trace" in name or "pages" in name])
    """

    run = traced(pytester, source, "-s", "--mockstream-delay=1ms", subprocess=True)

    loaded = run.text.partition("loaded: ")[2].partition("\n")[0]
    assert loaded == "[]"


def test_failure_is_at_the_innermost_line_of_the_users_code(pytester: pytest.Pytester) -> None:
    test = """
import asyncio
from pytest_mockstream import Stall

async def ask(client):
    async with client.complete_stream("hi") as stream:
        return await stream.aread()  # line 6

async def test_it(mock_stream_client):
    mock_stream_client.respond("Paris is ", Stall())
    task = asyncio.create_task(ask(mock_stream_client))
    await asyncio.sleep(0.01)
    task.cancel()
    await task
"""
    run = traced(pytester, test, "--mockstream-trace=failed")

    (call,) = (lane for lane in run.trace("test_it")["attempts"][0]["runs"][0]["lanes"] if lane["name"] == "call")
    (error,) = (event for event in call["events"] if event["kind"] == "error")
    assert error["place"] == {"file": "test_it.py", "line": 6, "function": "ask"}


@pytest.mark.parametrize("word", ["__str__", "__bool__", "__repr__"])
def test_model_whose_words_raise_ends_no_session(pytester: pytest.Pytester, word: str) -> None:
    test = f"""
class Odd:
    def {word}(self): raise KeyError

def test_it(mock_stream_client):
    mock_stream_client.chat_stream([{{"role": "user", "content": "hi"}}], model=Odd()).read()

def test_after(): pass
"""
    run = traced(pytester, test, "--mockstream-trace=all")

    run.result.assert_outcomes(passed=2)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="this system has no file system that takes nothing")
def test_folder_on_a_file_system_that_takes_nothing_is_told_at_the_start(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): assert False")

    result = pytester.runpytest("-p", "mockstream", "--mockstream-trace=failed", "--mockstream-trace-dir=/proc/traces")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--mockstream-trace-dir='/proc/traces' cannot be written, * in '/proc'*"])
