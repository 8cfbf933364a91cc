"""The table of frameworks is consistent, and what runs and judges their tests can fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from environments import Environment
from guide.pages import blocks

from .play import functions, judged, play
from .table import FRAMEWORKS, OWN, PAGE, SEEN, Framework

each_framework = pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda framework: framework.name)


# The table.


def test_names_are_unique() -> None:
    assert len({framework.name for framework in FRAMEWORKS}) == len(FRAMEWORKS)


def test_every_folder_is_somebodys() -> None:
    assert {path.name for path in OWN.iterdir()} == {framework.name for framework in FRAMEWORKS}


@each_framework
def test_each_shows_an_answer_a_tool_loop_and_a_fault(framework: Framework) -> None:
    shown = " ".join(functions(framework.folder))

    assert "::test_answer" in shown or "::test_tokens" in shown or "::test_object" in shown or "::test_pred" in shown
    assert "::test_tool_loop" in shown or "::test_function_that_the_model_calls" in shown or "by_a_tool" in shown
    assert "::test_overload" in shown
    assert "::test_connection_lost" in shown


def test_each_example_of_the_guide_is_run_with_its_framework() -> None:
    shown = [block.code for block in blocks(PAGE) if block.is_test]

    assert shown
    assert sorted(shown) == sorted(code for framework in FRAMEWORKS for code in framework.examples)


@each_framework
def test_versions_were_noted(framework: Framework) -> None:
    seen = json.loads(SEEN.read_text(encoding="utf-8"))

    assert list(seen[framework.name]) == ["python", *framework.distributions]


def test_no_versions_are_noted_of_what_is_not_there() -> None:
    assert json.loads(SEEN.read_text(encoding="utf-8")).keys() == {framework.name for framework in FRAMEWORKS}


# What runs and judges.

_FIRST_MUST_BE_FIRST = """
import threading
seen = []

def test_first():
    assert not seen

def test_second():
    seen.append(2)

def test_leaves_a_thread():
    threading.Thread(target=threading.Event().wait, daemon=True).start()
"""


@pytest.mark.slow
def test_what_does_not_pass_in_some_order_is_a_line(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "test_it.py").write_text(_FIRST_MUST_BE_FIRST)

    result = play(Environment.of(Path(sys.executable)), own, tmp_path / "project")

    assert (result.count, result.runs) == (3, 5)
    assert [line.partition(": failed")[0][:40].rstrip() for line in result.wrong] == [
        "in order: test_it::test_leaves_a_thread:",
        "backwards: test_it::test_leaves_a_thread",
        "backwards: test_it::test_first: failure:",
        "alone: test_it::test_leaves_a_thread: er",
    ]


_REPORT = """<testsuites><testsuite>
<testcase classname="t" name="test_passes"/>
<testcase classname="t" name="test_fails"><failure message="AssertionError: no&#10;more"/></testcase>
<testcase classname="t" name="test_leaks"/>
<testcase classname="t" name="test_leaks"><error message="LeakError"/></testcase>
<testcase classname="t" name="test_skips"><skipped message="no such SDK"/></testcase>
</testsuite></testsuites>"""


def test_only_what_passed_has_passed(tmp_path: Path) -> None:
    report = tmp_path / "verdicts.xml"
    report.write_text(_REPORT)

    assert judged(report) == (
        1,
        [
            "t::test_fails: failure: AssertionError: no",
            "t::test_leaks: error: LeakError",
            "t::test_skips: skipped: no such SDK",
        ],
    )


def test_nothing_has_passed_where_there_is_no_report(tmp_path: Path) -> None:
    assert judged(tmp_path / "verdicts.xml") == (0, [])
