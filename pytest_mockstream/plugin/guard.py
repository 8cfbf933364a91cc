"""Holds the guard up from the first door that opens in a session to its end, and reports what it refused meanwhile.

Loaded with the first door.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pytest_mockstream.doors.guard import GUARD, held

from .in_force import of_test
from .warning import warn

_NAME = "mockstream-guard"


class GuardPlugin:
    """The guard of one session."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._held = ExitStack()
        self._held.enter_context(held())

    @classmethod
    def register(cls, config: pytest.Config) -> None:
        """Put the guard up, unless it is."""
        if not config.pluginmanager.has_plugin(_NAME):
            config.pluginmanager.register(cls(config), _NAME)

    # Not ``tryfirst``: markers that cannot mean anything have failed their test before.
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        GUARD.allow(of_test(item).passthrough or ())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        try:
            yield
        finally:
            GUARD.allow(())
            self._report(item)

    def pytest_sessionfinish(self) -> None:
        self._report(None)

    def pytest_unconfigure(self) -> None:
        self._held.close()

    def _report(self, item: pytest.Item | None) -> None:
        refused, GUARD.refused[:] = GUARD.refused[:], []
        for told in dict.fromkeys(refused):
            warn(self._config, item, told)
