"""How an old suite begins: one test at a time, only with what is new, or with advice."""

from __future__ import annotations

import tomllib

import pytest
from leak_runs import Run, Runner

LEAKING = """
def start():
    leak_thread()
def test_a(): start()
def test_b(): start()
async def test_c(): leak_task()
def test_clean(): pass
"""
KNOWN = "--mockstream-known=leaks.toml"
UPDATE = "--mockstream-known-update"
NEW = """
def test_new():
    threading.Thread(target=time.sleep, args=(3,), daemon=True).start()
"""


def entries(pytester: pytest.Pytester) -> list[dict[str, object]]:
    """Return what the file knows."""
    content = tomllib.loads((pytester.path / "leaks.toml").read_text(encoding="utf-8"))
    found: list[dict[str, object]] = content.get("leak", [])
    return found


def outcomes(run: Run) -> set[tuple[str, str]]:
    """Return which test leaked, and what became of that."""
    return {(test, outcome) for test, _, _, outcome in run.leaks}


# One test at a time.


@pytest.mark.parametrize("place", ["test", "class", "module"])
def test_marker_asserts_where_the_check_is_off(place: str, run_leaks: Runner) -> None:
    marker = "pytest.mark.assert_no_leaks"
    source = f"""
{"pytestmark = " + marker if place == "module" else ""}
{"@" + marker if place == "class" else ""}
class TestIt:
    {"@" + marker if place == "test" else ""}
    def test_leaks(self): leak_thread()
    {"@" + marker if place == "test" else ""}
    async def test_leaks_a_task(self): leak_task()
    {"@" + marker if place == "test" else ""}
    def test_clean(self): pass
"""
    run = run_leaks(source, ini="mockstream_leaks = off\n")

    run.result.assert_outcomes(passed=3, errors=2)
    assert "LeakError: test_leaks left 1 thing running" in run.text
    assert "LeakError: test_leaks_a_task left 1 thing running" in run.text


def test_nothing_else_is_watched_where_the_check_is_off(run_leaks: Runner) -> None:
    source = """
import asyncio.runners, _thread
BEFORE = threading.Thread.start, asyncio.Runner.close
def test_before():
    leak_thread()
    assert (threading.Thread.start, asyncio.Runner.close) == BEFORE
@pytest.mark.assert_no_leaks
def test_watched():
    assert threading.Thread.start is not BEFORE[0]
def test_after():
    leak_thread()
    assert (threading.Thread.start, asyncio.Runner.close) == BEFORE
"""
    run = run_leaks(source, ini="mockstream_leaks = off\n")

    run.result.assert_outcomes(passed=3)


def test_run_without_marked_tests_loads_nothing_of_the_check_where_it_is_off(run_leaks: Runner) -> None:
    source = "import sys\ndef test_it(): assert 'pytest_mockstream.leaks' not in sys.modules\n"

    run_leaks(source, "--mockstream-leaks=off").result.assert_outcomes(passed=1)


def test_fixture_of_another_test_is_not_judged_where_the_check_is_off(run_leaks: Runner) -> None:
    source = """
@pytest.fixture(scope="session")
def server():
    over = leak_thread()
    yield
@pytest.mark.assert_no_leaks
def test_marked(server): pass
def test_other(server): pass
@pytest.mark.assert_no_leaks
def test_last(): pass
"""
    run_leaks(source, "--mockstream-leaks=off").result.assert_outcomes(passed=3)


def test_bad_marker_is_told_where_the_check_is_off(run_leaks: Runner) -> None:
    run = run_leaks("@pytest.mark.assert_no_leaks(gracee=1)\ndef test_it(): pass\n", "--mockstream-leaks=off")

    run.result.assert_outcomes(errors=1)
    assert "did you mean 'grace'?" in run.text


# Only what is new.


def test_known_leaks_fail_nobody_and_new_ones_do(run_leaks: Runner, pytester: pytest.Pytester) -> None:
    first = run_leaks(LEAKING, KNOWN, UPDATE)
    written = entries(pytester)
    second = run_leaks(LEAKING + NEW, KNOWN)

    first.result.assert_outcomes(passed=4)
    assert [(entry["kind"], entry["count"], entry["tests"], entry["reason"]) for entry in written] == [
        ("task", 1, ["test_it.py"], ""),
        ("thread", 2, ["test_it.py"], ""),
    ]
    second.result.assert_outcomes(passed=5, errors=1)
    assert outcomes(second) == {("test_a", "known"), ("test_b", "known"), ("test_c", "known"), ("test_new", "error")}
    assert "leaks.toml: 2 of 2 known lines leaked, 3 times" in second.text
    assert entries(pytester) == written


def test_known_leak_is_found_again_in_a_moved_line_and_in_a_renamed_test(run_leaks: Runner) -> None:
    run_leaks(LEAKING, KNOWN, UPDATE)
    moved = "\n\n# moved\n" + LEAKING.replace("test_c", "test_renamed").replace("test_a", "test_b2")

    run = run_leaks(moved, KNOWN)

    run.result.assert_outcomes(passed=4)
    assert {outcome for _, outcome in outcomes(run)} == {"known"}


def test_what_is_gone_is_named_and_taken_out(run_leaks: Runner, pytester: pytest.Pytester) -> None:
    run_leaks(LEAKING, KNOWN, UPDATE)
    mended = LEAKING.replace("async def test_c(): leak_task()", "async def test_c(): pass")

    named = run_leaks(mended, KNOWN)
    before = entries(pytester)
    run_leaks(mended, KNOWN, UPDATE)

    assert "  gone: test_it.py:" in named.text
    assert f"take them out with {UPDATE}" in named.text
    assert len(before) == 2
    assert [entry["kind"] for entry in entries(pytester)] == ["thread"]


def test_update_adds_nothing_and_keeps_reasons(run_leaks: Runner, pytester: pytest.Pytester) -> None:
    run_leaks(LEAKING, KNOWN, UPDATE)
    path = pytester.path / "leaks.toml"
    path.write_text(path.read_text().replace('reason = ""', 'reason = "#1"'))

    run = run_leaks(LEAKING + NEW, KNOWN, UPDATE)

    run.result.assert_outcomes(passed=5, errors=1)
    assert [entry["reason"] for entry in entries(pytester)] == ["#1", "#1"]


@pytest.mark.parametrize(
    "part",
    [
        ("-k", "test_a"),
        pytest.param(("test_it.py::test_a",), marks=pytest.mark.slow),
        pytest.param(("--deselect", "test_it.py::test_c"), marks=pytest.mark.slow),
    ],
)
def test_part_of_a_run_takes_nothing_out(part: tuple[str, ...], run_leaks: Runner, pytester: pytest.Pytester) -> None:
    run_leaks(LEAKING, KNOWN, UPDATE)

    run = run_leaks(LEAKING, KNOWN, UPDATE, *part)

    assert len(entries(pytester)) == 2
    assert "gone" not in run.text


def test_file_that_is_gone_takes_its_entries_along(run_leaks: Runner, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_other="import threading\ndef test_it(): threading.Thread(target=threading.Event().wait, "
        "args=(3,), daemon=True).start()\n"
    )
    run_leaks(LEAKING, KNOWN, UPDATE)
    (pytester.path / "test_other.py").unlink()

    run_leaks(LEAKING, KNOWN, UPDATE)

    assert len(entries(pytester)) == 2


def test_known_leaks_work_with_workers(run_leaks: Runner, pytester: pytest.Pytester) -> None:
    run_leaks(LEAKING, KNOWN, UPDATE, "-p", "xdist", "-n2")
    written = entries(pytester)

    run = run_leaks(LEAKING + NEW, KNOWN, "-p", "xdist", "-n2")

    assert sorted(str(entry["kind"]) for entry in written) == ["task", "thread"]
    run.result.assert_outcomes(passed=5, errors=1)


def test_known_leaks_work_with_reruns(run_leaks: Runner, pytester: pytest.Pytester) -> None:
    run_leaks(LEAKING, KNOWN, UPDATE, "-p", "rerunfailures", "--reruns=1")

    run = run_leaks(LEAKING, KNOWN, "-p", "rerunfailures", "--reruns=1")

    run.result.assert_outcomes(passed=4)
    assert len(entries(pytester)) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "leaks.toml is not there: write it with --mockstream-known-update"),
        ("version = 1\n[[leak]\n", "leaks.toml cannot be read"),
        ("version = 2\n", "version=2 of a list of known leaks is not 1"),
        ("version = 1\n[[leak]]\nkind = 'task'\n", "entry 1: count is missing"),
    ],
)
def test_file_that_cannot_be_used_is_refused_at_the_start(
    content: str | None, said: str, run_leaks: Runner, pytester: pytest.Pytester
) -> None:
    if content is not None:
        (pytester.path / "leaks.toml").write_text(content)

    run = run_leaks(LEAKING, KNOWN)

    assert said in run.result.stderr.str()
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR


def test_update_without_a_file_is_refused(run_leaks: Runner) -> None:
    run = run_leaks(LEAKING, UPDATE)

    run.result.stderr.fnmatch_lines(["*--mockstream-known-update updates the file that --mockstream-known names*"])


# The first run.


MANY = (
    LEAKING
    + NEW
    + """
async def test_d():
    KEPT.append(asyncio.create_task(asyncio.sleep(60)))
"""
)


def test_first_run_of_a_suite_that_leaks_in_many_places_says_what_to_do(run_leaks: Runner) -> None:
    run = run_leaks(MANY)

    run.result.stdout.fnmatch_lines(
        [
            "4 lines leak, most often: test_it.py:* (2), *",
            "  let only new leaks fail:  pytest --mockstream-known=leaks.toml --mockstream-known-update",
            "  only report:              pytest --mockstream-leaks=warn",
        ]
    )


@pytest.mark.parametrize("decided", ["mockstream_leaks = error\n", "mockstream_leaks = warn\n"])
def test_suite_that_has_decided_gets_no_advice(decided: str, run_leaks: Runner) -> None:
    assert "Next steps" not in run_leaks(MANY, ini=decided).text


def test_suite_that_leaks_in_few_places_gets_no_advice(run_leaks: Runner) -> None:
    assert "Next steps" not in run_leaks(LEAKING).text
