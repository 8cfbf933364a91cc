"""Reads the markers of collected tests. A test whose markers cannot mean anything errors, and the others run.

Loaded with the first test that has one of our markers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mockstream._base.errors import ScriptError

if TYPE_CHECKING:
    from .leak_check import LeakPlugin


def read(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Read the markers of tests, and note everything that is wrong with them."""
    plugins = config.pluginmanager
    bad = plugins.get_plugin("mockstream-bad-markers") or BadMarkers()
    for item in items:
        names = {marker.name for marker in item.iter_markers()}
        mistakes = [*_in_settings(item), *(_in_sweep(item) if "mockstream_sweep" in names else ())]
        mistakes += _in_recorded(item) if "mockstream_recorded" in names else ()
        if not mistakes and "mockstream" in names:
            _trace(item)
        if (leaks := plugins.get_plugin("mockstream-leaks") or _opted_in(config, names)) is not None:
            mistakes += _in_leak_markers(item, leaks)
        if mistakes:
            bad.mistakes[item.nodeid] = list(dict.fromkeys(mistakes))
    if bad.mistakes and not plugins.is_registered(bad):
        plugins.register(bad, "mockstream-bad-markers")


def _opted_in(config: pytest.Config, names: Collection[str]) -> LeakPlugin | None:
    """Return the leak check of a run in which it is off, if a test with these markers asks for it."""
    if "assert_no_leaks" not in names:
        return None
    from .leak_opt_in import OptIn

    plugins = config.pluginmanager
    if (opt_in := plugins.get_plugin("mockstream-opt-in")) is None:
        plugins.register(opt_in := OptIn(config), "mockstream-opt-in")
    check: LeakPlugin = opt_in.check
    return check


def _in_settings(item: pytest.Item) -> Iterator[str]:
    from .in_force import mistakes_in

    for marker in item.iter_markers("mockstream"):
        yield from (f"@pytest.mark.mockstream: {mistake}" for mistake in mistakes_in(marker))


def _trace(item: pytest.Item) -> None:
    said = [marker.kwargs["trace"] for marker in item.iter_markers("mockstream") if "trace" in marker.kwargs]
    if said:
        from .trace import trace_item

        trace_item(item, said[0])


def _in_sweep(item: pytest.Item) -> Iterator[str]:
    from .sweeps import SweepPlugin, prepare

    try:
        prepare(item)
    except ScriptError as error:
        yield f"@pytest.mark.mockstream_sweep: {error}"
    plugins = item.config.pluginmanager
    if not plugins.has_plugin("mockstream-sweep"):
        plugins.register(SweepPlugin(), "mockstream-sweep")


def _in_recorded(item: pytest.Item) -> Iterator[str]:
    from .recordings import mistakes_in

    marker = item.get_closest_marker("mockstream_recorded")
    if marker is not None:
        yield from (f"@pytest.mark.mockstream_recorded: {mistake}" for mistake in mistakes_in(marker))


def _in_leak_markers(item: pytest.Item, leaks: LeakPlugin) -> list[str]:
    from .leak_markers import mistakes_in, plan_for

    mistakes = mistakes_in(item, leaks.default)
    if not mistakes:
        leaks.judge_by(item, plan_for(item, leaks.default))
    return mistakes


class BadMarkers:
    """Lets the tests error whose markers cannot mean anything, before any of their fixtures is set up.

    Attributes:
        mistakes: by node id.
    """

    def __init__(self) -> None:
        self.mistakes: dict[str, list[str]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if mistakes := self.mistakes.get(item.nodeid):
            pytest.fail("\n".join(mistakes), pytrace=False)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        report: Any = yield
        if call.when == "setup" and (mistakes := self.mistakes.get(item.nodeid)) and not report.failed:
            report.outcome = "failed"  # a mark that skips it, or expects it to fail, is no excuse
            report.longrepr = "\n".join(mistakes)
            vars(report).pop("wasxfail", None)
        return report  # type: ignore[no-any-return] # a wrapper returns what it got

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._is_listing(session.config) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self._is_listing(terminalreporter.config):
            return  # each test has told its own
        terminalreporter.section("markers that cannot mean anything")
        for node, mistakes in self.mistakes.items():
            for mistake in mistakes:
                terminalreporter.write_line(f"{node}: {mistake}")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        selected = {item.nodeid for item in session.items}
        self.mistakes = {node: mistakes for node, mistakes in self.mistakes.items() if node in selected}

    def _is_listing(self, config: pytest.Config) -> bool:
        return bool(config.option.collectonly and self.mistakes)
