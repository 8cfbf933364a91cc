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
import platform
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from pytest_mockstream.leaks import OWNER, Leak, LeakReport, LeakWatch, Owner, Policy, Scope, matches, sees, turn

from .as_before import TracebacksAsBefore
from .leak_markers import MARKERS, Plan, plan_for
from .leak_summary import LeakSummary, Verdict, plural
from .marked import marked
from .warning import warn

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
        self._plans_differ = False
        self._armed = False
        self._failed = False
        self._failures_before = 0
        self._open_before: Collection[Any] = ()
        self._ended: list[Owner] = []
        self._wide_plans: dict[str, Plan] = {}
        self._left_open: list[Any] = []
        self._blind: list[str] = []
        self._policy = Policy(self._ignored, self._fails, self._contained)

    # The session.

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        self._watch.start()
        seen = sees(self._watch)
        self._blind = [kind for kind, is_seen in seen.items() if not is_seen]
        if self._blind:
            self._say_blind()
        self._summary.armed = {**seen, "streams": True}
        if optional := self._default.optional_kinds:
            can_see = self._watch.can_see(optional)
            self._summary.armed |= {plural(kind): is_seen for kind, is_seen in can_see.items()}
        if any(map(self._config.pluginmanager.hasplugin, _DISTRIBUTORS)):
            self._summary.collect(self._config.pluginmanager)

    def _say_blind(self) -> None:
        """Refuse to go on where a leak was to be an error, and a test would pass because nobody can see it."""
        if self._mode == "error":
            self._watch.stop()
            msg = f"--mockstream-leaks=error {self._cannot_see()}; use --mockstream-leaks=warn or off"
            raise pytest.UsageError(msg)
        warn(self._config, None, f"--mockstream-leaks=warn {self._cannot_see()}")

    def _cannot_see(self) -> str:
        """Return what cannot be seen, and how that is known."""
        python = f"{platform.python_implementation()} {platform.python_version()}"
        planted = " and ".join(f"a {kind.removesuffix('s')}" for kind in self._blind)
        return f"cannot see {' and '.join(self._blind)} on {python}: {planted} planted at the start was not found"

    def pytest_enter_pdb(self) -> None:
        # Whoever looks around with a debugger is no leak, and its threads are none either.
        self._interrupt()

    def pytest_keyboard_interrupt(self) -> None:
        # Called for pytest.exit, too; the fixtures of the test that was broken off are finalised after it.
        self._interrupt()

    def pytest_sessionfinish(self) -> None:
        self._end_streams()
        self._watch.stop()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in marked(items, MARKERS):
            item.stash[_PLAN] = plan = plan_for(item, self._default)
            self._plans_differ = True
            if self._blind and (plan.strict or plan.expected is not None):
                msg = f"{item.nodeid}: its marker asks for the leak check, which {self._cannot_see()}"
                raise pytest.UsageError(msg)

    # One test.

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        self._begin(item)
        try:
            result = yield
        except BaseException:
            TracebacksAsBefore.register(self._config)
            raise
        if not self._armed:
            self._arm()
        self._watch.begin_call()
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        try:
            return (yield)
        except BaseException as error:
            TracebacksAsBefore.register(self._config)
            if isinstance(error, KeyboardInterrupt | pytest.exit.Exception):
                self._interrupt()
            raise
        finally:
            if not self._armed:  # its setup was refused, or failed before any of its own fixtures began
                self._judge_test()
            if self._ended:
                self._judge_fixtures()
            self._conclude(item)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        scope = self._watch.scope
        if scope is None or getattr(fixturedef.func, "__name__", "") == _PARAMETER:
            return (yield)
        if (kind := fixturedef.scope) == "function":
            if not self._armed:
                self._arm()
            owner = Owner(f"fixture:{fixturedef.argname}:function", scope.owner)
        else:
            owner = self._wide_owner(fixturedef, kind, request)
        before = OWNER.get()
        OWNER.set(owner)
        try:
            return (yield)
        except BaseException:
            TracebacksAsBefore.register(self._config)
            raise
        finally:
            OWNER.set(before)

    def _wide_owner(self, fixturedef: Any, kind: str, request: Any) -> Owner:
        owner = Owner(f"fixture:{fixturedef.argname}:{kind}")
        self._watch.begin_owner(owner)
        self._wide_plans[owner.label] = plan_for(request.node, self._default)
        request.addfinalizer(partial(self._end_owner, owner))  # the first to be added is the last to be called
        return owner

    def _end_owner(self, owner: Owner) -> None:
        owner.over = True
        self._ended.append(owner)

    # The verdict.

    def _begin(self, item: pytest.Item) -> None:
        if self._left_open:  # not before: a server ends its own when a test is finished, and lets its clients see it
            self._end_streams()
        self._item = item
        self._failed = False
        self._failures_before = item.session.testsfailed
        self._plan = plan = item.stash.get(_PLAN, self._default) if self._plans_differ else self._default
        self._armed = False
        now = _open_requests()
        self._open_before = set(now) if now else ()
        scope = Scope(Owner("test"), plan.grace, self._policy)
        self._watch.open(scope, Owner("setup", scope.owner))
        if plan.optional_kinds:
            self._watch.look_for(plan.optional_kinds)

    def pytest_exception_interact(self) -> None:
        # Not called for what a skip or an expected failure raised, and before the reports of a rerun are known.
        self._failed = True

    def _end_streams(self) -> None:
        for request in self._left_open:
            _end_stream(request)
        self._left_open.clear()

    def _interrupt(self) -> None:
        if self._watch.scope is not None:
            self._watch.scope.interrupted = True

    def _arm(self) -> None:
        if self._item is not None:
            self._armed = True
            self._item.addfinalizer(self._judge_test)

    def _judge_test(self) -> None:
        self._watch.judge(self._open_streams)

    def _judge_fixtures(self) -> None:
        ended, self._ended = self._ended, []
        for owner in ended:
            self._watch.judge_ended(owner, self._wide_plans[owner.label].grace)

    def _newly_open(self) -> Collection[Any]:
        now = _open_requests()
        return [request for request in now if request not in self._open_before] if now else ()

    def _open_streams(self) -> list[Leak]:
        if not (newly := self._newly_open()):
            return []
        judged = [(request, _stream_leak(request)) for request in newly]
        left = [(request, leak, self._fails(leak)) for request, leak in judged if not self._ignored(leak)]
        self._left_open += [request for request, _, fails in left if fails]
        return [replace(leak, fate="ended" if fails else leak.fate) for _, leak, fails in left]

    def _streams_in(self, loop: asyncio.AbstractEventLoop) -> Callable[[], list[Leak]]:
        """Look at the streams that play in a loop which is about to be closed.

        Returns:
            What tells, once it is closed, which of them that has closed: its last act is to close the generators that
            SDKs read their streams with, and nobody would ever see that they were open.
        """
        if any(_entry(request).catch_up is not None for request in self._newly_open()):
            turn(loop)  # over a socket: its other end has not seen yet what was closed last
        playing = [(request, _stream_leak(request)) for request in self._newly_open() if _entry(request).loop is loop]
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

    def _fails(self, leak: Leak) -> bool:
        return self._outcome(leak) == "error"

    def _contained(self, leak: Leak) -> bool:
        return self._plan_of(leak).contain

    def _conclude(self, item: pytest.Item) -> None:
        scope = self._watch.scope
        self._watch.close()
        plan = self._plan
        if scope is None or scope.interrupted:
            return
        if not (scope.leaks or scope.lasting or plan.place):
            return
        report = scope.report(item.nodeid)
        found = [(leak, "allowed") for leak in scope.lasting]
        exemption: tuple[str, bool] | None = None
        texts = []
        if plan.place:
            fits = plan.expects if plan.expected is not None else bool
            exemption = plan.place, any(fits(leak) for leak in report.leaks if leak.owner not in self._wide_plans)
            if plan.expected is not None and not exemption[1]:
                texts.append(f"LeakError: {item.name} was expected to leak{plan.said()}, and did not.")
        if report:
            judged = self._tell(item, report)
            found += judged
            if bad := tuple(leak for leak, outcome in judged if outcome == "error"):
                texts.append(f"LeakError: {replace(report, leaks=bad, title=item.name)}")
        self._summary.collect(self._config.pluginmanager)
        verdict = Verdict(
            self._config.pluginmanager,
            [_as_dict(leak, item.nodeid, report, outcome) for leak, outcome in found],
            exemption,
            "\n".join(texts),
            failed=self._failed or item.session.testsfailed > self._failures_before,
        )
        self._config.pluginmanager.register(verdict)

    def _tell(self, item: pytest.Item, report: LeakReport) -> list[tuple[Leak, str]]:
        """Tell everybody about leaks; return what becomes of each."""
        self._config.hook.pytest_mockstream_leaks_found(report=report, item=item)
        judged = [(leak, self._outcome(leak)) for leak in report.leaks]
        if any(outcome == "warn" for _, outcome in judged):
            warn(self._config, item, str(report))
        return judged

    def _outcome(self, leak: Leak) -> str:
        plan = self._plan_of(leak)
        if plan.expects(leak):
            return "expected"
        if leak.is_note or self._debugging:
            return "warn"
        if plan.allowed is not None:
            return "allowed"
        return "error" if self._mode == "error" or plan.strict or plan.expected is not None else "warn"


_PRODUCER = "mockstream producer"
_PARAMETER = "get_direct_param_fixture_func"  # of pytest's own: a parameter is a fixture there, and starts nothing
_DISTRIBUTORS = ("dsession", "pytest_forked")  # they run tests in other processes, of xdist and of pytest-forked


def _stream_leak(request: Any) -> Leak:
    return Leak(
        kind="stream",
        name=f"{request.provider} {request.path} (request {request.number})",
        created_at=request.opened_at,
        diagnosis=f"Its consumer read {_entry(request).amount_read()} and never closed it.",
        remedy=_entry(request).remedy,
        functions=frozenset({request.opened_at.function}),
    )


def _entry(request: Any) -> Any:
    """Return what the ledger knows of a request; whoever has one has loaded the ledger."""
    from pytest_mockstream.playbook.ledger import entry_of

    return entry_of(request)


def _open_requests() -> list[Any]:
    """Return the open streams of the process; where nobody has loaded what makes them, there are none."""
    ledger = sys.modules.get("pytest_mockstream.playbook.ledger")
    return [] if ledger is None else ledger.open_requests()


def _end_stream(request: Any) -> None:
    """End a stream that was left open, so that nothing of it reaches the tests to come."""
    from pytest_mockstream.playback import End

    entry = _entry(request)
    if entry.settle("cancelled") and entry.progress is not None:
        entry.progress.stop(End.CANCELLED)


def _as_dict(leak: Leak, test: str, report: LeakReport, outcome: str) -> dict[str, Any]:
    counts = {"tasks": list(report.counts.tasks), "threads": list(report.counts.threads)}
    return {"test": test, **leak.as_dict(), "counts": counts, "outcome": outcome}
