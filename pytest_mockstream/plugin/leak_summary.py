"""The leaks of one test in its report, and those of the whole run in a section at the end.

It reads pytest's reports, made in this process or sent by workers, and looks at no task or thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest


class Verdict:
    """The verdict on one test: a plugin for as long as it takes to make the report of its teardown, last of all.

    Args:
        plugins: where it is registered.
        found: what leaked, as the JSON report has it.
        exemption: whose marker was in force, whether it was needed, and its name; None for none.
        text: what fails the test; empty if nothing does.
        failed: whether it has failed already; that stays, and the text is added.
    """

    def __init__(
        self,
        plugins: pytest.PytestPluginManager,
        found: list[dict[str, Any]],
        exemption: tuple[str, bool, str] | None,
        text: str,
        *,
        failed: bool,
    ) -> None:
        self._plugins = plugins
        self._found = found
        self._exemption = exemption
        self._text = text
        self._failed = failed

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        report: Any = yield
        self._plugins.unregister(self)
        report.mockstream_leaks = self._found
        report.mockstream_exemption = self._exemption
        if self._text and (report.failed or self._failed):
            report.sections.append(("leaks at teardown", self._text))
        elif self._text:
            report.outcome = "failed"
            report.longrepr = self._text
        return report  # type: ignore[no-any-return] # a wrapper returns what it got


class Collector:
    """Takes what reports carry.

    Attributes:
        leaks: of all tests.
        exemptions: whether each was needed, by whose it is.
        markers: the name of each, by whose it is.
    """

    def __init__(self) -> None:
        self.leaks: list[dict[str, Any]] = []
        self.exemptions: dict[str, bool] = {}
        self.markers: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.leaks += getattr(report, "mockstream_leaks", ())
        if exemption := getattr(report, "mockstream_exemption", None):
            place, used, self.markers[exemption[0]] = exemption
            self.exemptions[place] = used or self.exemptions.get(place, False)

    @property
    def stale(self) -> list[str]:
        """The places of exemptions that nothing needed in this run."""
        return [place for place, used in self.exemptions.items() if not used]


class LeakSummary:
    """Collects the leaks of the run; in a worker of xdist it leaves that to the controller."""

    def __init__(self) -> None:
        self._collector = Collector()
        self.still_open: list[str] = []

    def collect(self, plugins: pytest.PytestPluginManager) -> None:
        """Begin to take what reports carry; a run whose tests leave nothing never does."""
        if not plugins.is_registered(self._collector):
            plugins.register(self._collector)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self._collector.leaks and not self._collector.stale:
            return
        terminalreporter.section("leaks")
        for line in self._lines():
            terminalreporter.write_line(line)
        if _is_undecided(terminalreporter.config):
            for line in self._advice():
                terminalreporter.write_line(line)

    def _advice(self) -> list[str]:
        """Return what to do about a suite that leaks in many places, for somebody who has decided nothing yet."""
        counts = Counter(
            f"{leak['through'] or leak['created_at'] or leak['name']}"
            for leak in self._collector.leaks
            if leak["outcome"] == "error"
        )
        if len(counts) < _MANY:
            return []
        worst = ", ".join(f"{place} ({number})" for place, number in counts.most_common(3))
        return [
            f"{len(counts)} lines leak, most often: {worst}. Next steps:",
            "  let only new leaks fail:  pytest --mockstream-known=leaks.toml --mockstream-known-update",
            "  only report:              pytest --mockstream-leaks=warn",
        ]

    def _lines(self) -> list[str]:
        sites: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for leak in self._collector.leaks:
            sites.setdefault(site_of(leak), []).append(leak)
        lines = []
        by_count = sorted(sites.items(), key=lambda site: -len(site[1]))
        for (place, function, kind, outcome, owner, kept), leaks in by_count:
            tests = sorted({leak["test"] for leak in leaks if leak["test"]})
            where = f"{place} in {function}" if function else place or "a place that nobody saw"
            who = f"{f', kept by {kept}' if kept else ''}{_by(owner)}"
            count = f"{_number(len(leaks), kind)} in {_number(len(tests), 'test')}"
            lines.append(f"{where}{who}: {count}{_said(outcome)}")
            lines += [f"    {test}" for test in tests[:3]]
            if len(tests) > 3:
                lines.append(f"    and {len(tests) - 3} more")
        markers = self._collector.markers
        lines += [f"still open at the end: {what}" for what in self.still_open]
        lines += [f"{place}: its {markers[place]} is stale, it leaks no more" for place in self._collector.stale]
        return lines


def site_of(leak: dict[str, Any]) -> tuple[Any, ...]:
    """Return what leaks that are told of together share: place, function, kind, outcome, owner, and who keeps them."""
    kept = leak["kept_by"]
    place = leak["through"] or leak["created_at"] if kept else leak["created_at"]
    return place, "" if kept else leak["created_in"], leak["kind"], leak["outcome"], leak["owner"], kept


_MANY = 3  # lines that leak; whoever has fewer mends them


def _is_undecided(config: pytest.Config) -> bool:
    """Tell whether nobody has said yet what leaks mean in this project."""
    return all(config.getoption(f"mockstream_{name}") is None for name in ("leaks", "known")) and all(
        config.getini(f"mockstream_{name}") is None for name in ("leaks", "known")
    )


_LASTING = {
    "import": "an import",
    "plugin": "a plugin of a pytest session inside this one",
    "singleton": "a library",
}


def plural(noun: str) -> str:
    """Return the word for more than one."""
    return "processes" if noun == "process" else f"{noun}s"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun if count == 1 else plural(noun)}"


def _said(outcome: str) -> str:
    return "" if outcome == "error" else f" ({outcome})"


def _by(owner: str) -> str:
    if owner in _LASTING:
        return f", by {_LASTING[owner]}: it lives as long as the process"
    if owner.startswith("fixture:"):
        _, name, scope = owner.split(":")
        return f", by the fixture {name!r} ({scope})"
    return "" if owner == "test" else f", by {owner}"
