"""The report of a run, as a page or as JSON: leaks, what became of streams, retries, findings, stale exemptions.

Loaded where one is asked for.

Theory of operation: the process that runs a test looks at its requests once, when the report of its teardown is made,
which carries what was found, from a worker of xdist, too. What such a report carries that nobody gets to see, as those
of a test that pytest-rerunfailures runs again, the next one carries. The process that gets all reports puts them
together, and writes the file when the session is over.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pytest_mockstream._base.clock import monotonic, time_ns
from pytest_mockstream._base.paths import relative
from pytest_mockstream._base.wording import in_utf8
from pytest_mockstream.playbook.ledger import opened_requests
from pytest_mockstream.playbook.request import Request

from .leak_summary import Collector, site_of
from .run_extent import RunExtent
from .run_requests import of_test
from .run_tables import by_state, line_of, table, with_leaks

_FLAG = "--mockstream-report"
_CHECK, _OPT_IN, _KNOWN = "mockstream-leaks", "mockstream-opt-in", "mockstream-known"
_IGNORES = "mockstream_leak_ignore"


def register(config: pytest.Config, path: str, mode: str, grace: float) -> None:
    """Begin a run that is reported.

    Args:
        config: of the run.
        path: of the file, as it was given.
        mode: of the leak check.
        grace: seconds.

    Raises:
        pytest.UsageError: the file cannot be written.
    """
    config.pluginmanager.register(Notes(config), "mockstream-notes")
    if not hasattr(config, "workerinput"):
        file = _file(config, path)
        _check_writable(path, file)
        config.pluginmanager.register(RunReport(config, path, file, mode, grace), "mockstream-report")


def _file(config: pytest.Config, path: str) -> Path:
    """Return the file: what the command line gives is relative to where it was given, an ini file's to the rootdir."""
    is_given = config.getoption(_FLAG) is not None
    return ((config.invocation_params.dir if is_given else config.rootpath) / path).resolve()


def _check_writable(path: str, file: Path) -> None:
    """Raise ``UsageError`` if a file cannot be written, now and not when all tests have run."""
    folder = file.parent
    reason = None
    if file.is_dir():
        reason = "it is a folder"
    elif not folder.is_dir():
        reason = f"there is no folder {str(Path(path).parent)!r}"
    elif not os.access(folder, os.W_OK) or (file.exists() and not os.access(file, os.W_OK)):
        reason = "permission is denied"
    if reason is not None:
        msg = f"{_FLAG}={path!r} cannot be written, {reason}: give the path of a file in a folder that exists"
        raise pytest.UsageError(msg)


class Notes:
    """Notes what became of the requests of each test, and lets the report of its teardown carry that."""

    def __init__(self, config: pytest.Config) -> None:
        self._plugins = config.pluginmanager
        self._stack = ExitStack()
        self._opened: list[Request] = []
        self._printed = ""
        self._has_run = False
        self._untold: list[dict[str, Any]] = []

    def pytest_sessionstart(self) -> None:
        self._opened = self._stack.enter_context(opened_requests())

    def pytest_unconfigure(self) -> None:
        self._stack.close()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        report: Any = yield
        if call.when == "setup":
            self._printed, self._has_run = "", call.excinfo is None
        self._has_run &= call.excinfo is None or not isinstance(call.excinfo.value, pytest.skip.Exception)
        if call.when == "call":
            self._printed = report.capstdout
        if call.when == "teardown":
            if found := self._of_test(item):
                self._untold.append({"test": item.nodeid, **found})
            report.mockstream_run = self._untold[:]
        return report  # type: ignore[no-any-return] # a wrapper returns what it got

    def pytest_runtest_logreport(self, report: Any) -> None:
        if hasattr(report, "mockstream_run"):
            self._untold.clear()

    def _of_test(self, item: pytest.Item) -> dict[str, Any]:
        opened = self._opened[:]
        del self._opened[: len(opened)]
        found: dict[str, Any] = of_test(opened, self._printed) if opened else {}
        check = self._plugins.get_plugin(_CHECK)
        if check is None:
            return found
        used = sorted(in_utf8(str(ignore)) for ignore in check.used_ignores)
        check.used_ignores.clear()
        given = _ignores_of(item) if self._has_run else []  # one with bad markers does not run
        if used:
            found["ignored"] = used
        if given:
            found["ignores"] = [[where, what, what in used] for where, what in given]
        return found


def _ignores_of(item: pytest.Item) -> list[tuple[str, str]]:
    """Return where the markers of a test leave something out, and what."""
    from pytest_mockstream.leaks import compile_ignores

    return [
        (node.nodeid.partition("[")[0], in_utf8(str(ignore)))
        for node, marker in item.iter_markers_with_node("assert_no_leaks")
        for ignore in compile_ignores(marker.kwargs.get("ignore", ()), "ignore")
    ]


class RunReport:
    """Puts together what the reports of all tests carry, and writes it.

    Args:
        config: of the run.
        given: the path of the file, as it was given.
        path: of the file.
        mode: of the leak check.
        grace: seconds.
    """

    def __init__(self, config: pytest.Config, given: str, path: Path, mode: str, grace: float) -> None:
        self._config = config
        self._given = given
        self._path = path
        self._mode = mode
        self._grace = grace
        self._extent = RunExtent(config)
        self._leaks = Collector()
        self._tests: set[str] = set()
        self._failed: set[str] = set()
        self._told: list[dict[str, Any]] = []
        self._started = datetime.fromtimestamp(time_ns() / 1e9, UTC)
        self._began_at = monotonic()
        self._problem = ""
        self._traces: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._tests.add(report.nodeid)
        if report.failed:
            self._failed.add(report.nodeid)
        self._leaks.pytest_runtest_logreport(report)
        self._told += getattr(report, "mockstream_run", ())
        if (trace := getattr(report, "mockstream_trace", None)) is not None:
            self._traces[report.nodeid] = trace

    def pytest_deselected(self, items: Iterable[pytest.Item]) -> None:
        self._extent.deselected(items)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Iterator[None]:
        result = yield
        data = self._data(session, int(exitstatus))
        try:
            self._write(data)
        except OSError as error:
            self._problem = f"{_FLAG}={self._given!r} cannot be written: {error}"
            if session.exitstatus == pytest.ExitCode.OK:  # whoever relies on the file is to know that there is none
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        return result

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._problem:
            terminalreporter.write_line(self._problem, red=True, bold=True)
        else:
            terminalreporter.write_sep("-", f"report of the run: {self._given}")

    def _write(self, data: dict[str, Any]) -> None:
        from pytest_mockstream.pages import page, write

        is_page = self._given.lower().endswith(".html")
        title = f"{self._config.rootpath.name}: streams and leaks"
        text = page("report", data, title=title) if is_page else f"{json.dumps(data, indent=1)}\n"
        write(self._path, text)

    def _data(self, session: pytest.Session, status: int) -> dict[str, Any]:
        plugins = self._config.pluginmanager
        check = plugins.get_plugin(_CHECK) or getattr(plugins.get_plugin(_OPT_IN), "check", None)
        consumers = self._rows("requests")
        return {
            "format": "pytest-mockstream report",
            "version": 1,
            "mode": self._mode if check is None else check.mode,
            "grace": self._grace,
            "armed": {} if check is None else check.sees,
            "leaks": self._leaks.leaks,
            "stale": self._leaks.stale,
            "package": version("pytest-mockstream"),
            "run": {
                "started": self._started.isoformat(timespec="seconds"),
                "seconds": round(monotonic() - self._began_at, 3),
                "status": status,
                "tests": len(self._tests),
                "failed": len(self._failed),
                "whole": self._extent.is_whole(session, status),
                "python": platform.python_version(),
                "platform": sys.platform,
            },
            "leaks_by_line": self._leaks_by_line(),
            "streams": table(by_state(consumers), "state"),
            "consumers": table(with_leaks(consumers, self._leaks.leaks), "at", "in"),
            "retries": table(self._rows("retries"), "at", "in", "by"),
            "findings": table(self._rows("findings"), "name", "at", "in", "by"),
            "stale_exemptions": list(self._stale(session, status)),
            "traces": self._links(),
        }

    def _rows(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        return [(found["test"], row) for found in self._told for row in found.get(name, ())]

    def _leaks_by_line(self) -> list[dict[str, Any]]:
        names = ("at", "in", "kind", "outcome", "owner", "kept_by")
        texts = ("name", "waits_at", "diagnosis", "remedy")
        rows = []
        for leak in self._leaks.leaks:
            place, function, *rest = site_of(leak)
            what = dict(zip(names, (line_of(place, function), function, *rest), strict=True))
            rows.append((leak["test"], {**what, "count": 1, **{text: leak[text] or "" for text in texts}}))
        return table(rows, *names)

    # What no longer leaves anything out.

    def _stale(self, session: pytest.Session, status: int) -> Iterator[dict[str, str]]:
        markers = self._leaks.markers
        yield from ({"kind": markers[place], "what": "", "where": place} for place in self._leaks.stale)
        used: dict[tuple[str, str], bool] = {}
        for found in self._told:
            for where, what, is_used in found.get("ignores", ()):
                used[where, what] = is_used or used.get((where, what), False)
        unused = [key for key, is_used in used.items() if not is_used]
        yield from ({"kind": "ignore", "what": what, "where": where} for where, what in unused)
        if self._mode == "off" or not self._extent.is_whole(session, status):
            return
        in_use = {what for found in self._told for what in found.get("ignored", ())}
        for what in map(in_utf8, self._config.getini(_IGNORES)):
            if what not in in_use:
                yield {"kind": "ignore", "what": what, "where": _IGNORES}
        if (ratchet := self._config.pluginmanager.get_plugin(_KNOWN)) is not None:
            for entry in ratchet.gone():
                yield {"kind": "known", "what": f"{entry.kind} of {entry.where}", "where": str(ratchet.shown)}

    def _links(self) -> dict[str, str]:
        """Return the links to the traces of the tests that are told of."""
        tests = {*(leak["test"] for leak in self._leaks.leaks), *(found["test"] for found in self._told)}
        return {test: _link(trace, self._path.parent) for test, trace in sorted(self._traces.items()) if test in tests}


def _link(file: str, folder: Path) -> str:
    """Return a link to a file that holds wherever both folders are put together."""
    way = relative(os.path.realpath(file), str(folder))
    return Path(way).as_uri() if os.path.isabs(way) else quote(os.fsencode(Path(way).as_posix()))
