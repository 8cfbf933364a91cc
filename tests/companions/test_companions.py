"""The table of companions is consistent, what compares can fail, and what is installed here makes no difference."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from environments import Environment

from .play import Player
from .run import _share
from .table import COMPANIONS, OWN, SEEN, Companion, _nothing
from .verdict import PASSED, Verdict, differences, keeps_its_word, promised

each_companion = pytest.mark.parametrize("companion", COMPANIONS, ids=lambda companion: companion.name)
_LEFT = Verdict(("passed", "error"), (("task", "error"),))


# What is installed here.


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Player:
    return Player(Environment.of(Path(sys.executable)), tmp_path_factory.mktemp("companions"))


_SLOW = {"rerunfailures", "hypothesis"}
IN_SUITE = [
    pytest.param(one, id=one.name, marks=[pytest.mark.slow] if one.name in _SLOW else [])
    for one in COMPANIONS
    if one.in_suite
]


@pytest.mark.parametrize("companion", IN_SUITE)
def test_verdicts_are_the_same_beside_it(companion: Companion, player: Player) -> None:
    if not player.environment.has(companion.distributions):
        pytest.skip(f"{' or '.join(companion.requires)} is not installed")

    result = player.play(companion)

    assert result.wrong == [], result.text


# The table.


def _own_tests(companion: Companion) -> list[str]:
    files = sorted(companion.folder.glob("test_*.py")) if companion.folder else []
    return [
        f"{file.name}::{code.name}"
        for file in files
        for code in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(code, ast.FunctionDef | ast.AsyncFunctionDef) and code.name.startswith("test_")
    ]


def test_names_are_unique() -> None:
    assert len({companion.name for companion in COMPANIONS}) == len(COMPANIONS)


@each_companion
def test_a_difference_has_its_reason(companion: Companion) -> None:
    assert bool(companion.because) == (companion.changes is not _nothing)


@each_companion
def test_own_tests_leave_something_and_nothing(companion: Companion) -> None:
    tests = _own_tests(companion)

    if tests:
        assert {bool(companion.of_own.get(test, promised(test)).leaks) for test in tests} == {True, False}
    assert companion.of_own.keys() <= set(tests)


@each_companion
def test_verdicts_on_own_tests_are_not_those_of_their_names(companion: Companion) -> None:
    assert [test for test, verdict in companion.of_own.items() if promised(test) == verdict] == []


def test_every_folder_is_somebodys() -> None:
    assert {path.name for path in OWN.iterdir()} == {one.folder.name for one in COMPANIONS if one.folder}


@each_companion
def test_versions_were_noted(companion: Companion) -> None:
    seen = json.loads(SEEN.read_text(encoding="utf-8"))

    assert list(seen[companion.name]) == ["python", *companion.distributions]


def test_no_versions_are_noted_of_what_is_not_there() -> None:
    assert json.loads(SEEN.read_text(encoding="utf-8")).keys() == {companion.name for companion in COMPANIONS}


@pytest.mark.parametrize("batches", [1, 3, 7, len(COMPANIONS) + 1])
def test_batches_share_all_companions(batches: int) -> None:
    assert [companion for batch in _share(COMPANIONS, batches) for companion in batch] == list(COMPANIONS)


# What compares.


def _compared() -> Iterator[tuple[dict[str, Verdict], dict[str, Verdict], list[str]]]:
    same = {"t.py::test_one": PASSED}
    yield same, same, []
    yield {}, same, ["t.py::test_one: was not run"]
    yield same, {}, ["t.py::test_one: was run (passed, no leak), and nobody expected it"]
    yield {"t.py::test_one": _LEFT}, same, ["t.py::test_one: passed error, task=error; expected: passed, no leak"]


@pytest.mark.parametrize(("said", "expected", "lines"), list(_compared()))
def test_each_difference_is_a_line(said: dict[str, Verdict], expected: dict[str, Verdict], lines: list[str]) -> None:
    assert list(differences(said, expected)) == lines


@pytest.mark.parametrize(
    ("node", "verdict", "kept"),
    [
        ("t.py::test_one", PASSED, True),
        ("t.py::test_one", _LEFT, False),
        ("t.py::test_one", Verdict(("passed",), (("task", "warn"),)), False),
        ("t.py::test_leaves_a_task", _LEFT, True),
        ("t.py::test_leaves_a_task", PASSED, False),
        ("t.py::test_leaves_a_task", Verdict(("passed",), (("task", "error"),)), False),
        ("t.py::test_case[leaves]", _LEFT, True),
    ],
)
def test_names_promise_verdicts(node: str, verdict: Verdict, kept: bool) -> None:
    assert keeps_its_word(node, verdict) is kept


def test_what_a_test_says_that_it_leaves_is_its_kind() -> None:
    assert promised("t.py::test_leaves_a_task") == _LEFT
    assert promised("t.py::test_leaves_a_job_in_a_thread").leaks == (("thread", "error"),)
    assert promised("t.py::test_one") == PASSED
