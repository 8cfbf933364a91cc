"""The trace's hooks: what is recorded while a test runs, and when its page is written.

Loaded only where a trace is asked for, by a setting or by a marker.

Theory of operation: while a traced test runs, a recorder notes what happens; that is all that a test pays for that has
no trace in the end. One attempt begins with each setup: plugins that run a test again do so within one protocol of
pytest. What happened is put together when pytest tells of the last phase, for then nobody changes the verdict any more,
or when the next attempt begins; and written in the process that ran the test, whose report carries the path.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from pytest_mockstream._base.callsite import CallSite, is_library
from pytest_mockstream._base.clock import monotonic

from .trace_attachments import attach
from .trace_files import TraceFolder, shown
from .trace_summary import TraceSummary, name_trace
from .warning import warn

if TYPE_CHECKING:
    from pytest_mockstream._base.redaction import Secrets
    from pytest_mockstream.leaks import Leak, LeakReport
    from pytest_mockstream.playbook.findings import Finding
    from pytest_mockstream.trace import Phase, Recorder

_NAME = "mockstream-trace"
_MODE = pytest.StashKey[str]()
_PARAMETER = "get_direct_param_fixture_func"  # of pytest's own: a parameter is a fixture there, and does nothing
_OF_ASYNCIO = "pytest_asyncio"  # its fixtures are loops and their policies, which nobody has asked for
_LEAKS = "leaks at teardown"  # what the leak check adds to a test that has failed already


def record(config: pytest.Config, mode: str) -> None:
    """Begin to record tests.

    Args:
        config: of the run.
        mode: ``"failed"`` or ``"all"``; ``"off"`` where only tests whose marker says so are traced.

    Raises:
        pytest.UsageError: the traces cannot be written.
    """
    plugins = config.pluginmanager
    if not plugins.has_plugin(_NAME):
        if not hasattr(config, "workerinput"):
            TraceFolder.of(config).check_writable()
        plugins.register(TracePlugin(config, mode), _NAME)


def trace_item(item: pytest.Item, mode: str) -> None:
    """Trace one test as its marker says, whatever holds for the run."""
    item.stash[_MODE] = mode
    if mode != "off":
        record(item.config, "off")


class _Test:
    """A test while it is traced.

    Attributes:
        item: of pytest.
        mode: ``"failed"`` or ``"all"``.
        recorder: notes what happens in the attempt that runs.
        attempts: those that are over, as the trace has them.
        reports: of the attempt that runs, by phase and subtest.
        places: where the failure of each is, as far as that is known.
        leaks: that the leak check has found in it.
        named: the report that names the file, and what it said before; None if there is none.
        path: of the page, once it is written.
        stopped_at: when the phase that runs was over, before pytest made a report of it; None while it is not.
    """

    def __init__(self, item: pytest.Item, mode: str, recorder: Recorder) -> None:
        self.item = item
        self.mode = mode
        self.recorder = recorder
        self.started = datetime.now(UTC)
        self.attempts: list[dict[str, Any]] = []
        self.reports: list[pytest.TestReport] = []
        self.places: list[CallSite | None] = []
        self.leaks: list[Leak] = []
        self.named: tuple[pytest.TestReport, str] | None = None
        self.path: Path | None = None
        self._place: CallSite | None = None
        self._phases: list[Phase] = []
        self._running: Phase | None = None  # the last one, until it has ended
        self.stopped_at: float | None = None

    @property
    def is_worth_a_trace(self) -> bool:
        """Whether the attempt that runs, or one before it, is to be shown."""
        if self.mode == "failed":
            return bool(self.attempts) or self.outcome == "failed"
        return self.outcome != "skipped" or any(hasattr(report, "wasxfail") for report in self.reports)

    @property
    def outcome(self) -> str:
        """What has become of the attempt that runs."""
        return _outcome(self.reports)

    def begin_phase(self, name: str) -> None:
        """Note that the setup, the call or the teardown begins, and that what came before it is over."""
        self.end_phase()
        self._place = self._place or _place(getattr(self.item, "obj", None))
        self._running = self.recorder.begin_phase("test", name, self._place)
        self._phases.append(self._running)

    def end_phase(self) -> None:
        """Note that the last one of these has ended, if it has not: its reports are there, those of subtests, too."""
        if self._running is not None:
            self.recorder.end_phase(self._running, at=self.stopped_at)
            self._running = self.stopped_at = None

    def add(self, report: pytest.TestReport, place: CallSite | None) -> None:
        """Add the report of the phase that runs, or of a subtest in it, and the place of its failure."""
        self.reports.append(report)
        self.places.append(place)
        if report.outcome != "passed":
            self._judge()

    def interrupt(self, error: BaseException) -> None:
        """Note that the phase that runs has failed for what stops the whole run, unless it has its report already."""
        own = (report for report in self.reports if type(report) is pytest.TestReport)  # those of subtests are others
        if not self._phases or any(report.when == self._phases[-1].name for report in own):
            return

        def stop() -> None:
            raise error

        when: Any = self._phases[-1].name
        call = pytest.CallInfo.from_call(stop, when=when)
        report = pytest.TestReport.from_item_and_call(self.item, call)
        self.add(report, None if call.excinfo is None else _place_of_failure(report, call.excinfo))

    def _judge(self) -> None:
        for phase in self._phases:
            phase.state = _outcome(report for report in self.reports if report.when == phase.name)

    def end_attempt(self) -> None:
        """Put together what has happened in the attempt that runs."""
        self._judge()  # the leak check may have had its word since
        try:
            attempt = self.recorder.attempt(
                outcome=self.outcome,
                duration=sum(report.duration for report in self.reports),
                failures=list(self._failures()),
                leaks=self.leaks,
                findings=self._findings(),
            )
            self.attempts.append(attempt)
        finally:
            self.reports, self.places, self.leaks, self.named = [], [], [], None
            self._phases, self._running = [], None

    def _failures(self) -> Iterator[tuple[str, str] | tuple[str, str, CallSite]]:
        """Yield the phase and the text of each failure, as the terminal shows it, and its place."""
        for report, place in zip(self.reports, self.places, strict=True):
            if report.outcome in {"failed", "rerun"}:
                text = self.named[1] if self.named and self.named[0] is report else report.longreprtext
                yield (report.when, text) if place is None else (report.when, text, place)
            yield from ((report.when, text) for name, text in report.sections if name == _LEAKS)

    def _findings(self) -> list[Finding]:
        requests = self.recorder.requests
        if not requests:
            return []
        from pytest_mockstream.playbook.findings import findings_of
        from pytest_mockstream.playbook.outcome import Outcome

        printed = next((report.capstdout for report in self.reports if report.when == "call"), "")
        return findings_of(requests, Outcome(wrote=printed))

    def as_dict(self, secrets: Secrets) -> dict[str, Any]:
        """Return the test, as the trace has it.

        Args:
            secrets: what must not be shown, though parameters may have brought it into the id.
        """
        file, line, function = self.item.location
        worker = getattr(self.item.config, "workerinput", {}).get("workerid")
        return {
            "id": secrets.shown(self.item.nodeid),
            "file": file,
            "line": None if line is None else line + 1,
            "function": secrets.shown(function),
            "outcome": self.attempts[-1]["outcome"],
            **({} if worker is None else {"worker": worker}),
            "python": platform.python_version(),
            "platform": sys.platform,
            "started": self.started.isoformat(timespec="seconds"),
        }


class TracePlugin:
    """Records tests, and writes the traces of those that are to have one.

    Args:
        config: of the run.
        mode: how a test without a marker is traced: ``"off"``, ``"failed"`` or ``"all"``.
    """

    def __init__(self, config: pytest.Config, mode: str) -> None:
        self._config = config
        self._mode = mode
        self._folder = TraceFolder.of(config)
        self._summary = None if hasattr(config, "workerinput") else TraceSummary.of(config)
        self._process = os.getpid()
        self._recorder: Recorder | None = None
        self._test: _Test | None = None

    # What is recorded.

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        mode = item.stash.get(_MODE, self._mode)
        if self._folder.has_stale:
            with self._warning(item):
                self._folder.forget(item.nodeid)
        test = self._test = None if mode == "off" else _Test(item, mode, self._recorder or self._start())
        try:
            result = yield
            if test is not None:
                self._write(test)
            return result
        except (KeyboardInterrupt, pytest.exit.Exception) as error:
            if test is not None:
                self._write_interrupted(test, error)
            raise
        finally:
            self._test = None
            if self._recorder is not None:
                self._recorder.begin()  # what it has noted lives no longer than its test

    def _start(self) -> Recorder:
        from pytest_mockstream.trace import Recorder

        self._recorder = Recorder()
        self._recorder.start()
        return self._recorder

    def pytest_unconfigure(self) -> None:
        if self._recorder is not None:
            self._recorder.stop()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if (test := self._test) is not None:
            if test.reports:
                with self._warning(item):
                    test.end_attempt()
            if test.attempts:
                test.attempts[-1]["outcome"] = "rerun"
            test.recorder.begin()
            test.begin_phase("setup")
            if os.getpid() != self._process:
                self._config.pluginmanager.register(_InChild(self._config.pluginmanager, self.tell_reports))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self) -> None:
        if self._test is not None:
            self._test.begin_phase("call")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self) -> None:
        if self._test is not None:
            self._test.begin_phase("teardown")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Generator[None, object, object]:
        function = fixturedef.func
        if self._test is None or _is_nobodys(function):
            return (yield)
        recorder = self._test.recorder
        name, place = fixturedef.argname, _place(function)
        ending: list[Phase] = []

        def end() -> None:
            if ending:
                recorder.end_phase(ending.pop())

        def begin_to_end() -> None:
            if self._test is not None:  # a wider one ends in another test, or in none
                ending.append(recorder.begin_phase("fixture", name, place))

        request.addfinalizer(end)  # the first to be added is the last to be called
        phase = recorder.begin_phase("fixture", name, place)
        try:
            result = yield
        except BaseException as error:
            phase.state = "skipped" if isinstance(error, pytest.skip.Exception) else "failed"
            raise
        finally:
            recorder.end_phase(phase)
        request.addfinalizer(begin_to_end)
        return result

    def pytest_mockstream_leaks_found(self, report: LeakReport, item: pytest.Item) -> None:
        if self._test is not None and self._test.item is item:
            self._test.leaks += report.leaks

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        test = self._test
        if test is None or test.item is not item:
            return (yield)
        test.stopped_at = monotonic()  # what pytest makes of a failure takes its time, too
        report = yield
        test.add(report, None if call.excinfo is None else _place_of_failure(report, call.excinfo))
        if call.when == "teardown":
            test.end_phase()
        return report

    # What is written.

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        if (test := self._test) is None:
            return
        if test.reports and (report is test.reports[-1] or report.nodeid == test.item.nodeid):
            if type(report) is not type(test.reports[-1]):
                test.reports[-1] = report  # a subtest's; it is made of one that is made for it
            if report.outcome == "failed" and test.named is None:
                test.named = report, report.longreprtext
                name_trace(report, shown(self._folder.path_of(report.nodeid), self._config))
            if report.when == "teardown" and report.outcome != "rerun":
                self._write(test)
                if test.path is not None:
                    report.mockstream_trace = str(test.path)
        if report.when == "teardown" and self._summary is not None:
            self._summary.take(report)

    def tell_reports(self) -> None:
        """Take the reports of the test as if pytest had told of them."""
        for report in [] if self._test is None else self._test.reports[:]:
            self.pytest_runtest_logreport(report)

    def _write(self, test: _Test) -> None:
        """Write the trace of a test, if it is to have one, with all of its attempts up to now."""
        if not test.reports or not test.is_worth_a_trace:
            return
        from pytest_mockstream.pages import as_json, page_of_json
        from pytest_mockstream.trace import trace_of

        with self._warning(test.item):
            test.end_attempt()
            trace = trace_of(test=test.as_dict(self._folder.secrets), attempts=test.attempts)
            data = as_json(trace).encode()
            page = page_of_json("trace", data, title=trace["test"]["function"])
            test.path = self._folder.write(test.item.nodeid, page, data)
            attach(self._config, test.path)

    def _write_interrupted(self, test: _Test, error: BaseException) -> None:
        """Write the trace of a test in the midst of which the run is stopped, though nobody reports on that phase."""
        with self._warning(test.item):
            test.interrupt(error)
        self._write(test)
        if test.path is not None:
            TraceSummary.add_interrupted(self._config, test.path)

    @contextmanager
    def _warning(self, item: pytest.Item) -> Iterator[None]:
        """Only warn of a file that cannot be written or removed: no test fails for it."""
        try:
            yield
        except OSError as error:
            warn(self._config, item, f"the trace of {item.nodeid} cannot be written: {error}")
        except Exception as error:  # a test may ask with objects of any kind; their own words are not asked for
            warn(self._config, item, f"the trace of {item.nodeid} cannot be made: {type(error).__name__}")


class _InChild:
    """Has the trace written in a process of the test's own, as pytest-forked makes one: its reports are told elsewhere.

    That is done once the last report is made, and all who have a word in it have had it.
    """

    def __init__(self, plugins: pytest.PytestPluginManager, tell: Callable[[], None]) -> None:
        self._plugins = plugins
        self._tell = tell

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Iterator[None]:
        try:
            return (yield)
        finally:
            self._plugins.unregister(self)
            self._plugins.register(_LastOfAll(self._plugins, self._tell))


class _LastOfAll:
    """Tells when the report of the teardown is made: who was registered last has the last word."""

    def __init__(self, plugins: pytest.PytestPluginManager, tell: Callable[[], None]) -> None:
        self._plugins = plugins
        self._tell = tell

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        self._plugins.unregister(self)
        self._tell()
        return report


def _outcome(reports: Iterable[pytest.TestReport]) -> Literal["passed", "failed", "skipped"]:
    """Return what reports say together; what is to be run again has failed."""
    outcomes = {report.outcome for report in reports}
    if not outcomes.isdisjoint({"failed", "rerun"}):
        return "failed"
    return "skipped" if "skipped" in outcomes else "passed"


def _is_nobodys(fixture: Any) -> bool:
    """Tell whether a fixture is none that a test or another fixture has asked for."""
    if getattr(fixture, "__name__", "") == _PARAMETER:
        return True
    return str(getattr(fixture, "__module__", "")).startswith(_OF_ASYNCIO)


def _place(function: Any) -> CallSite | None:
    """Return where a function of a test or a fixture begins."""
    while (inner := getattr(function, "__wrapped__", None)) is not None:
        function = inner
    code = getattr(function, "__code__", None)
    return None if code is None else CallSite(code.co_filename, code.co_firstlineno, code.co_qualname)


def _place_of_failure(report: pytest.TestReport, excinfo: pytest.ExceptionInfo[BaseException]) -> CallSite | None:
    """Return the innermost line of the user's that a failure passed through; else the one that its text names."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return None
    named: CallSite | None = None
    for entry in reversed(excinfo.traceback):
        code = entry.frame.code.raw
        site = CallSite(code.co_filename, entry.lineno + 1, code.co_qualname)
        if not is_library(site.filename):
            return site
        if (str(entry.path), entry.lineno + 1) == (crash.path, crash.lineno):
            named = named or site
    return named
