"""The leak check's part of pytest: which test is on stage, and what becomes of a verdict.

The wall: loaded only where the check is on. It opens and closes scopes and turns what they found into reports; the
verdict is made in ``leaks``.

Theory of operation: a scope is opened when a test is set up. Its first function-scoped fixture, or else the end of its
setup, registers a finaliser with the test's node, which pytest runs after the last function-scoped fixture is gone and
before any wider one: there the test is judged. What wider fixtures leave is judged when pytest has torn them down. The
report of the teardown carries the result, last of all plugins, so that neither ``xfail`` nor a failure of the test's
own is touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from ._leak_markers import Plan, plan_for
from ._leak_summary import LeakSummary
from .leaks import DEFAULT_KINDS, OWNER, Leak, LeakReport, LeakWatch, Owner, Scope, matches, sees, turn

_LEAKS = pytest.StashKey[list[dict[str, Any]]]()
_PLAN = pytest.StashKey[Plan]()


class LeakPlugin:
    """Everything of the leak check that is pytest."""

    def __init__(self, config: pytest.Config, mode: str, default: Plan, summary: LeakSummary) -> None:
        self._config = config
        self._mode = mode
        self._debugging = bool(config.getoption("usepdb", default=False))  # nobody hurries who debugs
        self._default = default
        self._summary = summary
        self._watch = LeakWatch(closing=self._streams_in)
        self._item: pytest.Item | None = None
        self._plan = default
        self._armed = False
        self._open_before: set[Any] = set()
        self._fixtures: dict[Any, Owner] = {}
        self._ended: list[Owner] = []
        self._wide_plans: dict[str, Plan] = {}
        self._text = ""
        self._found: list[dict[str, Any]] = []
        self._exemption: tuple[str, bool] | None = None
        self._left_open: list[Any] = []

    # The session.

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        self._watch.start()
        self._summary.armed = {**sees(self._watch), "streams": True}

    def pytest_enter_pdb(self) -> None:
        # Whoever looks around with a debugger is no leak, and its threads are none either.
        self._interrupt()

    def pytest_sessionfinish(self) -> None:
        self._watch.stop()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if (plan := plan_for(item, self._default)) is not self._default:
                item.stash[_PLAN] = plan

    # One test.

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        self._begin(item)
        try:
            return (yield)
        except (KeyboardInterrupt, pytest.exit.Exception):
            self._interrupt()
            raise

    @pytest.hookimpl(trylast=True, specname="pytest_runtest_setup")
    def arm_after_setup(self, item: pytest.Item) -> None:
        self._arm(item)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        scope = self._watch.scope
        if scope is not None:
            self._watch.begin_call()
        try:
            return (yield)
        except (KeyboardInterrupt, pytest.exit.Exception):
            self._interrupt()
            raise

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        try:
            return (yield)
        except (KeyboardInterrupt, pytest.exit.Exception):
            self._interrupt()
            raise
        finally:
            if not self._armed:  # its setup was refused, or failed before any of its own fixtures began
                self._judge_test()
            self._judge_fixtures()
            self._conclude(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logfinish(self) -> Iterator[None]:
        # Last of all: a server ends its streams by itself, and lets their clients see it.
        yield
        left, self._left_open = self._left_open, []
        for request in left:
            _end_stream(request)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        scope = self._watch.scope
        if scope is None:
            return (yield)
        wide = fixturedef.scope != "function"
        if not wide and not self._armed:
            self._arm(request.node)
        owner = Owner(
            f"fixture:{fixturedef.argname}:{fixturedef.scope}",
            within=None if wide else scope.owner,
        )
        if wide:
            self._watch.begin_owner(owner)
            self._fixtures[fixturedef] = owner
            self._wide_plans[owner.label] = plan_for(request.node, self._default)
        before = OWNER.get()
        OWNER.set(owner)
        try:
            return (yield)
        finally:
            OWNER.set(before)

    def pytest_fixture_post_finalizer(self, fixturedef: Any) -> None:
        owner = self._fixtures.pop(fixturedef, None)
        if owner is not None:
            owner.over = True
            self._ended.append(owner)

    # The verdict.

    def _begin(self, item: pytest.Item) -> None:
        self._item = item
        self._plan = plan = item.stash.get(_PLAN, self._default)
        self._armed = False
        self._text, self._found, self._exemption = "", [], None
        self._open_before = set(_open_requests())
        item.stash[_FAILED] = False
        owner = Owner("test")
        self._watch.open(Scope(owner, plan.grace, ignored=self._ignored))
        OWNER.set(Owner("setup", within=owner))
        if optional := plan.kinds.difference(DEFAULT_KINDS):
            self._watch.look_for(optional)

    def _interrupt(self) -> None:
        if self._watch.scope is not None:
            self._watch.scope.interrupted = True

    def _arm(self, item: pytest.Item) -> None:
        if not self._armed and self._watch.scope is not None and not self._watch.scope.interrupted:
            self._armed = True
            item.addfinalizer(self._judge_test)

    def _judge_test(self) -> None:
        self._watch.judge(self._open_streams)

    def _judge_fixtures(self) -> None:
        ended, self._ended = self._ended, []
        for owner in ended:
            self._watch.judge_ended(owner, self._wide_plans[owner.label].grace)

    def _newly_open(self) -> list[Any]:
        return [request for request in _open_requests() if request not in self._open_before]

    def _open_streams(self) -> list[Leak]:
        judged = [(request, _stream_leak(request)) for request in self._newly_open()]
        left = [(request, leak) for request, leak in judged if not self._ignored(leak)]
        self._left_open += [request for request, _ in left]
        return [leak for _, leak in left]

    def _streams_in(self, loop: asyncio.AbstractEventLoop) -> Callable[[], list[Leak]]:
        """Look at the streams that play in a loop which is about to be closed.

        Returns:
            What tells, once it is closed, which of them that has closed: its last act is to close the generators that
            SDKs read their streams with, and nobody would ever see that they were open.
        """
        if any(request.refresh is not None for request in self._newly_open()):
            turn(loop)  # over a socket: its other end has not seen yet what was closed last
        playing = [(request, _stream_leak(request)) for request in self._newly_open() if request.loop is loop]
        return lambda: [
            leak for request, leak in playing if request.state in {"closed", "broken"} and not self._ignored(leak)
        ]

    def _plan_of(self, leak: Leak) -> Plan:
        """Return how a leak is judged: what a wider fixture left has nothing to do with the test that came last."""
        return self._wide_plans.get(leak.owner, self._plan)

    def _ignored(self, leak: Leak) -> bool:
        plan = self._plan_of(leak)
        if leak.kind not in plan.kinds or matches(leak, plan.ignore):
            return True
        if leak.name == _PRODUCER and self._newly_open():  # the stream that it feeds is what was left
            return True
        return bool(self._config.hook.pytest_mockstream_ignore_leak(leak=leak, item=self._item))

    def _conclude(self, item: pytest.Item) -> None:
        scope = self._watch.scope
        self._watch.close()
        plan = self._plan
        if scope is None or scope.interrupted:
            return
        if scope.lasting:
            self._found = [_as_dict(leak, item.nodeid, scope.report(""), "allowed") for leak in scope.lasting]
        if not (scope.leaks or plan.place):
            return
        report = scope.report(item.nodeid)
        if plan.place:
            fits = plan.expects if plan.expected is not None else bool
            self._exemption = plan.place, any(fits(leak) for leak in report.leaks if leak.owner not in self._wide_plans)
        texts = []
        if plan.expected is not None and self._exemption and not self._exemption[1]:
            texts.append(f"LeakError: {item.name} was expected to leak{plan.said()}, and did not.")
        if report:
            texts += self._report(item, report)
        self._text = "\n".join(texts)

    def _report(self, item: pytest.Item, report: LeakReport) -> list[str]:
        """Tell everybody about leaks; return what to say of those that fail the test."""
        self._config.hook.pytest_mockstream_leaks_found(report=report, item=item)
        outcomes = [self._outcome(leak) for leak in report.leaks]
        judged = list(zip(report.leaks, outcomes, strict=True))
        self._found += [_as_dict(leak, item.nodeid, report, outcome) for leak, outcome in judged]
        if "warn" in outcomes:
            self._warn(item, report)
        bad = tuple(leak for leak, outcome in judged if outcome == "error")
        return [f"LeakError: {replace(report, leaks=bad, title=item.name)}"] if bad else []

    def _warn(self, item: pytest.Item, report: LeakReport) -> None:
        # A filter that makes errors of warnings shall not make one of this: the user asked for a warning.
        with contextlib.suppress(pytest.PytestWarning):
            item.warn(pytest.PytestWarning(str(report)))

    def _outcome(self, leak: Leak) -> str:
        plan = self._plan_of(leak)
        if plan.expects(leak):
            return "expected"
        if leak.is_note or self._debugging:
            return "warn"
        if plan.allowed is not None:
            return "allowed"
        return "error" if self._mode == "error" or plan.strict or plan.expected is not None else "warn"

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        report: Any = yield
        if call.when == "teardown":
            self._carry(item, report)
        elif report.failed and call.when == "call":
            item.stash[_FAILED] = True
        return report  # type: ignore[no-any-return] # a wrapper returns what it got

    def _carry(self, item: pytest.Item, report: Any) -> None:
        if self._found or self._exemption:
            report.mockstream_leaks = self._found
            report.mockstream_exemption = self._exemption
        if not self._text:
            return
        if report.failed or item.stash.get(_FAILED, False):
            report.sections.append(("leaks at teardown", self._text))
        else:
            report.outcome = "failed"
            report.longrepr = self._text


_FAILED = pytest.StashKey[bool]()
_PRODUCER = "mockstream producer"


def _stream_leak(request: Any) -> Leak:
    return Leak(
        kind="stream",
        name=f"{request.provider} {request.path} (request {request.number})",
        created_at=request.opened_at,
        diagnosis=f"Its consumer read {_read(request)} and never closed it.",
        remedy=request.remedy,
        functions=frozenset({request.opened_at.function}),
    )


def _read(request: Any) -> str:
    of = "" if request.chunk_count is None else f" of {request.chunk_count}"
    return f"{request.chunks_sent}{of} chunks"


def _open_requests() -> list[Any]:
    """Return the open streams of the process; where nobody has loaded what makes them, there are none."""
    ledger = sys.modules.get("pytest_mockstream._ledger")
    return [] if ledger is None else ledger.open_requests()


def _end_stream(request: Any) -> None:
    """End a stream that was left open, so that nothing of it reaches the tests to come."""
    from ._line import End

    progress = request.progress
    if request.settle("cancelled") and progress is not None:
        getattr(progress, "playback", progress).stop(End.CANCELLED)


def _as_dict(leak: Leak, test: str, report: LeakReport, outcome: str) -> dict[str, Any]:
    counts = {"tasks": list(report.counts.tasks), "threads": list(report.counts.threads)}
    return {"test": test, **leak.as_dict(), "counts": counts, "outcome": outcome}
