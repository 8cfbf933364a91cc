"""Leaves the wrappers that what a fixture or a test raises passes through out of its traceback.

They are ours, and pytest-asyncio's.
"""

from __future__ import annotations

from collections.abc import Collection
from types import FrameType

import pytest

from .as_before import PLUGIN, is_configured

_OUR_WRAPPERS = {f"pytest_mockstream.plugin.{module}" for module in ("deadlocks", "leak_check", "sweeps")}
_WRAPPERS = {"pytest_fixture_setup", "pytest_runtest_call", "pytest_runtest_setup", "pytest_runtest_teardown"}


class TracebacksAsBefore:
    """Three hook calls for each test are dear; so it is registered with the first thing that passes through ours."""

    _NAME = "mockstream-tracebacks"

    def __init__(self, modules: Collection[str]) -> None:
        self._modules = modules

    @classmethod
    def register(cls, config: pytest.Config) -> None:
        """Register it, once."""
        plugins = config.pluginmanager
        if not plugins.has_plugin(cls._NAME):
            plugins.register(cls(_OUR_WRAPPERS if is_configured(config) else {*_OUR_WRAPPERS, PLUGIN}), cls._NAME)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> None:
        _leave_out(call, self._modules)


def _leave_out(call: pytest.CallInfo[None], modules: Collection[str]) -> None:
    # Not with __tracebackhide__: pytest does not heed it in an exception group, and where nothing but lines of its own
    # is left it says that all of them are hidden.
    place = call.excinfo.tb if call.excinfo is not None else None
    while place is not None:
        following = place.tb_next
        while following is not None and _is_wrapper(following.tb_frame, modules):
            following = place.tb_next = following.tb_next
        place = following


def _is_wrapper(frame: FrameType, modules: Collection[str]) -> bool:
    return frame.f_code.co_name in _WRAPPERS and frame.f_globals.get("__name__") in modules
