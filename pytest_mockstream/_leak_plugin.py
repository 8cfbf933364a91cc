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

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ._leak_markers import Plan, plan_for
from ._leak_summary import LeakSummary
from .leaks import DEFAULT_KINDS, OWNER, Leak, LeakReport, LeakWatch, Owner, Scope, matches, sees

_LEAKS = pytest.StashKey[list[dict[str, Any]]]()
_PLAN = pytest.StashKey[Plan]()


class LeakPlugin:
    """Everything of the leak check that is pytest."""

    def __init__(self, config: pytest.Config, mode: str, default: Plan, summary: LeakSummary) -> None:
        self._config = config
        self._mode = mode
        self._default = default
        self._summary = summary
        self._watch = LeakWatch()
        self._item: pytest.Item | None = None
        self._plan = default
        self._armed = False
        self._open_before: set[int] = set()
        self._fixtures: dict[Any, Owner] = {}
        self._ended: list[Owner] = []
        self._text = ""
        self._found: list[dict[str, Any]] = []
        self._stale: str | None = None

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
            result = yield
        except (KeyboardInterrupt, pytest.exit.Exception):
            self._interrupt()
            raise
        self._arm(item)
        return result

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
            if not self._armed:  # skipped, or failed, before it had a node's place to register a finaliser at
                self._judge_test()
            self._judge_fixtures()
            self._conclude(item)

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
            mark=self._watch.mark() if wide else 0,
        )
        if wide:
            self._fixtures[fixturedef] = owner
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
        self._text, self._found, self._stale = "", [], None
        self._open_before = {id(request) for request in _open_requests()}
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
            self._watch.judge_ended(owner)

    def _open_streams(self) -> list[Leak]:
        return [
            Leak(
                kind="stream",
                name=f"{request.provider} {request.path} (request {request.number})",
                created_at=request.opened_at,
                diagnosis=f"Its consumer read {_read(request)} and never closed it.",
                remedy=request.remedy,
                functions=frozenset({request.opened_at.function}),
            )
            for request in _open_requests()
            if id(request) not in self._open_before
        ]

    def _ignored(self, leak: Leak) -> bool:
        if leak.kind not in self._plan.kinds or matches(leak, self._plan.ignore):
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
        if not (scope.leaks or plan.allowed or plan.expected):
            return
        report = scope.report(item.nodeid)
        if plan.allowed is not None or plan.expected is not None:
            fits = plan.expects if plan.expected is not None else bool
            if not any(fits(leak) for leak in report.leaks):
                self._stale = item.nodeid
        if report:
            self._config.hook.pytest_mockstream_leaks_found(report=report, item=item)
            outcomes = [self._outcome(leak) for leak in report.leaks]
            self._found += [
                _as_dict(leak, item.nodeid, report, outcome)
                for leak, outcome in zip(report.leaks, outcomes, strict=True)
            ]
            if "warn" in outcomes:
                self._warn(item, report)
            bad = tuple(leak for leak, outcome in zip(report.leaks, outcomes, strict=True) if outcome == "error")
            if bad:
                shown = LeakReport(leaks=bad, counts=report.counts, grace=report.grace, title=item.name)
                self._text = f"LeakError: {shown}"
        if self._stale and plan.expected is not None:
            kind, match = plan.expected
            what = " ".join(part for part in (kind or "", f"matching {match.pattern!r}" if match else "") if part)
            wanted = f"LeakError: {item.name} was expected to leak{' a ' + what if what else ''}, and did not."
            self._text = "\n".join(part for part in (wanted, self._text) if part)

    def _warn(self, item: pytest.Item, report: LeakReport) -> None:
        # A filter that makes errors of warnings shall not make one of this: the user asked for a warning.
        with contextlib.suppress(pytest.PytestWarning):
            item.warn(pytest.PytestWarning(str(report)))

    def _outcome(self, leak: Leak) -> str:
        plan = self._plan
        if leak.kind in _ONLY_WARN and not plan.expects(leak):
            return "warn"
        if plan.expects(leak):
            return "expected"
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
        if self._found or self._stale:
            report.mockstream_leaks = self._found
            report.mockstream_stale = self._stale
        if not self._text:
            return
        if report.failed or item.stash.get(_FAILED, False):
            report.sections.append(("leaks at teardown", self._text))
        else:
            report.outcome = "failed"
            report.longrepr = self._text


_FAILED = pytest.StashKey[bool]()
_ONLY_WARN = frozenset({"coroutine", "exception"})


def _read(request: Any) -> str:
    of = "" if request.chunk_count is None else f" of {request.chunk_count}"
    return f"{request.chunks_sent}{of} chunks"


def _open_requests() -> list[Any]:
    """Return the open streams of the process; where nobody has loaded what makes them, there are none."""
    ledger = sys.modules.get("pytest_mockstream._ledger")
    return [] if ledger is None else ledger.open_requests()


def _as_dict(leak: Leak, test: str, report: LeakReport, outcome: str) -> dict[str, Any]:
    counts = {"tasks": list(report.counts.tasks), "threads": list(report.counts.threads)}
    return {"test": test, **leak.as_dict(), "counts": counts, "outcome": outcome}
