"""The plugins and ways to run tests that people use beside ours, each with what is to be known of it.

What a companion says nothing of is the same as without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .verdict import Verdict, leaves

OWN = Path(__file__).parent / "own"
#: Which versions each was last run with, when no verdict differed; `run.py --note` writes it.
SEEN = Path(__file__).parent / "seen.json"

#: Turns a test and its usual verdict into the tests that take its place and theirs.
Changes = Callable[[str, Verdict], Mapping[str, Verdict]]


def _nothing(node: str, verdict: Verdict) -> Mapping[str, Verdict]:
    return {node: verdict}


@dataclass(frozen=True, kw_only=True)
class Companion:
    """One plugin, or one way to run tests.

    Attributes:
        name: for the command line.
        shown: how its user writes it, for the guide.
        requires: what pip installs.
        pytest: what it needs of pytest itself; such companions get an environment of their own.
        plugins: its entry points; all others but ours and pytest-asyncio's are not loaded.
        python: options of the interpreter, or a program that runs pytest.
        args: for pytest.
        env: variables of the environment.
        runs: arguments of the runs that belong together, one after the other.
        again: tells which tests the runs after the first one have; where there is none, the runs share the tests.
        own: the folder of its own tests, where it is not the name.
        changes: how verdicts differ, and ``because`` says why.
        of_own: verdicts on its own tests that their names do not promise.
        because: why verdicts differ from those without it.
        to_know: what its user should know; for the guide.
        since: the oldest Python.
        until: the newest Python; None for all.
        on_all: whether it is run on every Python that the interpreter's own changes matter to.
        in_suite: whether the suite runs it where it is installed.
    """

    name: str
    shown: str
    requires: tuple[str, ...] = ()
    pytest: str = "pytest"
    plugins: tuple[str, ...] = ()
    python: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    runs: tuple[tuple[str, ...], ...] = ((),)
    again: Callable[[str], bool] | None = None
    own: str = ""
    changes: Changes = _nothing
    of_own: Mapping[str, Verdict] = field(default_factory=dict)
    because: str = ""
    to_know: str = ""
    since: tuple[int, int] = (3, 11)
    until: tuple[int, int] | None = None
    on_all: bool = False
    in_suite: bool = False

    @property
    def distributions(self) -> list[str]:
        """The names of what it requires."""
        return [re.split(r"[<>=!~\[;]", requirement)[0] for requirement in self.requires]

    @property
    def folder(self) -> Path | None:
        """The folder of its own tests and files, or None."""
        path = OWN / (self.own or self.name)
        return path if path.is_dir() else None

    def runs_on(self, version: tuple[int, int]) -> bool:
        """Tell whether it can be run on a Python."""
        return self.since <= version and (self.until is None or version <= self.until)


def _family(count: tuple[str, ...], shared: Companion, *, args: Callable[[str], dict[str, Any]]) -> Iterator[Companion]:
    """Yield one companion for each way in which a plugin is used."""
    for way in count:
        yield replace(shared, name=f"{shared.name}-{way}", own=shared.own or shared.name, **args(way))


def _rerun(node: str, verdict: Verdict) -> Mapping[str, Verdict]:
    if not leaves(node):
        return {node: verdict}
    return {node: Verdict(("passed", "rerun", *verdict.outcomes), verdict.leaks * 2)}


def _twice(node: str, verdict: Verdict) -> Mapping[str, Verdict]:
    if "TestOf" in node:  # it repeats no test of unittest
        return {node: verdict}
    stem, bracket, case = node.partition("[")
    case = f"{case.removesuffix(']')}-" if bracket else ""
    return {f"{stem}[{case}{number}-2]": verdict for number in (1, 2)}


def _warned(node: str, verdict: Verdict) -> Mapping[str, Verdict]:
    outcomes = tuple(outcome for outcome in verdict.outcomes if outcome != "error")
    return {node: Verdict(outcomes, tuple((kind, "warn") for kind, _ in verdict.leaks))}


_FAILED = Verdict(("failed",))
_EXPLORED = (
    "Scripts and the record begin anew in each of its runs, and a task that a run leaves fails that run. Scripts that"
    " nobody asked for are told of the last run only."
)
_RERUN = Verdict(("rerun", "passed"))

COMPANIONS: tuple[Companion, ...] = (
    # Who runs which test where and when.
    *_family(
        ("load", "loadscope", "worksteal"),
        Companion(
            name="xdist", shown="", requires=("pytest-xdist",), plugins=("xdist", "xdist.looponfail"), on_all=True
        ),
        args=lambda way: {"args": ("-n", "2", f"--dist={way}"), "shown": f"-n 2 --dist={way}"},
    ),
    Companion(
        name="forked",
        shown="--forked",
        requires=("pytest-forked",),
        pytest="pytest<9.1",
        plugins=("pytest_forked",),
        args=("--forked",),
        to_know="Each test is judged in its process. With pytest 9.2 those cannot send their reports, with or "
        "without this package.",
    ),
    Companion(
        name="rerunfailures",
        shown="--reruns=1",
        requires=("pytest-rerunfailures",),
        plugins=("rerunfailures",),
        args=("--reruns=1",),
        changes=_rerun,
        because="a test that leaks has failed, and so it is run again",
        of_own={
            "test_reruns.py::test_first_attempt_fails": _RERUN,
            "test_reruns.py::test_first_attempt_is_left_behind": Verdict(
                ("passed", "rerun", "passed"), (("thread", "error"),)
            ),
            "test_reruns.py::test_first_attempt_fails_and_is_left_behind": Verdict(
                ("rerun", "passed"), (("task", "error"),)
            ),
        },
        to_know="A leak fails its attempt, and is listed also where the next attempt is clean.",
        in_suite=True,
    ),
    Companion(
        name="flaky",
        shown="@flaky",
        requires=("flaky",),
        plugins=("flaky",),
        of_own={
            "test_flaky.py::test_first_attempt_fails_and_is_left_behind": Verdict(("passed",), (("thread", "error"),))
        },
        to_know="It runs a test again if its call fails, and not for a leak: that is an error at once. What an attempt "
        "has left whose call failed is listed.",
    ),
    Companion(
        name="repeat",
        shown="--count=2",
        requires=("pytest-repeat",),
        plugins=("repeat",),
        args=("--count=2",),
        changes=_twice,
        because="each test is run twice, under two names",
    ),
    Companion(
        name="randomly",
        shown="--randomly-seed=7",
        requires=("pytest-randomly",),
        plugins=("randomly",),
        args=("--randomly-seed=7",),
    ),
    Companion(
        name="random-order",
        shown="--random-order",
        requires=("pytest-random-order",),
        plugins=("random_order",),
        args=("--random-order", "--random-order-seed=7"),
    ),
    Companion(
        name="split",
        shown="--splits=2 --group=1",
        requires=("pytest-split",),
        plugins=("pytest-split",),
        args=("--splits=2",),
        runs=(("--group=1",), ("--group=2",)),
    ),
    Companion(
        name="testmon",
        shown="--testmon",
        requires=("pytest-testmon",),
        plugins=("pytest-testmon",),
        args=("--testmon",),
        runs=((), ()),
        again=leaves,
        to_know="A test that leaks has failed: it is run again each time, whatever has changed.",
    ),
    *_family(
        ("signal", "thread"),
        Companion(name="timeout", shown="", requires=("pytest-timeout",), plugins=("timeout",)),
        args=lambda way: {
            "args": ("--timeout=300", f"--timeout-method={way}"),
            "shown": f"--timeout=300 --timeout-method={way}",
        },
    ),
    # Who watches or reports.
    *_family(
        ("trace", "sysmon"),
        Companion(
            name="cov",
            shown="",
            requires=("pytest-cov",),
            plugins=("pytest_cov",),
            args=("--cov=.", "--cov-report=term"),
        ),
        args=lambda way: {
            "env": {"COVERAGE_CORE": {"trace": "ctrace"}.get(way, way)},
            "shown": f"--cov, COVERAGE_CORE={ {'trace': 'ctrace'}.get(way, way) }",
            "since": (3, 12) if way == "sysmon" else (3, 11),
        },
    ),
    Companion(
        name="html",
        shown="--html=report.html",
        requires=("pytest-html",),
        plugins=("html", "html_fixtures", "metadata"),
        args=("--html=report.html", "--self-contained-html"),
    ),
    Companion(
        name="json-report",
        shown="--json-report",
        requires=("pytest-json-report",),
        plugins=("pytest_jsonreport", "metadata"),
        args=("--json-report",),
    ),
    Companion(
        name="allure",
        shown="--alluredir=allure",
        requires=("allure-pytest",),
        plugins=("allure_pytest",),
        args=("--alluredir=allure",),
    ),
    Companion(
        name="sugar",
        shown="--force-sugar",
        requires=("pytest-sugar",),
        plugins=("sugar",),
        args=("--force-sugar",),
    ),
    Companion(name="rich", shown="--rich", requires=("pytest-rich",), plugins=("rich",), args=("--rich",)),
    Companion(
        name="instafail",
        shown="--instafail",
        requires=("pytest-instafail",),
        plugins=("instafail",),
        args=("--instafail",),
    ),
    Companion(name="memray", shown="--memray", requires=("pytest-memray",), plugins=("memray",), args=("--memray",)),
    # What tests are written with.
    Companion(name="subtests", shown="the fixture subtests", requires=("pytest-subtests",), plugins=("subtests",)),
    Companion(name="bdd", shown="scenarios", requires=("pytest-bdd",), plugins=("pytest-bdd",)),
    Companion(
        name="hypothesis",
        shown="@given",
        requires=("hypothesis",),
        plugins=("hypothesispytest",),
        to_know="A test is judged once, after its last example.",
        in_suite=True,
    ),
    Companion(name="benchmark", shown="the fixture benchmark", requires=("pytest-benchmark",), plugins=("benchmark",)),
    Companion(
        name="socket",
        shown="--disable-socket --allow-unix-socket",
        requires=("pytest-socket",),
        plugins=("socket",),
        args=("--disable-socket", "--allow-unix-socket"),
        to_know="`--allow-unix-socket`, or no event loop can be made; `mock_stream_server` needs "
        "`--allow-hosts=127.0.0.1`.",
    ),
    Companion(name="mock", shown="the fixture mocker", requires=("pytest-mock",), plugins=("pytest_mock",)),
    Companion(
        name="check",
        shown="the fixture check",
        requires=("pytest-check",),
        plugins=("check",),
        of_own={
            "test_checks.py::test_check_fails_after_a_thread_was_left": Verdict(("failed",), (("thread", "error"),))
        },
    ),
    # Frameworks.
    Companion(
        name="django",
        shown="async views, live_server",
        requires=("pytest-django", "django"),
        plugins=("django",),
        args=("--ds=shop_settings",),
    ),
    Companion(name="aiohttp", shown="the fixture aiohttp_client", requires=("pytest-aiohttp",), plugins=("aiohttp",)),
    Companion(
        name="trio",
        shown="@pytest.mark.trio",
        requires=("pytest-trio",),
        plugins=("trio",),
        to_know="Threads and streams are seen; tasks end with their nursery.",
    ),
    Companion(
        name="anyio",
        shown="@pytest.mark.anyio",
        requires=("anyio", "trio"),
        plugins=("anyio",),
    ),
    Companion(
        name="twisted",
        shown="pytest-twisted",
        requires=("pytest-twisted", "twisted"),
        plugins=("twisted",),
        to_know="The reactor's pool is kept, which fails nobody. A job that is left in it is seen where its worker is "
        "new.",
    ),
    Companion(
        name="tornado",
        shown="@pytest.mark.gen_test",
        requires=("pytest-tornado", "setuptools<81"),
        plugins=("tornado",),
        to_know="It needs setuptools<81, for pkg_resources.",
    ),
    # Clocks.
    Companion(
        name="looptime",
        shown="--looptime",
        requires=("looptime",),
        plugins=("looptime_chronometers", "looptime_plugin", "looptime_timeproxies"),
        to_know="The grace period is one of the virtual clock. An async fixture is torn down in real time: what sleeps "
        "until an hour that has passed there ends with that. Its plugin, which the extra `[looptime]` brings, makes a "
        "loop for each sync test: Python 3.12 and 3.13 warn `There is no current event loop`. `-p no:looptime_plugin` "
        "ends that, unless tests use its marker.",
        in_suite=True,
    ),
    Companion(name="freezegun", shown="freeze_time()", requires=("freezegun",)),
    # Explorers of schedules.
    Companion(
        name="detangle",
        shown="@detangle.test",
        requires=("detangle",),
        plugins=("detangle",),
        of_own={
            "test_schedules.py::test_task_is_left_and_seen": _FAILED,
            "test_schedules.py::test_request_without_a_script_is_swallowed_and_seen": Verdict(("failed", "error")),
        },
        to_know=_EXPLORED,
    ),
    Companion(
        name="simloop",
        shown="@sim_test",
        requires=("simloop",),
        plugins=("simloop",),
        of_own={
            "test_schedules.py::test_task_is_left_and_seen": _FAILED,
            "test_schedules.py::test_request_without_a_script_is_swallowed_and_seen": _FAILED,
        },
        to_know=_EXPLORED,
    ),
    Companion(
        name="simloom",
        shown="@simloom.test",
        requires=("simloom",),
        plugins=("simloom",),
        of_own={"test_schedules.py::test_task_is_left_and_seen": _FAILED},
        to_know=_EXPLORED,
    ),
    Companion(name="time-machine", shown="travel()", requires=("time-machine",), plugins=("time_machine",)),
    # Fakes of HTTP.
    Companion(name="respx", shown="the fixture respx_mock", requires=("respx", "httpx"), plugins=("respx",)),
    Companion(
        name="pytest-httpx", shown="the fixture httpx_mock", requires=("pytest-httpx",), plugins=("pytest_httpx",)
    ),
    Companion(
        name="recording",
        shown="--record-mode=once",
        requires=("pytest-recording", "vcrpy", "httpx"),
        plugins=("recording",),
        args=("--record-mode=once",),
        runs=((), ()),
        again=lambda node: True,
    ),
    # Interpreters, loops and modes.
    Companion(
        name="gevent",
        shown="gevent.monkey.patch_all()",
        requires=("gevent",),
        args=("-p", "patched_by_gevent"),
    ),
    Companion(
        name="uvloop", shown="uvloop.new_event_loop", requires=("uvloop",), args=("-p", "loops_of_uvloop"), on_all=True
    ),
    Companion(
        name="eager",
        shown="asyncio.eager_task_factory",
        args=("-p", "eager_loops"),
        since=(3, 12),
        on_all=True,
    ),
    Companion(
        name="debugpy",
        shown="python -m debugpy --listen 0 -m pytest",
        requires=("debugpy",),
        python=("-m", "debugpy", "--listen", "127.0.0.1:0"),
    ),
    Companion(name="dev", shown="python -X dev", python=("-X", "dev"), on_all=True),
    Companion(name="werror", shown="-W error", args=("-W", "error")),
    Companion(name="importlib", shown="--import-mode=importlib", args=("--import-mode=importlib",)),
    Companion(
        name="pdb",
        shown="--pdb",
        args=("--pdb",),
        changes=_warned,
        because="whoever debugs is told of leaks by warnings",
        to_know="Leaks are warnings then.",
    ),
    Companion(
        name="early-pool",
        shown="a pool that a plugin or a conftest file makes",
        args=("-p", "early_pool"),
        in_suite=True,
    ),
)

BY_NAME = {companion.name: companion for companion in COMPANIONS}
