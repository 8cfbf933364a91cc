"""The leak check for those tests alone that ask for it, in a run where it is off.

Nothing is watched, and nothing paid for, before such a test is set up and after it is torn down.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from . import in_force
from .leak_check import LeakPlugin, plan_of


class OptIn:
    """Switches the check on for one test at a time.

    Args:
        config: of the run.

    Attributes:
        check: the check, which is registered only while such a test runs.

    Raises:
        pytest.UsageError: the ini file says what is not legal, or the check cannot see on this Python.
    """

    def __init__(self, config: pytest.Config) -> None:
        settings = in_force.of_run(config)
        self._plugins = config.pluginmanager
        self.check = LeakPlugin(config, "off", plan_of(config, settings.grace))
        self.check.start()
        self.check.watch.stop()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        if not self.check.asserts(item):
            return (yield)
        self.check.start()
        self._plugins.register(self.check, "mockstream-leaks")
        try:
            return (yield)
        finally:
            self._plugins.unregister(self.check)
            self.check.stop()

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.check.end_session(int(exitstatus))
