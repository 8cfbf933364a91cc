"""Every scenario gets the verdict that it declares, in every setup in which it may differ.

One run of pytest plays a file in one setup; each scenario in it is a test here.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scenarios.verdict import Verdict, declared

HERE = Path(__file__).parent / "scenarios"
TASKS_THREADS_STREAMS = frozenset({"task", "thread", "stream"})
EVERY_KIND = TASKS_THREADS_STREAMS | {
    "asyncgen",
    "coroutine",
    "exception",
    "loop",
    "process",
    "reader",
    "server",
    "socket",
    "timer",
}
INTERRUPTED, FAILED, PASSED, HUNG = 2, 1, 0, -1


@dataclass(frozen=True)
class Setup:
    """How pytest is set up.

    Attributes:
        name: as the test ids show it.
        args: for the command line.
        scope: of the loops of tests and fixtures.
        mode: of pytest-asyncio.
        without: the plugins that are switched off.
        kinds: that the check looks for.
        needs: the module without which there is no such setup.
    """

    name: str
    args: tuple[str, ...] = ()
    scope: str = "function"
    mode: str = "auto"
    without: tuple[str, ...] = ("randomly", "looptime_plugin", "xdist", "rerunfailures", "timeout", "run-parallel")
    kinds: frozenset[str] = TASKS_THREADS_STREAMS
    needs: str = ""

    def ini(self) -> str:
        """Return the configuration file."""
        lines = [
            "[pytest]",
            f"asyncio_mode = {self.mode}",
            f"asyncio_default_test_loop_scope = {self.scope}",
            f"asyncio_default_fixture_loop_scope = {self.scope}",
            "mockstream_grace = 2",
        ]
        if optional := sorted(self.kinds - TASKS_THREADS_STREAMS):
            lines.append(f"mockstream_leak_kinds = {' '.join(optional)}")
        return "\n".join(lines)

    def arguments(self) -> list[str]:
        """Return the command line, without files."""
        switched_off = [arg for name in self.without for arg in ("-p", f"no:{name}")]
        return [*switched_off, "-p", "no:cacheprovider", "-p", "scenarios.recorder", *self.args]


def _with(*plugins: str) -> tuple[str, ...]:
    """Return what plugins are off when some are wanted."""
    return tuple(name for name in Setup("").without if name not in plugins)


AUTO = Setup("auto")
STRICT = Setup("strict", mode="strict")
MODULE_LOOP = Setup("module-loop", scope="module")
SESSION_LOOP = Setup("session-loop", scope="session")
STRICT_SESSION_LOOP = Setup("strict-session-loop", scope="session", mode="strict")
UVLOOP = Setup("uvloop", ("-p", "scenarios.loops_of_uvloop"), needs="uvloop")
UVLOOP_SESSION_LOOP = Setup("uvloop-session-loop", UVLOOP.args, scope="session", needs="uvloop")
EAGER = Setup("eager", ("-p", "scenarios.eager_loops"))
EAGER_SESSION_LOOP = Setup("eager-session-loop", EAGER.args, scope="session")
XDIST = Setup("xdist", ("-n", "2"), without=_with("xdist"))
RANDOM = Setup("random", ("-p", "randomly"), without=_with("randomly"))
RERUNS = Setup("reruns", without=_with("rerunfailures"))
TIMEOUT = Setup("timeout", without=_with("timeout"))
VIRTUAL = Setup("virtual-time", ("--looptime",), without=_with("looptime_plugin"))
PARALLEL = Setup("parallel", ("--parallel-threads=2",), without=_with("run-parallel"), needs="pytest_run_parallel")
EVERY = Setup("every-kind", kinds=EVERY_KIND)
DOCTEST = Setup("doctest", ("--doctest-modules",))
BARE = Setup("bare-items", ("-p", "scenarios.bare_items"))
REFUSING = Setup("refusing-hook", ("-p", "scenarios.refusing_setup"))
HOOKED = Setup("setup-hook", ("-p", "scenarios.busy_setup"))
NESTED = Setup("nested", ("-p", "pytester"))
FIRST_FAILURE = Setup("maxfail", ("--maxfail=1",))
CRASH = Setup("crash", ("-n", "1"), without=_with("xdist"))
DEBUG = Setup("pdb", ("--pdb", "--pdbcls=scenarios.silent_debugger:SilentDebugger"))

EVERY_LOOP = [AUTO, STRICT, MODULE_LOOP, SESSION_LOOP, STRICT_SESSION_LOOP, UVLOOP, UVLOOP_SESSION_LOOP]
if sys.version_info >= (3, 12):
    EVERY_LOOP += [EAGER, EAGER_SESSION_LOOP]


@dataclass(frozen=True)
class Run:
    """One run of pytest.

    Attributes:
        file: the scenarios' module.
        setup: how they are run.
        only: the tests that are run; empty for all.
        exit_code: that pytest ends with.
        unmet: what keeps it from ending so, for now.
        races: whether that does so now and then only.
    """

    file: str
    setup: Setup
    only: tuple[str, ...] = ()
    exit_code: int = FAILED
    unmet: str = ""
    races: bool = False

    @property
    def path(self) -> str:
        """The file, as node ids show it."""
        return f"scenarios/{self.file}.py"

    @property
    def name(self) -> str:
        """As the test ids show it."""
        return "-".join([self.file.removeprefix("scenario_"), self.setup.name, *self.only[:1]])

    def targets(self) -> list[str]:
        """Return what pytest is told to run."""
        return [f"{self.path}::{name}" for name in self.only] or [self.path]


RUNS = [
    *(Run("scenario_tasks", setup) for setup in [*EVERY_LOOP, XDIST, RANDOM]),
    *(Run("scenario_streams", setup) for setup in [AUTO, SESSION_LOOP, UVLOOP, XDIST]),
    *(Run("scenario_scopes", setup) for setup in [AUTO, STRICT, UVLOOP]),
    *(Run("scenario_threads", setup) for setup in [AUTO, XDIST]),
    Run("scenario_just_started", AUTO),
    *(Run("scenario_sync_loops", setup) for setup in [AUTO, EVERY]),
    Run("scenario_optional", EVERY),
    Run("scenario_optional", AUTO, exit_code=PASSED),
    Run("scenario_unittest", AUTO),
    Run("scenario_subtests", AUTO),
    Run("scenario_anyio", STRICT),
    Run("scenario_doctests", DOCTEST),
    Run("scenario_bare_items", BARE),
    Run("scenario_setup_hook", HOOKED),
    Run("scenario_skips", REFUSING),
    Run("scenario_nested", NESTED),
    Run("scenario_reruns", RERUNS),
    Run("scenario_timeout", TIMEOUT),
    Run("scenario_virtual_time", VIRTUAL),
    Run("scenario_parallel", PARALLEL),
    Run("scenario_exemptions", AUTO),
    Run("scenario_debugger", DEBUG),
    Run("scenario_endings", AUTO, ("test_interrupt_after_a_task",), INTERRUPTED),
    Run("scenario_endings", AUTO, ("test_interrupt_after_a_thread",), INTERRUPTED),
    Run("scenario_endings", AUTO, ("test_exit_after_a_thread",), INTERRUPTED),
    Run("scenario_endings", AUTO, ("test_failure_after_a_thread",)),
    Run("scenario_endings", FIRST_FAILURE, ("test_stops_the_run", "test_is_never_run")),
    Run("scenario_endings", CRASH, ("test_runs_beside_a_crash", "test_crashes_its_worker")),
]
if hasattr(os, "fork"):
    RUNS.append(Run("scenario_fork", AUTO))


@dataclass
class Result:
    """What one run gave.

    Attributes:
        text: what pytest printed.
        exit_code: its exit code.
        leaks: of the JSON report.
        stale: exemptions, of the same.
        outcomes: what pytest said, by test.
        warnings: the categories of warnings, by test.
        texts: the reports, by test.
    """

    text: str
    exit_code: int
    leaks: list[dict[str, Any]] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    outcomes: dict[str, list[str]] = field(default_factory=dict)
    warnings: dict[str, list[str]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """One verdict on one test in one run."""

    run: Run
    test: str
    verdict: Verdict

    @property
    def node(self) -> str:
        """The node id inside the run."""
        case = f"[{self.verdict.case}]" if self.verdict.case else ""
        return f"{self.run.path}::{self.test}{case}"

    @property
    def kinds(self) -> list[str]:
        """The kinds that are expected in this setup."""
        return [kind for kind in self.verdict.kinds if kind in self.run.setup.kinds]

    @property
    def unmet(self) -> str:
        """The fact that the check does not meet yet; empty if it does."""
        return self.verdict.unmet.get(self.run.setup.name, self.verdict.unmet.get("*", ""))

    @property
    def races(self) -> bool:
        """Whether that fact is met now and then."""
        return self.verdict.races

    def blamed(self, result: Result) -> list[dict[str, Any]]:
        """Return the leaks that are this scenario's."""
        if self.verdict.wide:
            return [leak for leak in result.leaks if leak["owner"] == self.verdict.owner]
        return [leak for leak in result.leaks if leak["test"] == self.node and not _is_wide(leak)]

    def wanted(self) -> dict[str, object]:
        """Return what the verdict says, as ``seen`` does."""
        verdict, kinds = self.verdict, self.kinds
        silenced = bool(verdict.kinds) and not kinds
        return {
            "leaks": [(kind, verdict.owner, verdict.reported) for kind in kinds],
            "leaks made elsewhere": [],
            "outcomes": list(verdict.outcomes[:1] if silenced else verdict.outcomes),
            "says": "" if silenced else verdict.says,
            "warns": verdict.warns,
            "stale": verdict.stale,
        }

    def seen(self, result: Result) -> dict[str, object]:
        """Return what pytest and the report say."""
        verdict, blamed = self.verdict, self.blamed(result)
        return {
            "leaks": sorted((leak["kind"], leak["owner"], leak["outcome"]) for leak in blamed),
            "leaks made elsewhere": [leak["created_at"] for leak in blamed if not _made_at(leak, verdict.at)],
            "outcomes": result.outcomes.get(self.node, []),
            "says": verdict.says if re.search(verdict.says, result.texts.get(self.node, ""), re.DOTALL) else "",
            "warns": verdict.warns if verdict.warns in result.warnings.get(self.node, []) else "",
            "stale": self.node in result.stale,
        }

    def shown(self, result: Result) -> str:
        """Return what a reader wants to see of the inner run."""
        return f"{self.node}\n{json.dumps(self.blamed(result), indent=1)}\n{result.texts.get(self.node, result.text)}"


def _is_wide(leak: dict[str, Any]) -> bool:
    owner: str = leak["owner"]
    return owner.startswith("fixture:") and not owner.endswith(":function")


def _module(file: str) -> ModuleType:
    return importlib.import_module(f"scenarios.{file}")


def _functions(module: ModuleType) -> Iterator[tuple[str, object]]:
    for name, value in vars(module).items():
        if not isinstance(value, type):
            yield name, value
        elif value.__module__ == module.__name__:
            yield from ((f"{name}::{method}", function) for method, function in vars(value).items())


def _scenarios(run: Run) -> Iterator[Scenario]:
    for name, function in _functions(_module(run.file)):
        if not run.only or name in run.only:
            test = f"scenarios.{run.file}.{name}" if run.setup is DOCTEST else name
            yield from (Scenario(run, test, verdict) for verdict in declared(function))


def _parameter(value: Run | Scenario, run: Run, name: str) -> Any:
    """Return a parameter whose tests go to one worker of xdist, so that one of them plays the run for all."""
    marks = [pytest.mark.xdist_group(run.name)]
    if value.unmet:
        marks.append(pytest.mark.xfail(strict=not value.races, reason=value.unmet))
    return pytest.param(value, id=name, marks=marks)


def _scenario_name(scenario: Scenario) -> str:
    return "-".join(filter(None, [scenario.run.name, scenario.test.replace("::", "."), scenario.verdict.case]))


Play = Callable[[Run], Result]


@pytest.fixture(scope="session")
def results() -> dict[str, Result]:
    """What was played already, by the run's name."""
    return {}


@pytest.fixture
def play(results: dict[str, Result], request: pytest.FixtureRequest) -> Play:
    """Play a file in a setup, unless that was done already."""

    def play(run: Run) -> Result:
        if run.setup.needs and importlib.util.find_spec(run.setup.needs) is None:
            pytest.skip(f"{run.setup.needs} is not installed")
        if run.name not in results:
            results[run.name] = _play(run, request.getfixturevalue("pytester"))
        return results[run.name]

    return play


def _play(run: Run, pytester: pytest.Pytester) -> Result:
    shutil.copytree(HERE, pytester.path / "scenarios", ignore=shutil.ignore_patterns("__pycache__"))
    pytester.makefile(".ini", pytest=run.setup.ini())
    report, outcomes = pytester.path / "report.json", pytester.path / "outcomes.json"
    arguments = [*run.setup.arguments(), f"--mockstream-report={report}", f"--outcomes={outcomes}", *run.targets()]
    try:
        ran = pytester.runpytest_subprocess(*arguments, timeout=60)
    except pytester.TimeoutExpired as error:
        return Result(f"{error}\n{(pytester.path / 'stdout').read_text(encoding='utf-8')}", HUNG)
    result = Result(f"{ran.stdout}\n{ran.stderr}", ran.ret)
    if outcomes.exists():
        vars(result).update(json.loads(outcomes.read_text(encoding="utf-8")))
    if report.exists():
        found = json.loads(report.read_text(encoding="utf-8"))
        result.leaks, result.stale = found["leaks"], found["stale"]
    return result


@pytest.mark.parametrize("scenario", [_parameter(s, run, _scenario_name(s)) for run in RUNS for s in _scenarios(run)])
def test_scenario_gets_its_verdict(scenario: Scenario, play: Play) -> None:
    result = play(scenario.run)

    assert scenario.seen(result) == scenario.wanted(), scenario.shown(result)


def _made_at(leak: dict[str, Any], at: str | None) -> bool:
    """Return whether the report names a line of the scenarios, and the one that was meant."""
    if at is None:
        return True
    file, _, line = (leak["created_at"] or "").rpartition(":")
    path = HERE.parent / file
    if not line.isdigit() or not path.is_file():
        return False
    return at in path.read_text(encoding="utf-8").splitlines()[int(line) - 1]


@pytest.mark.parametrize("run", [_parameter(run, run, run.name) for run in RUNS])
def test_run_ends_as_it_should_and_blames_nobody_else(run: Run, play: Play) -> None:
    result = play(run)
    scenarios = list(_scenarios(run))
    nodes, owners = {s.node for s in scenarios}, {s.verdict.owner for s in scenarios}
    strangers = [leak for leak in result.leaks if leak["test"] not in nodes and leak["owner"] not in owners]

    assert result.exit_code == run.exit_code, result.text
    assert strangers == [], result.text
    assert "INTERNALERROR" not in result.text, result.text


def _verdicts() -> list[Verdict]:
    files = {run.file for run in RUNS}
    return [verdict for file in files for _, function in _functions(_module(file)) for verdict in declared(function)]


def test_every_row_is_shown() -> None:
    shown = {row for verdict in _verdicts() for row in verdict.rows}

    assert sorted(set(range(1, 97)) - shown) == ([] if sys.version_info >= (3, 12) else [9])


def test_every_leak_has_a_clean_twin() -> None:
    leaking = {row for verdict in _verdicts() if verdict.kinds for row in verdict.rows}
    silent = {row for verdict in _verdicts() if not verdict.kinds for row in verdict.rows}

    assert leaking - silent == set()
