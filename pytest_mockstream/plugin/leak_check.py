"""The leak check's hooks: which test is on stage, and when it is judged.

Every run with the check on loads this. It opens and closes scopes; what becomes of what they found is in
``leak_verdict``, which is loaded with the first test that leaves something.

Theory of operation: a scope is opened when a test is set up. Its first function-scoped fixture, or else the end of its
setup, registers a finaliser with the test's node, which pytest runs after the last function-scoped fixture is gone and
before any wider one: there the test is judged. What wider fixtures leave is judged when pytest has torn them down. The
report of the teardown carries the result, last of all plugins, so that neither ``xfail`` nor a failure of the test's
own is touched.

PYTEST_DONT_REWRITE: it has no asserts, and every run loads it.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mockstream.leaks import OWNER, LeakWatch, Owner, Policy, Scope, sees

from .leak_plan import Plan

if TYPE_CHECKING:
    from pytest_mockstream._base.loops import Loop
    from pytest_mockstream.leaks import Ignore, Leak

    from .leak_verdict import Verdicts

_PARAMETER = "get_direct_param_fixture_func"  # of pytest's own: a parameter is a fixture there, and starts nothing
_DISTRIBUTORS = ("dsession", "pytest_forked")  # they run tests in other processes, of xdist and of pytest-forked
_REPORT = "mockstream-notes"
_LOOPTIME = "looptime_plugin"  # it takes virtual time from a loop as soon as a test has run
_PLAN = pytest.StashKey[Plan]()


def register(config: pytest.Config, mode: str, grace: float, known: str | None) -> None:
    """Switch the leak check on.

    Args:
        config: of the run.
        mode: ``"error"`` or ``"warn"``.
        grace: seconds.
        known: the file of known leaks, or None.

    Raises:
        pytest.UsageError: the ini file says what is not legal, or the known leaks cannot be read.
    """
    check = LeakPlugin(config, mode, plan_of(config, grace))
    if known is not None or config.getoption("mockstream_known_update"):
        check.verdicts().know(known)
    config.pluginmanager.register(check, "mockstream-leaks")


def plan_of(config: pytest.Config, grace: float) -> Plan:
    """Return how a test without markers is judged.

    Raises:
        pytest.UsageError: the ini file says what is not legal.
    """
    plan = Plan(grace, contain=config.getini("mockstream_contain"))
    if any(map(config.getini, ("mockstream_leak_ignore", "mockstream_leak_kinds", "mockstream_exit_grace"))):
        from .leak_markers import plan_of_run

        plan = plan_of_run(config, plan)
    return plan


class LeakPlugin:
    """Everything of the leak check that a clean test needs.

    Attributes:
        config: of the run.
        mode: ``"error"`` or ``"warn"``; ``"off"`` where only tests that ask for it are judged.
        default: how a test without markers is judged.
        watch: sees what is started.
        sees: which kinds of leaks can be seen.
        item: the test on stage.
        plan: how it is judged.
        wide_plans: how wider fixtures are judged, by the label of their owners.
        left_open: requests whose streams failed a test, until they are ended.
        used_ignores: those that something was left out for, until somebody takes note of them.
    """

    def __init__(self, config: pytest.Config, mode: str, default: Plan) -> None:
        self.config = config
        self.mode = "warn" if config.getoption("usepdb", default=False) else mode
        self.default = default
        self.watch = LeakWatch(closing=self._streams_in)
        self.sees: dict[str, bool] = {}
        self.item: pytest.Item | None = None
        self.plan = default
        self.wide_plans: dict[str, Plan] = {}
        self.left_open: list[Any] = []
        self.used_ignores: set[Ignore] = set()
        self._verdicts: Verdicts | None = None
        self._optional = default.optional_kinds
        self._plans_differ = False
        self._armed = False
        self._holds_collector = False
        self._failed = False
        self._failures_before = 0
        self._open_before: Collection[Any] = ()
        self._ended: list[Owner] = []
        self._wide: list[tuple[Any, Owner]] = []
        self._policy = Policy(self._ignored, self._fails, self._contained, self._wide_values)

    def verdicts(self) -> Verdicts:
        """Return what decides, which is loaded now if it was not needed before."""
        if self._verdicts is None:
            from .leak_verdict import Verdicts

            self._verdicts = Verdicts(self)
        return self._verdicts

    # The session.

    def start(self) -> None:
        """Begin to watch, and prove at the first time that what leaks is seen.

        Raises:
            pytest.UsageError: it is not, where it has to be.
        """
        self.watch.start()
        if self.config.pluginmanager.has_plugin(_LOOPTIME):
            self._note_clocks()
        if not self.sees:
            seen = sees(self.watch)
            if not all(seen.values()):
                seen = self.verdicts().seen_by_judge()
            self.sees = {**seen, "streams": True}
            if not all(seen.values()):
                self.verdicts().say_blind()

    def _note_clocks(self) -> None:
        from .leak_clocks import ClockNotes

        if not self.config.pluginmanager.has_plugin("mockstream-clocks"):
            self.config.pluginmanager.register(ClockNotes(self.watch), "mockstream-clocks")

    def stop(self) -> None:
        """Stop watching."""
        self._end_streams()
        self.watch.stop()

    def end_session(self, status: int) -> None:
        """Say which status the process ends with."""
        if self._verdicts is not None:
            self._verdicts.end_session(status)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        self.start()
        if self._optional:
            self.verdicts().look_for_kinds()
        if self.config.pluginmanager.has_plugin(_REPORT):
            self.verdicts()  # loaded only once something leaks, it would give that time to end
        if any(map(self.config.pluginmanager.hasplugin, _DISTRIBUTORS)):
            self.verdicts().collect()

    def pytest_report_header(self) -> str:
        seen = ", ".join(kind for kind, sees in self.sees.items() if sees)
        blind = ", ".join(kind for kind, sees in self.sees.items() if not sees)
        return (
            f"leak check: {self.mode}, grace {self.default.grace:g} s (watching: {seen or 'nothing'}"
            f"{f'; cannot see: {blind}' if blind else ''})"
        )

    def pytest_enter_pdb(self) -> None:
        # Whoever looks around with a debugger is no leak, and its threads are none either.
        self._interrupt()

    def pytest_keyboard_interrupt(self) -> None:
        # Called for pytest.exit, too; the fixtures of the test that was broken off are finalised after it.
        self._interrupt()

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.end_session(int(exitstatus))
        self.stop()

    def asserts(self, item: pytest.Item) -> bool:
        """Tell whether a test has the marker that makes its leaks errors in any mode."""
        return item.stash.get(_PLAN, self.default).strict

    def judge_by(self, item: pytest.Item, plan: Plan) -> None:
        """Judge a test as its markers say."""
        item.stash[_PLAN] = plan
        self._plans_differ = True
        if plan.place:
            self.verdicts().note_skips()
        if not all(self.sees.values()) and (plan.strict or plan.expected is not None):
            self.verdicts().refuse_blind(item)

    # One test.

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        self._begin(item)
        try:
            result = yield
        except BaseException:
            self._clean_tracebacks()
            raise
        if not self._armed:
            self._arm()
        self.watch.begin_call()
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        try:
            return (yield)
        except BaseException as error:
            self._clean_tracebacks()
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
        scope = self.watch.scope
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
            self._clean_tracebacks()
            raise
        finally:
            OWNER.set(before)

    def _clean_tracebacks(self) -> None:
        from .tracebacks import TracebacksAsBefore

        TracebacksAsBefore.register(self.config)

    def _wide_owner(self, fixturedef: Any, kind: str, request: Any) -> Owner:
        owner = Owner(f"fixture:{fixturedef.argname}:{kind}")
        self.watch.begin_owner(owner)
        if self.mode == "off":  # whatever it leaves is judged nowhere
            self._wide.append((fixturedef, owner))
            return owner
        self.wide_plans[owner.label] = self._plan_of_node(request.node)
        request.addfinalizer(partial(self._end_owner, owner))  # the first to be added is the last to be called
        self._wide.append((fixturedef, owner))
        return owner

    def _plan_of_node(self, node: Any) -> Plan:
        if not self._plans_differ:
            return self.default
        from .leak_markers import plan_of_node

        return plan_of_node(node, self.default)

    def _end_owner(self, owner: Owner) -> None:
        owner.over = True
        self._ended.append(owner)
        self._wide = [(fixture, other) for fixture, other in self._wide if other is not owner]

    def _wide_values(self) -> list[tuple[Any, Owner]]:
        own = [(fixture, owner) for fixture, owner in self._wide if not _is_of_asyncio(fixture.func)]
        results = [(fixture.cached_result, owner) for fixture, owner in own]
        return [(result[0], owner) for result, owner in results if result is not None and result[0] is not None]

    def _begin(self, item: pytest.Item) -> None:
        if self.left_open:  # not before: a server ends its own when a test is finished, and lets its clients see it
            self._end_streams()
        self.item = item
        self._failed = False
        self._failures_before = item.session.testsfailed
        self.plan = plan = item.stash.get(_PLAN, self.default) if self._plans_differ else self.default
        self._armed = False
        now = _open_requests()
        self._open_before = set(now) if now else ()
        scope = Scope(Owner("test"), plan.grace, self._policy)
        self.watch.open(scope, Owner("setup", scope.owner))
        if kinds := self._optional if plan is self.default else plan.optional_kinds:
            self.watch.look_for(kinds)

    def pytest_exception_interact(self) -> None:
        # Not called for what a skip or an expected failure raised, and before the reports of a rerun are known.
        self._failed = True

    @property
    def has_failed(self) -> bool:
        """Whether the test on stage has failed already."""
        return self._failed or (self.item is not None and self.item.session.testsfailed > self._failures_before)

    def _end_streams(self) -> None:
        if self.left_open:
            self.verdicts().end_streams()

    def _interrupt(self) -> None:
        if self.watch.scope is not None:
            self.watch.scope.interrupted = True

    def _arm(self) -> None:
        if self.item is not None:
            self._armed = True
            self.item.addfinalizer(self._judge_test)

    # The verdict.

    def _judge_test(self) -> None:
        if self.newly_open():
            self._hold_collector()
        try:
            self.watch.judge(self._open_streams)
        finally:
            self._let_collect()

    def _hold_collector(self) -> None:
        """Keep the garbage collector from a stream that is open and held by nothing but a cycle, until it is judged."""
        if not self._holds_collector and gc.isenabled():
            gc.disable()
            self._holds_collector = True

    def _let_collect(self) -> None:
        if self._holds_collector:
            self._holds_collector = False
            gc.enable()

    def _judge_fixtures(self) -> None:
        ended, self._ended = self._ended, []
        for owner in ended:
            self.watch.judge_ended(owner, self.wide_plans[owner.label].grace)

    def newly_open(self) -> Collection[Any]:
        """Return the requests whose streams were opened in this test and are open."""
        now = _open_requests()
        return [request for request in now if request not in self._open_before] if now else ()

    def _open_streams(self) -> list[Leak]:
        newly = self.newly_open()
        return self.verdicts().open_streams(newly) if newly else []

    def _streams_in(self, loop: Loop) -> Callable[[], list[Leak]]:
        if not (newly := self.newly_open()):
            return list
        self._hold_collector()
        return self.verdicts().streams_in(loop, newly)

    def _ignored(self, leak: Leak) -> bool:
        return self.verdicts().ignored(leak)

    def _fails(self, leak: Leak) -> bool:
        return self.verdicts().outcome(leak) == "error"

    def _contained(self, leak: Leak) -> bool:
        return self.verdicts().plan_of(leak).contain

    def _conclude(self, item: pytest.Item) -> None:
        self._let_collect()
        scope = self.watch.scope
        self.watch.close()
        if scope is None or scope.interrupted:
            return
        if scope.leaks or scope.lasting or self.plan.place:
            self.verdicts().conclude(item, scope)


def _is_of_asyncio(fixture: Any) -> bool:
    """Tell whether a fixture is one of pytest-asyncio's own: its loops keep nothing for tests."""
    return str(getattr(fixture, "__module__", "")).startswith("pytest_asyncio")


def _open_requests() -> list[Any]:
    """Return the open streams of the process; where nobody has loaded what makes them, there are none."""
    ledger = sys.modules.get("pytest_mockstream.playbook.ledger")
    return [] if ledger is None else ledger.open_requests()
