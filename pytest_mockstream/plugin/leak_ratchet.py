"""Lets known leaks pass, names those that are gone, and keeps their file.

It takes what the reports of tests carry, in one process or from workers; what is known is in ``known``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream.leaks import Leak

from .known import Known, fingerprint, gone, load, noted, save
from .run_extent import RunExtent

FLAG, UPDATE = "--mockstream-known", "--mockstream-known-update"


class Ratchet:
    """The known leaks of a run.

    Args:
        config: of the run.
        known: the path that an option or the ini file gives.

    Raises:
        pytest.UsageError: the file cannot be read, or says what is not legal.
    """

    def __init__(self, config: pytest.Config, known: str) -> None:
        on_command_line = config.getoption(FLAG) is not None
        self._root = config.rootpath
        self._path = (config.invocation_params.dir if on_command_line else self._root) / known
        self._updates = bool(config.getoption(UPDATE))
        self._is_new = self._updates and not self._path.exists()
        self._is_worker = hasattr(config, "workerinput")
        self._extent = RunExtent(config)
        self._leaks: list[dict[str, Any]] = []
        self._ran: set[str] = set()
        self._is_whole = False
        try:
            self._known = {} if self._is_new else load(self._path)
        except ScriptError as error:
            raise pytest.UsageError(f"{FLAG}: {error}") from None

    def knows(self, leak: Leak) -> bool:
        """Tell whether a leak is known; all are in the run that writes the file for the first time."""
        return self._is_new or self.fingerprint(leak) in self._known

    def fingerprint(self, leak: Leak) -> str:
        """Return what a leak is found by."""
        return fingerprint(leak, self._root)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._ran.add(report.nodeid.partition("::")[0])
        self._leaks += getattr(report, "mockstream_leaks", ())

    def pytest_deselected(self, items: Iterable[pytest.Item]) -> None:
        self._extent.deselected(items)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        self._is_whole = self._extent.is_whole(session, exitstatus)
        if not self._updates or self._is_worker:
            return
        found = noted(leak for leak in self._leaks if leak["outcome"] == "known")
        if self._is_new:
            save(self._path, found.values())
            return
        left = {entry.fingerprint for entry in self.gone()}
        save(self._path, [self._updated(entry, found) for key, entry in self._known.items() if key not in left])

    def _updated(self, entry: Known, found: dict[str, Known]) -> Known:
        now = found.get(entry.fingerprint)
        if now is None or not self._is_whole:
            return entry
        return Known(
            fingerprint=entry.fingerprint,
            kind=entry.kind,
            where=now.where,
            count=now.count,
            tests=now.tests,
            reason=entry.reason,
        )

    def gone(self) -> list[Known]:
        """Return the entries that leak no more, as far as this run can tell."""
        seen = {leak["fingerprint"] for leak in self._leaks}
        return gone(self._known.values(), seen, self._ran, self._root) if self._is_whole else []

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section("known leaks")
        for line in self._lines():
            terminalreporter.write_line(line)

    def _lines(self) -> list[str]:
        known = [leak for leak in self._leaks if leak["outcome"] == "known"]
        lines_of = {leak["fingerprint"] for leak in known}
        if self._is_new:
            entries = f"{len(lines_of)} {'entry' if len(lines_of) == 1 else 'entries'}"
            return [
                f"{self.shown}: written, {entries}",
                f'  put mockstream_known = "{self.shown}" into the ini file; then only new leaks fail',
            ]
        lines = [f"{self.shown}: {len(lines_of)} of {len(self._known)} known lines leaked, {_times(len(known))}"]
        new = {leak["fingerprint"]: leak for leak in self._leaks if leak["outcome"] == "error"}
        if new and self._updates:
            lines += [f"  new, and not added: {leak['created_at'] or leak['name']}" for leak in new.values()]
            lines.append(f"  to accept them, delete {self.shown} and write it anew")
        no_more = self.gone()
        lines += [f"  gone: {entry.where} ({entry.kind})" for entry in no_more]
        if no_more:
            lines.append("  taken out" if self._updates else f"  take them out with {UPDATE}")
        return lines

    @property
    def shown(self) -> Path:
        """The path of the file, for messages."""
        return self._path.relative_to(self._root) if self._path.is_relative_to(self._root) else self._path


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
