"""Runs the project beside one companion, and says where a verdict differs from what it is without."""

from __future__ import annotations

import ast
import functools
import json
import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from environments import CLEAN, Environment

from .table import Companion
from .verdict import Verdict, Verdicts, differences, keeps_its_word, promised

PROJECT = Path(__file__).parent / "project"
_ALWAYS = ("asyncio", "mockstream")
_LASTING = {"singleton", "import", "plugin"}  # what these own fails nobody
_LIMIT = 300  # seconds, for one run of pytest


@dataclass
class Run:
    """What one run of pytest gave.

    Attributes:
        verdicts: by test.
        text: what pytest printed.
        status: that it ended with.
    """

    verdicts: Verdicts
    text: str
    status: int | None


@dataclass
class Result:
    """What became of a companion.

    Attributes:
        count: how many tests were judged.
        wrong: a line for each difference.
        text: what pytest printed, where there is one.
    """

    count: int
    wrong: list[str] = field(default_factory=list)
    text: str = ""


class Player:
    """Runs companions in one environment.

    Args:
        environment: that has them.
        folder: for their projects.

    Attributes:
        environment: the same.
    """

    def __init__(self, environment: Environment, folder: Path) -> None:
        self.environment = environment
        self._folder = folder

    @functools.cached_property
    def alone(self) -> Verdicts:
        """The verdicts without any companion, which are what the names of the tests promise."""
        run = self._run(Companion(name="alone", shown=""), self._project("alone", None), ())
        if broken := [node for node, verdict in run.verdicts.items() if not keeps_its_word(node, verdict)]:
            msg = f"without a companion, these get other verdicts than their names promise: {broken}\n{run.text}"
            raise AssertionError(msg)
        if len(run.verdicts) != 35:
            msg = f"{len(run.verdicts)} tests instead of 35 without a companion\n{run.text}"
            raise AssertionError(msg)
        return run.verdicts

    def play(self, companion: Companion) -> Result:
        """Run a companion and compare."""
        project = self._project(companion.name, companion.folder)
        runs = [self._run(companion, project, args) for args in companion.runs]
        expected = _expected(companion, self.alone, runs)
        wrong: list[str] = []
        if companion.again is None:
            wrong += differences(_merged(runs), expected)
        else:
            later = {node: verdict for node, verdict in expected.items() if companion.again(node)}
            wrong += differences(runs[0].verdicts, expected)
            wrong += (f"again: {line}" for run in runs[1:] for line in differences(run.verdicts, later))
        wrong += (f"{test}: was not run" for test in _missing(companion, runs))
        wrong += (f"pytest ended with status {run.status}" for run in runs if run.status != _status(expected))
        wrong += ("pytest has an internal error" for run in runs if "INTERNALERROR" in run.text)
        return Result(len(expected), wrong, "\n".join(run.text for run in runs) if wrong else "")

    def _project(self, name: str, own: Path | None) -> Path:
        project = self._folder / name
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT, project, ignore=ignored)
        if own is not None:
            shutil.copytree(own, project, ignore=ignored, dirs_exist_ok=True)
        return project

    def _run(self, companion: Companion, project: Path, args: Iterable[str]) -> Run:
        outcomes, report = project / "outcomes.json", project / "leaks.json"
        outcomes.unlink(missing_ok=True)
        report.unlink(missing_ok=True)
        others = [name for name in self.environment.plugins if name not in {*_ALWAYS, *companion.plugins}]
        command = [
            *(str(self.environment.python), *companion.python, "-m", "pytest"),
            *(part for name in others for part in ("-p", f"no:{name}")),
            *("-q", f"--mockstream-report={report}", *companion.args, *args),
        ]
        path = os.pathsep.join(filter(None, (str(project), os.environ.get("PYTHONPATH"))))
        env = CLEAN | {"PYTHONPATH": path, "COMPANION_OUTCOMES": str(outcomes), **companion.env}
        status: int | None = None
        with (project / "printed.txt").open("wb") as out:
            try:
                status = subprocess.run(
                    command,
                    check=False,
                    cwd=project,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    timeout=_LIMIT,
                ).returncode
            except subprocess.TimeoutExpired:
                out.write(f"\nnot over after {_LIMIT} s\n".encode())
        text = (project / "printed.txt").read_text(encoding="utf-8", errors="replace")
        return Run(_verdicts(outcomes, report), text, status)


def _verdicts(outcomes: Path, report: Path) -> Verdicts:
    said: dict[str, list[str]] = json.loads(outcomes.read_text(encoding="utf-8")) if outcomes.exists() else {}
    leaks: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    found: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["leaks"] if report.exists() else []
    for leak in found:
        if leak["owner"] not in _LASTING:
            leaks[leak["test"]].append((leak["kind"], leak["outcome"]))
    return {node: Verdict(tuple(said.get(node, ())), tuple(sorted(leaks[node]))) for node in {*said, *leaks}}


def _expected(companion: Companion, alone: Verdicts, runs: Iterable[Run]) -> Verdicts:
    own = {node for run in runs for node in run.verdicts if _is_own(node, companion)}
    expected: dict[str, Verdict] = {}
    for node, verdict in alone.items():
        expected |= companion.changes(node, verdict)
    for node in own - companion.of_own.keys():
        expected |= companion.changes(node, promised(node))
    return {**expected, **companion.of_own}


def _is_own(node: str, companion: Companion) -> bool:
    file = node.partition("::")[0]
    return companion.folder is not None and (companion.folder / file).is_file()


def _missing(companion: Companion, runs: Iterable[Run]) -> Iterable[str]:
    """Yield the tests of a companion's own files that no run had."""
    nodes = [node for run in runs for node in run.verdicts]
    for file in sorted(companion.folder.glob("test_*.py")) if companion.folder else ():
        for code in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(code, ast.FunctionDef | ast.AsyncFunctionDef) and code.name.startswith("test_"):
                ran = (node.rpartition("::")[2].partition("[")[0] for node in nodes if node.startswith(file.name))
                if code.name not in ran:
                    yield f"{file.name}::{code.name}"


def _merged(runs: Iterable[Run]) -> Verdicts:
    merged: dict[str, Verdict] = {}
    for run in runs:
        for node, verdict in run.verdicts.items():
            merged[node] = merged[node] if merged.get(node) == verdict else verdict
    return merged


def _status(expected: Verdicts) -> int:
    return int(any({"error", "failed"} & set(verdict.outcomes) for verdict in expected.values()))
