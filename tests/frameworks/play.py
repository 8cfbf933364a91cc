"""Runs the tests of one framework in its environment, in several orders, and says which did not pass."""

from __future__ import annotations

import ast
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from environments import CLEAN, Environment

from .table import PROJECT

_LIMIT = 600  # seconds, for one run of pytest
_UNINSTALLED = ("PYTHONPATH",)  # what is tested is what is installed there


@dataclass
class Result:
    """What became of a framework's tests.

    Attributes:
        count: how many tests there are.
        runs: how many times pytest was run.
        wrong: a line for each test that did not pass, in each run.
        text: what pytest printed in the runs that something is wrong with.
    """

    count: int = 0
    runs: int = 0
    wrong: list[str] = field(default_factory=list)
    text: str = ""


def play(environment: Environment, own: Path, project: Path, examples: Iterable[str] = ()) -> Result:
    """Run the tests of a folder: in order, backwards, and the first case of each function alone.

    A library makes what it keeps for the process at its first use: each test must pass as the first, too.

    Args:
        environment: that has the framework.
        own: the folder of its tests.
        project: a folder to make, for the project.
        examples: more test files, as they are in the guide.
    """
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(own, project, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    for number, code in enumerate(examples):
        (project / f"test_example_{number}.py").write_text(code, encoding="utf-8")
    result = Result()
    for name, args in _runs(project):
        passed, wrong, text = _run(environment, project, args)
        result.runs += 1
        if name == "in order":
            result.count = passed + len(wrong)
        if wrong:
            result.wrong += (f"{name}: {line}" for line in wrong)
            result.text += text
    return result


def functions(folder: Path) -> Iterator[str]:
    """Yield the tests of a folder, each function once, as pytest names it."""
    for file in sorted(folder.glob("test_*.py")):
        for code in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(code, ast.FunctionDef | ast.AsyncFunctionDef) and code.name.startswith("test_"):
                yield f"{file.name}::{code.name}"


def _runs(folder: Path) -> Iterator[tuple[str, Sequence[str]]]:
    yield "in order", ()
    yield "backwards", ("--backwards",)
    for test in functions(folder):
        yield "alone", ("--first", test)


def _run(environment: Environment, project: Path, args: Sequence[str]) -> tuple[int, list[str], str]:
    """Return how many tests passed, a line for each that did not, and what pytest printed."""
    verdicts = project / "verdicts.xml"
    verdicts.unlink(missing_ok=True)
    command = [str(environment.python), "-m", "pytest", "-q", "-p", "no:randomly", f"--junitxml={verdicts}", *args]
    env = {name: value for name, value in CLEAN.items() if name not in _UNINSTALLED}
    try:
        done = subprocess.run(
            command,
            check=False,
            cwd=project,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_LIMIT,
        )
    except subprocess.TimeoutExpired as error:
        return 0, [f"not over after {_LIMIT} s"], (error.stdout or b"").decode(errors="replace")
    passed, wrong = judged(verdicts)
    if not wrong and (done.returncode or not passed):
        wrong = [f"{passed} tests passed, and pytest ended with status {done.returncode}"]
    return passed, wrong, done.stdout.decode(errors="replace")


def judged(verdicts: Path) -> tuple[int, list[str]]:
    """Read pytest's report in JUnit's format: how many tests passed, and a line for each that did not."""
    wrong: dict[str, str] = {}
    nodes: set[str] = set()
    for case in ElementTree.parse(verdicts).iter("testcase") if verdicts.exists() else ():  # noqa: S314 # our own file
        node = f"{case.get('classname')}::{case.get('name')}"
        nodes.add(node)
        for said in case:
            if said.tag in ("failure", "error", "skipped"):
                first, *_ = [*(said.get("message") or "").splitlines(), ""]
                wrong[node] = f"{node}: {said.tag}: {first[:200]}"
    return len(nodes - wrong.keys()), list(wrong.values())
