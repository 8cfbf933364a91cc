"""What a run says of its traces: the file under a failure, one line at the end, and a link in pytest-html's report.

It reads reports, made in this process or sent by workers of xdist, and loads nothing that records.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pytest_mockstream._base.wording import counted

from .trace_files import TraceFolder, shown

_NAME = "mockstream-trace-summary"
_TITLE = "mockstream trace"


def name_trace(report: pytest.TestReport, path: str) -> None:
    """Let a failure name the file, wherever it is shown, and whatever ``--show-capture`` says."""
    longrepr: Any = report.longrepr
    if isinstance(longrepr, str):
        report.longrepr = longrepr = _with_sections(report, longrepr)
    if hasattr(longrepr, "addsection"):
        longrepr.addsection(_TITLE, path)
    else:  # a doctest's
        report.sections.append((_TITLE, path))


def _with_sections(report: pytest.TestReport, text: str) -> Any:
    """Make of a failure that is a text what can have sections, as pytest does for ``pytest.fail(pytrace=False)``.

    What stood in the text itself would be shown twice where pytest's summary repeats all of it, as it does in CI.
    """
    try:
        pytest.fail(text, pytrace=False)
    except pytest.fail.Exception as failure:
        made: Any = pytest.ExceptionInfo.from_exception(failure).getrepr(style="value")
    made.reprcrash.path, line, _ = report.location
    made.reprcrash.lineno = (line or 0) + 1
    made.reprcrash.message = text
    return made


class TraceSummary:
    """Collects what reports say of traces; a worker of xdist leaves that to the controller.

    It is handed the reports of tests that are traced here: one hook more for each report of a run would be dear.

    Args:
        config: of the run.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._written: set[str] = set()
        self._interrupted: Path | None = None

    @classmethod
    def of(cls, config: pytest.Config) -> TraceSummary:
        """Return that of a run, which is the same for all who ask."""
        summary: TraceSummary | None = config.pluginmanager.get_plugin(_NAME)
        if summary is None:
            config.pluginmanager.register(summary := cls(config), _NAME)
        return summary

    @classmethod
    def add_interrupted(cls, config: pytest.Config, path: Path) -> None:
        """Name the trace of a test that has no report, for the run was stopped in the midst of it."""
        if (summary := config.pluginmanager.get_plugin(_NAME)) is not None:
            summary._written.add(str(path))
            summary._interrupted = path

    def take(self, report: Any) -> None:
        """Take what a report says of a trace, before anybody shows the report."""
        if (path := getattr(report, "mockstream_trace", None)) is None:
            return
        self._written.add(path)
        if (html := self._config.getoption("htmlpath", None)) is not None:
            from .trace_attachments import link

            report.extras = [*getattr(report, "extras", ()), link(path, html)]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._interrupted is not None:
            path = shown(self._interrupted, self._config)
            terminalreporter.write_line(f"mockstream: the test that was interrupted has its trace in {path}")
        if self._written:
            folder = shown(TraceFolder.of(self._config).path, self._config)
            terminalreporter.write_line(f"mockstream: {counted(len(self._written), 'trace')} in {folder}{os.sep}")


class ReportsOfWorkers:
    """Hands what workers of xdist report to the summary.

    Args:
        config: of the controller.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._summary = TraceSummary.of(config)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        self._summary.take(report)
