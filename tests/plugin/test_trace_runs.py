"""Traces of tests that are run again, in other processes, or not to their end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from leak_runs import FORKS
from traces import TITLE, Traced, traced, whole

pytestmark = pytest.mark.usefixtures("lean_pytest")

FAILS_ONCE = """
    import pytest
    TRIES = []

    @pytest.fixture
    def fixture(): yield

    def test_passes_at_last(fixture):
        TRIES.append(1)
        assert len(TRIES) > 1, "once"
    def test_fails(): assert False
    def test_passes(): pass
"""


def outcomes(run: Traced, test: str) -> list[tuple[str, list[str]]]:
    """Return the outcome of each attempt, and the phases of its failures."""
    return [
        (attempt["outcome"], [failure["phase"] for failure in attempt["failures"]])
        for attempt in run.trace(test)["attempts"]
    ]


def needs(*modules: str) -> None:
    for module in modules:
        pytest.importorskip(module)


@pytest.mark.parametrize("workers", [(), pytest.param(("-p", "xdist", "-n1"), marks=pytest.mark.slow)])
def test_attempts_of_one_test_are_in_one_trace(pytester: pytest.Pytester, workers: Sequence[str]) -> None:
    needs("pytest_rerunfailures", "xdist")

    options = ("--mockstream-trace=failed", "-p", "rerunfailures", "--reruns=2", *workers)
    run = traced(pytester, FAILS_ONCE, *options, subprocess=bool(workers))

    run.result.assert_outcomes(passed=2, failed=1)
    assert run.tests == ["test_fails", "test_passes_at_last"]
    assert outcomes(run, "test_passes_at_last") == [("rerun", ["call"]), ("passed", [])]
    assert outcomes(run, "test_fails") == [("rerun", ["call"]), ("rerun", ["call"]), ("failed", ["call"])]
    assert run.trace("test_passes_at_last")["test"]["outcome"] == "passed"
    assert run.text.count(TITLE) == 1
    assert f"mockstream: 2 traces in mockstream-trace{os.sep}\n" in run.text


def test_attempts_that_leak_are_in_one_trace(pytester: pytest.Pytester) -> None:
    needs("pytest_rerunfailures")
    source = """
        import asyncio
        TRIES = []
        async def test_it():
            TRIES.append(1)
            if len(TRIES) == 1:
                asyncio.create_task(asyncio.sleep(100), name="pump")
    """

    run = traced(pytester, source, "--mockstream-trace=failed", "-p", "rerunfailures", "--reruns=1")

    assert outcomes(run, "test_it") == [("rerun", ["teardown"]), ("passed", [])]


def test_flaky_runs_a_test_again(pytester: pytest.Pytester) -> None:
    needs("flaky")

    run = traced(pytester, FAILS_ONCE, "--mockstream-trace=failed", "-p", "flaky", "--force-flaky", "--max-runs=2")

    assert outcomes(run, "test_passes_at_last") == [("rerun", ["call"]), ("passed", [])]
    assert outcomes(run, "test_fails") == [("rerun", ["call"]), ("failed", ["call"])]
    assert run.tests == ["test_fails", "test_passes_at_last"]


def test_repeated_tests_have_a_trace_each(pytester: pytest.Pytester) -> None:
    needs("pytest_repeat")

    run = traced(pytester, "def test_it(): assert 0", "--mockstream-trace=failed", "-p", "repeat", "--count=2")

    assert run.files == [
        *("test_it.py-test_it-1-2.html", "test_it.py-test_it-1-2.json"),
        *("test_it.py-test_it-2-2.html", "test_it.py-test_it-2-2.json"),
    ]


# In other processes.

TWO = """
import asyncio
def test_a(): assert False
async def test_b(): asyncio.create_task(asyncio.sleep(100))
def test_c(): pass
"""
MARKED = "import pytest\n@pytest.mark.mockstream(trace='failed')\ndef test_a(): assert False\ndef test_b(): assert 0\n"


def test_workers_write_and_the_controller_tells(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("xdist")
    monkeypatch.setenv("CI", "true")  # there pytest's summary has the whole text of each failure

    run = traced(pytester, TWO, "--mockstream-trace=failed", "-p", "xdist", "-n2", subprocess=True)

    assert run.tests == ["test_a", "test_b"]
    assert {trace["test"]["worker"] for trace in run.traces()} <= {"gw0", "gw1"}
    for page in ("test_it.py-test_a.html", "test_it.py-test_b.html"):
        assert run.text.count(os.path.join("mockstream-trace", page)) == 1
    assert run.text.count(f"mockstream: 2 traces in mockstream-trace{os.sep}\n") == 1


def test_workers_write_for_a_marker_that_the_controller_never_sees(pytester: pytest.Pytester) -> None:
    needs("xdist")

    run = traced(pytester, MARKED, "-p", "xdist", "-n1", subprocess=True)

    assert run.tests == ["test_a"]
    assert run.text.count(f"mockstream: 1 trace in mockstream-trace{os.sep}\n") == 1


@pytest.mark.slow
def test_folder_that_cannot_be_written_stops_the_controller(pytester: pytest.Pytester) -> None:
    needs("xdist")
    options = ("--mockstream-trace=failed", "--mockstream-trace-dir=test_it.py", "-p", "xdist", "-n1")

    run = traced(pytester, TWO, *options, subprocess=True)

    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    run.result.stderr.fnmatch_lines(["ERROR: --mockstream-trace-dir='test_it.py' cannot be written, *"])


def test_worker_that_crashes_leaves_no_trace_of_the_test_and_no_stale_one(pytester: pytest.Pytester) -> None:
    needs("xdist")
    source = """
        import os
        def test_a(): assert False
        def test_b(): assert os.path.exists("crash") and os._exit(3)
        def test_c(): assert False
    """
    first = traced(pytester, source, "--mockstream-trace=failed")
    assert first.tests == ["test_a", "test_b", "test_c"]
    (pytester.path / "crash").touch()

    run = traced(pytester, source, "--mockstream-trace=failed", "-p", "xdist", "-n1", subprocess=True)

    assert run.tests == ["test_a", "test_c"]
    assert "crashed" in run.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_child_process_of_a_test_writes_and_its_parent_tells(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(FORKS)
    source = """
        import asyncio
        def test_call(): assert False
        async def test_leaks(): asyncio.create_task(asyncio.sleep(100))
        def test_passes(): pass
    """

    run = traced(pytester, source, "--mockstream-trace=failed", subprocess=True)

    assert run.tests == ["test_call", "test_leaks"]
    assert outcomes(run, "test_leaks") == [("failed", ["teardown"])]
    for page in ("test_it.py-test_call.html", "test_it.py-test_leaks.html"):
        assert run.text.count(os.path.join("mockstream-trace", page)) == 1
    assert f"mockstream: 2 traces in mockstream-trace{os.sep}\n" in run.text


# Not to the end.


@pytest.mark.parametrize("option", ["-x", "--maxfail=1"])
def test_run_that_stops_early_has_written_what_failed(pytester: pytest.Pytester, option: str) -> None:
    run = traced(pytester, TWO, "--mockstream-trace=failed", option)

    assert run.tests == ["test_a"]
    assert "mockstream: 1 trace in" in run.text


INTERRUPTED = """
    import pytest

    @pytest.fixture
    def stopping(request):
        if "setup" in request.node.name: {how}
        yield
        if "teardown" in request.node.name: {how}

    def test_a(): assert False
    def test_{phase}(stopping, mock_stream_client):
        mock_stream_client.complete("asked before")
        {how}
    def test_c(): assert False
"""


@pytest.mark.parametrize("mode", ["failed", pytest.param("all", marks=pytest.mark.slow)])
@pytest.mark.parametrize("phase", ["call", "setup", pytest.param("teardown", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        pytest.param("pytest.exit('enough')", "Exit: enough", marks=pytest.mark.slow),
    ],
)
def test_test_that_is_interrupted_has_its_trace_which_is_named(
    pytester: pytest.Pytester, how: str, said: str, phase: str, mode: str
) -> None:
    source = INTERRUPTED.format(how=how, phase=phase)
    if phase == "teardown":
        source = source.replace(f'complete("asked before")\n        {how}', 'complete("asked before")')

    run = traced(pytester, source, f"--mockstream-trace={mode}", subprocess=True)

    name = f"test_{phase}"
    assert run.tests == ["test_a", name]
    assert outcomes(run, name) == [("failed", [phase])]
    (failure,) = run.trace(name)["attempts"][0]["failures"]
    assert said in failure["text"]
    (lane,) = [
        lane
        for lane in run.trace(name)["attempts"][0]["runs"][0]["lanes"]
        if (lane["kind"], lane["name"]) == ("test", phase)
    ]
    assert lane["state"] == "failed"
    page = os.path.join("mockstream-trace", f"test_it.py-{name}.html")
    assert run.text.count(f"mockstream: the test that was interrupted has its trace in {page}\n") == 1
    assert f"mockstream: 2 traces in mockstream-trace{os.sep}\n" in run.text


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="subtests came with pytest 9")
def test_test_that_is_interrupted_after_a_subtest_has_its_trace(pytester: pytest.Pytester) -> None:
    source = """
    def test_it(subtests):
        with subtests.test("one"): pass
        raise KeyboardInterrupt
    """

    run = traced(pytester, source, "--mockstream-trace=failed", subprocess=True)

    assert outcomes(run, "test_it") == [("failed", ["call"])]
    assert "has its trace in" in run.text


def test_debugger_that_is_left_leaves_the_trace_of_what_has_failed(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import pytest\ndef pytest_exception_interact(): pytest.exit('Quitting debugger')")

    run = traced(pytester, "def test_it(): assert False, 'no'", "--mockstream-trace=failed", subprocess=True)

    assert outcomes(run, "test_it") == [("failed", ["call"])]
    assert "Quitting debugger" not in run.trace("test_it")["attempts"][0]["failures"][0]["text"]
    assert "has its trace in" in run.text


# What was noted is not kept.


@pytest.mark.parametrize("mode", ["failed", "all"])
def test_requests_of_a_test_are_let_go_when_it_is_over(pytester: pytest.Pytester, mode: str) -> None:
    pytester.makeconftest("""
        ASKED = []

        def pytest_sessionfinish():
            print("alive:", [request() for request in ASKED])
    """)
    source = """
        import weakref
        from conftest import ASKED

        def test_it(mock_stream_client):
            mock_stream_client.complete("hi")
            ASKED.append(weakref.ref(mock_stream_client.requests[0]))
    """

    run = traced(pytester, source, "-s", f"--mockstream-trace={mode}", subprocess=True)

    assert len(run.files) == (2 if mode == "all" else 0)
    assert "alive: [None]" in run.text


# A run inside of a run.


def test_run_inside_of_a_traced_test_has_traces_of_its_own(pytester: pytest.Pytester) -> None:
    source = """
        import asyncio
        pytest_plugins = ["pytester"]

        INNER = '''
            import asyncio
            async def inner(): pass
            async def test_inner(mock_stream_client):
                await asyncio.create_task(inner(), name="inner task")
                mock_stream_client.complete("inside")
                assert False
        '''

        async def work(): pass

        def test_outer(pytester, mock_stream_client):
            async def main(name):
                await asyncio.create_task(work(), name=name)
            mock_stream_client.complete("before")
            asyncio.run(main("before task"))
            pytester.makeini("[pytest]\\nasyncio_mode = auto")
            pytester.makepyfile(INNER)
            result = pytester.runpytest_inprocess("--mockstream-trace=failed", "-p", "asyncio", "-p", "mockstream")
            result.assert_outcomes(failed=1)
            assert (pytester.path / "mockstream-trace" / "test_outer.py-test_inner.html").exists()
            mock_stream_client.complete("after")
            asyncio.run(main("after task"))
            assert False
    """

    run = traced(pytester, source, "--mockstream-trace=failed", subprocess=True)

    assert run.tests == ["test_outer"]
    assert _happened(run.folder / "test_it.py-test_outer.html") >= {"before task", "after task", "before", "after"}
    (inner,) = run.folder.parent.rglob("test_outer.py-test_inner.html")
    assert _happened(inner) == {"inner task", "inside"}


def _happened(page: Path) -> set[str]:
    """Return the names of the tasks in a trace, and what was asked."""
    (attempt,) = whole(page)["attempts"]
    lanes = attempt["runs"][0]["lanes"]
    tasks = {lane["name"].split("'")[1] for lane in lanes if lane["kind"] == "task"}
    asked = {lane["request"]["body"]["prompt"] for lane in lanes if lane["kind"] == "request"}
    return tasks | asked


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="subtests came with pytest 9")
def test_trace_of_subtests_that_ran_again_is_named(pytester: pytest.Pytester) -> None:
    needs("pytest_rerunfailures")
    source = """
    def test_it(subtests):
        with subtests.test("one"): assert False
    """

    run = traced(pytester, source, "--mockstream-trace=failed", "-p", "rerunfailures", "--reruns=1")

    assert run.text.count(TITLE) == 1
