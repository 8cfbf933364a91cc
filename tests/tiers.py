"""Leaves out the slow tests, unless ``--slow`` asks for them or a test is named, and says so at the end.

It chooses the number of workers, too: with ``-n logical`` three for two cores.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

_left_out = pytest.StashKey[int]()
_IN_WORKER = "mockstream_left_out"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the slow tests, too")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_left_out] = 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Many tests wait for a grace period or another process; half a worker more for each core makes use of that."""
    cores = os.cpu_count() or 1
    return cores + cores // 2


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.slow or any("::" in arg for arg in config.args):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
    config.stash[_left_out] = len(slow)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_IN_WORKER] = session.config.stash[_left_out]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear of what a worker of pytest-xdist left out; each of them collects the whole suite."""
    stash = node.config.stash
    stash[_left_out] = max(stash[_left_out], getattr(node, "workeroutput", {}).get(_IN_WORKER, 0))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if count := config.stash[_left_out]:
        tests = "1 slow test" if count == 1 else f"{count} slow tests"
        terminalreporter.write_line(f"Left out: {tests}. To run all of them: pytest -n logical --slow", yellow=True)
