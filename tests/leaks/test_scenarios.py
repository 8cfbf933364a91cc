"""Every scenario gets the verdict that it declares, in every setup in which it may differ.

Each test here is one run of pytest, in a process of its own, that plays scenarios in one setup. What leaks has a short
grace period, which it uses up, and its clean twin a long one, which it never does: that is fast, and steady under load.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scenarios.verdict import Verdict, declared

from pytest_mockstream.leaks import DEFAULT_KINDS, KINDS

HERE = Path(__file__).parent / "scenarios"
INTERRUPTED, FAILED, PASSED = 2, 1, 0


@dataclass(frozen=True)
class Setup:
    """How pytest is set up.

    Attributes:
        name: as the test ids show it.
        plugins: besides pytest-asyncio and ours; the others that are installed are not loaded.
        args: for the command line.
        scope: of the loops of tests and fixtures.
        mode: of pytest-asyncio.
        kinds: that the check looks for.
        needs: the module without which there is no such setup.
        grace: seconds; short where the scenarios cannot say it, and their twins end all that they begin.
    """

    name: str
    plugins: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    scope: str = "function"
    mode: str = "auto"
    kinds: tuple[str, ...] = DEFAULT_KINDS
    needs: str = ""
    grace: float = 5

    def ini(self) -> str:
        """Return the configuration file."""
        lines = [
            "[pytest]",
            f"asyncio_mode = {self.mode}",
            f"asyncio_default_test_loop_scope = {self.scope}",
            f"asyncio_default_fixture_loop_scope = {self.scope}",
            f"mockstream_grace = {self.grace}",
        ]
        if optional := [kind for kind in self.kinds if kind not in DEFAULT_KINDS]:
            lines.append(f"mockstream_leak_kinds = {' '.join(optional)}")
        return "\n".join(lines)

    def arguments(self) -> list[str]:
        """Return the command line, without files."""
        loaded = ("no:cacheprovider", "asyncio", "mockstream", *self.plugins, "scenarios.recorder")
        return [*(arg for name in loaded for arg in ("-p", name)), *self.args]


AUTO = Setup("auto")
STRICT = Setup("strict", mode="strict")
MODULE_LOOP = Setup("module-loop", scope="module")
SESSION_LOOP = Setup("session-loop", scope="session")
STRICT_SESSION_LOOP = Setup("strict-session-loop", scope="session", mode="strict")
UVLOOP = Setup("uvloop", ("scenarios.loops_of_uvloop",), needs="uvloop")
UVLOOP_SESSION_LOOP = Setup("uvloop-session-loop", UVLOOP.plugins, scope="session", needs="uvloop")
EAGER = Setup("eager", ("scenarios.eager_loops",))
EAGER_SESSION_LOOP = Setup("eager-session-loop", EAGER.plugins, scope="session")
XDIST = Setup("xdist", ("xdist",), ("-n", "2", "--dist=loadfile"))
RANDOM = Setup("random", ("randomly",))
TIMEOUT = Setup("timeout", ("timeout",), ("--timeout=600", "--timeout-method=thread"))
RERUNS = Setup("reruns", ("rerunfailures",))
ANYIO = Setup("anyio", ("anyio",), mode="strict")
VIRTUAL = Setup("virtual-time", ("looptime_plugin",), ("--looptime",))
PARALLEL = Setup("parallel", ("run-parallel",), ("--parallel-threads=8",), needs="pytest_run_parallel")
EVERY_KIND = Setup("every-kind", kinds=KINDS)
DOCTEST = Setup("doctest", args=("--doctest-modules",), grace=0.05)
BARE = Setup("bare-items", ("scenarios.bare_items",), grace=0.05)
REFUSING = Setup("refusing-hook", ("scenarios.refusing_setup",))
HOOKED = Setup("setup-hook", ("scenarios.busy_setup",))
NESTED = Setup("nested", ("pytester",))
FIRST_FAILURE = Setup("maxfail", args=("--maxfail=1",))
SHORT = Setup("short-grace", grace=0.05)
SHORT_XDIST = Setup("short-grace-xdist", XDIST.plugins, XDIST.args, grace=0.05)
CRASH = Setup("crash", ("xdist",), ("-n", "1"))
DEBUG = Setup("pdb", args=("--pdb", "--pdbcls=scenarios.silent_debugger:SilentDebugger"), grace=0.05)

EVERY_LOOP = [AUTO, STRICT, MODULE_LOOP, SESSION_LOOP, STRICT_SESSION_LOOP, UVLOOP, UVLOOP_SESSION_LOOP]
if sys.version_info >= (3, 12):
    EVERY_LOOP += [EAGER, EAGER_SESSION_LOOP]

#: What may be played in any setup, and in any order; and what may be in any setup.
ANYWHERE: tuple[str, ...] = ("tasks", "streams", "sync_loops", "threads", "unittest", "exemptions")
if pytest.version_tuple >= (9,):  # it has brought the fixture subtests
    ANYWHERE += ("subtests",)
IN_ORDER = (*ANYWHERE, "just_started", "scopes")


@dataclass(frozen=True)
class Run:
    """One run of pytest.

    Attributes:
        setup: how the scenarios are run.
        files: their modules, without what all of them begin with.
        only: the tests that are run; empty for all.
        exit_code: that pytest ends with.
    """

    setup: Setup
    files: tuple[str, ...]
    only: tuple[str, ...] = ()
    exit_code: int = FAILED

    @property
    def name(self) -> str:
        """As the test ids show it."""
        files = self.files if len(self.files) == 1 else ()
        return "-".join([self.setup.name, *files, *self.only[:1]])

    def targets(self) -> list[str]:
        """Return what pytest is told to run."""
        return [f"{_path(file)}{test}" for file in self.files for test in ([f"::{t}" for t in self.only] or [""])]


RUNS = [
    *(Run(setup, IN_ORDER) for setup in [*EVERY_LOOP, TIMEOUT, RERUNS]),
    *(Run(setup, ANYWHERE) for setup in [XDIST, RANDOM]),
    Run(XDIST, ("scopes",)),
    *(Run(setup, ("forgotten",)) for setup in [SHORT, SHORT_XDIST]),
    Run(EVERY_KIND, ("optional", "sync_loops")),
    Run(AUTO, ("optional",), exit_code=PASSED),
    Run(ANYIO, ("anyio",)),
    Run(DOCTEST, ("doctests",)),
    Run(BARE, ("bare_items",)),
    Run(HOOKED, ("setup_hook",)),
    Run(REFUSING, ("skips",)),
    Run(NESTED, ("nested",)),
    Run(RERUNS, ("reruns",)),
    Run(TIMEOUT, ("timeout",)),
    Run(VIRTUAL, ("virtual_time",)),
    Run(PARALLEL, ("parallel",)),
    Run(DEBUG, ("debugger",)),
    Run(AUTO, ("endings",), ("test_interrupt_after_a_task",), INTERRUPTED),
    Run(AUTO, ("endings",), ("test_interrupt_after_a_thread",), INTERRUPTED),
    Run(AUTO, ("endings",), ("test_exit_after_a_thread",), INTERRUPTED),
    Run(AUTO, ("endings",), ("test_failure_after_a_thread",)),
    Run(FIRST_FAILURE, ("endings",), ("test_stops_the_run", "test_is_never_run")),
    Run(CRASH, ("endings",), ("test_runs_beside_a_crash", "test_crashes_its_worker")),
]
if hasattr(os, "fork"):
    RUNS.append(Run(AUTO, ("fork",)))


#: Of the setups in which all scenarios are played, those that repeat in breadth what others show.
_SLOW = (STRICT, MODULE_LOOP, STRICT_SESSION_LOOP, UVLOOP, UVLOOP_SESSION_LOOP, EAGER_SESSION_LOOP, TIMEOUT, RERUNS)


def _marks(run: Run) -> tuple[pytest.MarkDecorator, ...]:
    return (pytest.mark.slow,) if run.files == IN_ORDER and run.setup in _SLOW else ()


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
    node: str
    verdict: Verdict

    def blamed(self, result: Result) -> list[dict[str, Any]]:
        """Return the leaks that are this scenario's."""
        if self.verdict.wide:
            return [leak for leak in result.leaks if leak["owner"] == self.verdict.owner]
        return [leak for leak in result.leaks if leak["test"] == self.node and not _is_wide(leak)]

    def meant(self) -> Counter[tuple[str, str, str]]:
        """Return the leaks that the verdict says of: each one's kind and owner, and how it is reported."""
        verdict = self.verdict
        return Counter(
            (kind, verdict.owner, verdict.reported) for kind in verdict.kinds if kind in self.run.setup.kinds
        )

    def reported(self, result: Result) -> Iterator[tuple[str, str, str]]:
        """Yield the leaks that are this scenario's, as ``meant`` does."""
        return ((leak["kind"], leak["owner"], leak["outcome"]) for leak in self.blamed(result))

    def wanted(self) -> dict[str, object]:
        """Return what the verdict says, as ``seen`` does."""
        verdict, meant = self.verdict, self.meant()
        silenced = bool(verdict.kinds) and not meant
        return {
            "leaks": sorted(meant.elements()),
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
            "leaks": sorted(self.reported(result)),
            "leaks made elsewhere": [leak["created_at"] for leak in blamed if not _made_at(leak, verdict.at)],
            "outcomes": result.outcomes.get(self.node, []),
            "says": verdict.says if re.search(verdict.says, result.texts.get(self.node, ""), re.DOTALL) else "",
            "warns": verdict.warns if verdict.warns in result.warnings.get(self.node, []) else "",
            "stale": self.node in result.stale,
        }


def _tally(scenarios: list[Scenario], result: Result) -> Counter[str]:
    """Return what ``table.py`` sums up: leaks are what a scenario means to be reported, false alarms what else is."""
    tally = Counter({"false alarms": len(_of_nobody(scenarios, result))})
    for scenario in scenarios:
        wanted, blamed = scenario.meant(), Counter(scenario.reported(result))
        tally["clean tests"] += not wanted
        tally["leaks"] += wanted.total()
        tally["found"] += (wanted & blamed).total()
        tally["false alarms"] += (blamed - wanted).total()
    return tally


def _of_nobody(scenarios: list[Scenario], result: Result) -> list[dict[str, Any]]:
    """Return the leaks that are reported of none of the scenarios."""
    nodes, owners = {s.node for s in scenarios}, {s.verdict.owner for s in scenarios}
    return [leak for leak in result.leaks if leak["test"] not in nodes and leak["owner"] not in owners]


def _path(file: str) -> str:
    return f"scenarios/scenario_{file}.py"


def _is_wide(leak: dict[str, Any]) -> bool:
    owner: str = leak["owner"]
    return owner.startswith("fixture:") and not owner.endswith(":function")


def _module(file: str) -> ModuleType:
    return importlib.import_module(f"scenarios.scenario_{file}")


def _functions(module: ModuleType) -> Iterator[tuple[str, object]]:
    for name, value in vars(module).items():
        if not isinstance(value, type):
            yield name, value
        elif value.__module__ == module.__name__:
            yield from ((f"{name}::{method}", function) for method, function in vars(value).items())


def _is_installed(module: str) -> bool:
    """Tell whether a module is installed; nothing is needed where it has no name."""
    return not module or importlib.util.find_spec(module) is not None


def _scenarios(run: Run) -> Iterator[Scenario]:
    for file in run.files:
        for name, function in _functions(_module(file)):
            if run.only and name not in run.only:
                continue
            test = f"scenarios.scenario_{file}.{name}" if run.setup is DOCTEST else name
            for verdict in declared(function):
                if not _is_installed(verdict.needs):
                    continue
                case = f"[{verdict.case}]" if verdict.case else ""
                yield Scenario(run, f"{_path(file)}::{test}{case}", verdict)


def _made_at(leak: dict[str, Any], at: str | None) -> bool:
    """Return whether the report names a line of the scenarios, and the one that was meant."""
    if at is None:
        return True
    file, _, line = (leak["created_at"] or "").rpartition(":")
    path = HERE.parent / file
    if not line.isdigit() or not path.is_file():
        return False
    return at in path.read_text(encoding="utf-8").splitlines()[int(line) - 1]


def _play(run: Run, pytester: pytest.Pytester) -> Result:
    shutil.copytree(HERE, pytester.path / "scenarios", ignore=shutil.ignore_patterns("__pycache__"))
    pytester.makefile(".ini", pytest=run.setup.ini())
    report, outcomes = pytester.path / "report.json", pytester.path / "outcomes.json"
    arguments = [*run.setup.arguments(), f"--mockstream-report={report}", f"--outcomes={outcomes}", *run.targets()]
    ran = pytester.runpytest_subprocess(*arguments, timeout=300)
    result = Result(f"{ran.stdout}\n{ran.stderr}", int(ran.ret))
    if outcomes.exists():
        vars(result).update(json.loads(outcomes.read_text(encoding="utf-8")))
    if report.exists():
        found = json.loads(report.read_text(encoding="utf-8"))
        result.leaks, result.stale = found["leaks"], found["stale"]
    return result


def _wrong(scenario: Scenario, result: Result) -> str:
    """Return what is wrong about a scenario, in a reader's words; empty if nothing is."""
    wanted, seen = scenario.wanted(), scenario.seen(result)
    lines = [f"  {what}: {seen[what]!r}, not {wanted[what]!r}" for what in wanted if seen[what] != wanted[what]]
    return "\n".join([scenario.node, *lines, result.texts.get(scenario.node, "")]) if lines else ""


@pytest.mark.parametrize("run", [pytest.param(run, id=run.name, marks=_marks(run)) for run in RUNS])
def test_scenarios_get_their_verdicts(
    run: Run, pytester: pytest.Pytester, lean_pytest: None, record_property: Callable[[str, object], None]
) -> None:
    if not _is_installed(run.setup.needs):
        pytest.skip(f"{run.setup.needs} is not installed")

    result = _play(run, pytester)

    scenarios = list(_scenarios(run))
    for name, number in _tally(scenarios, result).items():
        record_property(name, number)
    wrong = "\n\n".join(filter(None, (_wrong(scenario, result) for scenario in scenarios)))
    assert not wrong, wrong
    assert _of_nobody(scenarios, result) == []
    assert result.exit_code == run.exit_code, result.text
    assert "INTERNALERROR" not in result.text, result.text


# The table itself.


def _verdicts() -> list[Verdict]:
    files = dict.fromkeys(itertools.chain.from_iterable(run.files for run in RUNS))
    return [verdict for file in files for _, function in _functions(_module(file)) for verdict in declared(function)]


def test_every_row_is_shown() -> None:
    shown = {row for verdict in _verdicts() for row in verdict.rows}

    assert sorted(set(range(1, 98)) - shown) == ([] if sys.version_info >= (3, 12) else [9])


def test_every_leak_has_a_clean_twin() -> None:
    leaking = {row for verdict in _verdicts() if verdict.kinds for row in verdict.rows}
    silent = {row for verdict in _verdicts() if not verdict.kinds for row in verdict.rows}

    assert leaking - silent == set()
