"""Switch the leak check on: read its settings, let the canary prove that it sees, register the parts.

The wall: the only place that knows both the settings and the parts of the check.
"""

from __future__ import annotations

import pytest

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream.leaks import DEFAULT_KINDS, compile_ignores

from .leak_check import LeakPlugin
from .leak_markers import Plan, check_kinds
from .leak_summary import LeakSummary
from .settings import Settings


def register(config: pytest.Config, settings: Settings) -> None:
    """Register the leak check with pytest."""
    try:
        plan = Plan(
            grace=settings.grace,
            ignore=compile_ignores(config.getini("mockstream_leak_ignore"), "mockstream_leak_ignore"),
            kinds=check_kinds(config.getini("mockstream_leak_kinds"), "mockstream_leak_kinds") | {*DEFAULT_KINDS},
            contain=config.getini("mockstream_contain"),
        )
    except ScriptError as error:
        raise pytest.UsageError(str(error)) from None
    mode = "warn" if config.getoption("usepdb", default=False) else settings.leaks
    summary = LeakSummary(mode, settings.grace, settings.report)
    config.pluginmanager.register(summary, "mockstream-leak-summary")
    config.pluginmanager.register(LeakPlugin(config, mode, plan, summary), "mockstream-leaks")
