"""What becomes of what a test left: whether it is ignored, allowed, expected or an error, and what is said of it.

Loaded with the first test that leaves something, or where the check cannot see or has to look for more than it always
does.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from pytest_mockstream._base.loops import Loop, asyncio_loop
from pytest_mockstream._base.wording import in_utf8, shortened
from pytest_mockstream.leaks import (
    Leak,
    LeakReport,
    Scope,
    finds,
    matches,
    module_of,
    report_of,
    spellings,
    still_open,
    take_turns,
)

from .leak_check import LeakPlugin
from .leak_exit import end_in_time
from .leak_markers import SKIPPED, SkipNotes, exit_grace, expects, said
from .leak_plan import Plan
from .leak_ratchet import FLAG, UPDATE, Ratchet
from .leak_summary import LeakSummary, Verdict, plural
from .warning import warn

_PRODUCER = "mockstream producer"


class Verdicts:
    """The cold part of the leak check."""

    def __init__(self, check: LeakPlugin) -> None:
        self._check = check
        self._is_debugging = bool(check.config.getoption("usepdb", default=False))  # nobody hurries who debugs
        self._summary: LeakSummary | None = None
        self._ratchet: Ratchet | None = None

    # The session.

    def seen_by_judge(self) -> dict[str, bool]:
        """Return which kinds of leaks the judge finds, where the glance at the records has missed one."""
        return finds(self._check.watch)

    def say_blind(self) -> None:
        """Refuse to go on where a leak was to be an error, and a test would pass because nobody can see it."""
        if self._check.mode == "off":
            self._check.watch.stop()
            raise pytest.UsageError(f"@pytest.mark.assert_no_leaks asks for the leak check, which {self._cannot_see()}")
        if self._check.mode == "error":
            self._check.watch.stop()
            msg = f"--mockstream-leaks=error {self._cannot_see()}; use --mockstream-leaks=warn or off"
            raise pytest.UsageError(msg)
        warn(self._check.config, None, f"--mockstream-leaks=warn {self._cannot_see()}")

    def know(self, path: str | None) -> None:
        """Let the leaks that a file knows fail nobody.

        Raises:
            pytest.UsageError: there is no such file, or it says what is not legal.
        """
        if path is None:
            msg = f"{UPDATE} updates the file that {FLAG} names: give that, too"
            raise pytest.UsageError(msg)
        self._ratchet = Ratchet(self._check.config, path)
        self._check.config.pluginmanager.register(self._ratchet, "mockstream-known")

    def note_skips(self) -> None:
        """Begin to note which tests are skipped: from now on there are some that are expected to leak."""
        plugins = self._check.config.pluginmanager
        if not plugins.has_plugin("mockstream-skips"):
            plugins.register(SkipNotes(), "mockstream-skips")

    def refuse_blind(self, item: pytest.Item) -> None:
        """Refuse a test whose marker asks for what cannot be seen."""
        msg = f"{item.nodeid}: its marker asks for the leak check, which {self._cannot_see()}"
        raise pytest.UsageError(msg)

    def _cannot_see(self) -> str:
        """Return what cannot be seen, and how that is known."""
        blind = [kind for kind in ("tasks", "threads") if not self._check.sees[kind]]
        python = f"{platform.python_implementation()} {platform.python_version()}"
        planted = " and ".join(f"a {kind.removesuffix('s')}" for kind in blind)
        return f"cannot see {' and '.join(blind)} on {python}: {planted} planted at the start was not found"

    def look_for_kinds(self) -> None:
        """Find out which of the optional kinds of the whole run can be seen."""
        can_see = self._check.watch.can_see(self._check.default.optional_kinds)
        self._check.sees |= {plural(kind): is_seen for kind, is_seen in can_see.items()}

    def register_summary(self) -> LeakSummary:
        """Register what collects the leaks of the run."""
        check = self._check
        if self._summary is None:
            self._summary = LeakSummary()
            check.config.pluginmanager.register(self._summary, "mockstream-leak-summary")
        return self._summary

    def collect(self) -> None:
        """Begin to take what reports carry; a run whose tests leave nothing never does."""
        self.register_summary().collect(self._check.config.pluginmanager)

    def end_session(self, status: int) -> None:
        """Let the process end with a status, whatever thread that failed a test would keep it."""
        if self._summary is not None:
            self._summary.still_open = still_open()
        if self._check.mode != "warn":
            end_in_time(exit_grace(self._check.config), status)

    # One test.

    def open_streams(self, newly: Collection[Any]) -> list[Leak]:
        """Return the leaks among the streams that are open."""
        for loop in {loop for request in newly if (loop := asyncio_loop(_entry(request).loop)) is not None}:
            mine = [request for request in newly if _entry(request).loop is loop]
            take_turns(loop, partial(_are_over, mine))
        judged = [(request, _stream_leak(request)) for request in newly if request.state == "open"]
        left = [(request, leak, self.outcome(leak) == "error") for request, leak in judged if not self.ignored(leak)]
        self._check.left_open += [request for request, _, fails in left if fails]
        return [replace(leak, fate="ended" if fails else leak.fate) for _, leak, fails in left]

    def end_streams(self) -> None:
        """End the streams that failed a test, so that nothing of them reaches the tests to come."""
        for request in self._check.left_open:
            _end_stream(request)
        self._check.left_open.clear()

    def streams_in(self, loop: Loop, newly: Collection[Any]) -> Callable[[], list[Leak]]:
        """Look at the streams that play in a loop, or a run of trio, which is about to be closed.

        Returns:
            What tells, once it is closed, which of them that has closed: its last act is to close the generators that
            SDKs read their streams with, and nobody would ever see that they were open.
        """
        # A closed client, an `aclosing` block or a generator that was dropped ends what it read a few turns later. Over
        # a socket, its other end has yet to see that.
        mine = [entry for request in newly if (entry := _entry(request)).loop is loop or entry.catch_up is not None]
        if isinstance(loop, asyncio.AbstractEventLoop):
            take_turns(loop, lambda: all(entry.state != "open" for entry in mine))
        playing = [
            (request, _stream_leak(request)) for request in self._check.newly_open() if _entry(request).loop is loop
        ]
        return lambda: [
            leak for request, leak in playing if request.state in {"closed", "broken"} and not self.ignored(leak)
        ]

    def plan_of(self, leak: Leak) -> Plan:
        """Return how a leak is judged: what a wider fixture left has nothing to do with the test that came last."""
        return self._check.wide_plans.get(leak.owner, self._check.plan)

    def ignored(self, leak: Leak) -> bool:
        """Tell whether something is left on purpose."""
        check, plan = self._check, self.plan_of(leak)
        if check.mode == "off" and not plan.strict:
            return True
        used = [ignore for ignore in plan.ignore if matches(leak, (ignore,))]
        if leak.kind not in plan.kinds or used:
            check.used_ignores.update(used)
            return True
        if leak.name == _PRODUCER and check.newly_open():  # the stream that it feeds is what was left
            return True
        return bool(check.config.hook.pytest_mockstream_ignore_leak(leak=leak, item=check.item))

    def conclude(self, item: pytest.Item, scope: Scope) -> None:
        """Make the verdict on a test, and let the report of its teardown carry it."""
        check, plan = self._check, self._check.plan
        report = report_of(scope, item.nodeid)
        found = [(leak, "allowed") for leak in scope.lasting]
        exemption: tuple[str, bool, str] | None = None
        texts = []
        if plan.place and not item.stash.get(SKIPPED, False):  # what was not run can neither leak nor not leak
            fits = partial(expects, plan) if plan.expected is not None else bool
            used = any(fits(leak) for leak in report.leaks if leak.owner not in check.wide_plans)
            exemption = plan.place, used, plan.marker
            if plan.expected is not None and not used:
                texts.append(f"LeakError: {item.name} was expected to leak{said(plan)}, and did not.")
        if report:
            judged = self._tell(item, report)
            found += judged
            if bad := tuple(leak for leak, outcome in judged if outcome == "error"):
                texts.append(f"LeakError: {replace(report, leaks=bad, title=item.name)}")
        self.collect()
        verdict = Verdict(
            check.config.pluginmanager,
            [self._as_dict(leak, item.nodeid, report, outcome) for leak, outcome in found],
            exemption,
            in_utf8("\n".join(texts)),
            failed=check.has_failed,
        )
        check.config.pluginmanager.register(verdict)

    def _as_dict(self, leak: Leak, test: str, report: LeakReport, outcome: str) -> dict[str, Any]:
        counts = {"tasks": list(report.counts.tasks), "threads": list(report.counts.threads)}
        said = {name: in_utf8(value) if isinstance(value, str) else value for name, value in leak.as_dict().items()}
        found = {"test": test, **said, "counts": counts, "outcome": outcome}
        return found if self._ratchet is None else {**found, "fingerprint": self._ratchet.fingerprint(leak)}

    def _tell(self, item: pytest.Item, report: LeakReport) -> list[tuple[Leak, str]]:
        """Tell everybody about leaks; return what becomes of each."""
        self._check.config.hook.pytest_mockstream_leaks_found(report=report, item=item)
        judged = [(leak, self.outcome(leak)) for leak in report.leaks]
        if any(outcome == "warn" for _, outcome in judged):
            warn(self._check.config, item, str(report))
        return judged

    def outcome(self, leak: Leak) -> str:
        """Return what becomes of a leak: ``"error"``, ``"warn"``, ``"allowed"``, ``"expected"`` or ``"known"``."""
        plan = self.plan_of(leak)
        if expects(plan, leak):
            return "expected"
        if leak.is_note or self._is_debugging:
            return "warn"
        if plan.allowed is not None:
            return "allowed"
        if self._ratchet is not None and self._ratchet.knows(leak):
            return "known"
        return "error" if self._check.mode == "error" or plan.strict or plan.expected is not None else "warn"


def _stream_leak(request: Any) -> Leak:
    return Leak(
        kind="stream",
        name=f"{request.provider} {shortened(str(request.path))} (request {request.number})",
        created_at=request.opened_at,
        diagnosis=f"Its consumer read {_entry(request).amount_read()} and never closed it.",
        remedy=_entry(request).remedy,
        names=frozenset(spellings(module_of(request.opened_at.filename), request.opened_at.function)),
    )


def _are_over(requests: Collection[Any]) -> bool:
    return all(request.state != "open" for request in requests)


def _entry(request: Any) -> Any:
    """Return what the ledger knows of a request; whoever has one has loaded the ledger."""
    from pytest_mockstream.playbook.ledger import entry_of

    return entry_of(request)


def _end_stream(request: Any) -> None:
    """End a stream that was left open, so that nothing of it reaches the tests to come."""
    from pytest_mockstream.playback import End

    entry = _entry(request)
    if entry.settle("cancelled") and entry.progress is not None:
        entry.progress.stop(End.CANCELLED)
