"""Keeps what a suite prints as it was before this package was installed, and pytest-asyncio with it.

It must not know what the package needs pytest-asyncio for, only what pytest-asyncio prints because it is there.

Theory of operation: pytest-asyncio warns in ``pytest_configure`` while ``asyncio_default_fixture_loop_scope`` is unset,
which ends a suite with ``filterwarnings = error`` before its first test. No value of that key will do as a default: the
one that means the same as none, ``"fixture-scope"``, is an error before pytest-asyncio 1.5. So the key stays unset, and
this one warning is ignored. Other plugins and conftest files may put filters of their own in front as they configure.
The last plugin to be registered is the first to configure, so ours is registered at once after pytest-asyncio: nobody
can come between the two. Checked against pytest-asyncio 1.1 to 1.5; what a later one words differently is shown.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator
from types import FrameType
from typing import Any

import pytest

_PLUGIN = "pytest_asyncio.plugin"
_UNSET = 'The configuration option "asyncio_default_fixture_loop_scope" is unset'
_HEADER = "asyncio: mode="
# Where a configuration file sets a key of pytest-asyncio, in the ini format or in TOML.
_KEY = re.compile(r"^[^#;\n]*\basyncio_\w+[\"']?\s*[=:]", re.MULTILINE)
_OUR_WRAPPERS = "pytest_mockstream.plugin.leak_check"
_WRAPPERS = {"pytest_fixture_setup", "pytest_runtest_setup", "pytest_runtest_teardown"}


class AsyncioAsBefore:
    """Hooks that come right before those of pytest-asyncio, or around them."""

    def __init__(self) -> None:
        self._configured = True

    @classmethod
    def beside(cls, plugin: object, plugins: pytest.PytestPluginManager) -> None:
        """Register these hooks if the plugin that was just registered is pytest-asyncio."""
        if getattr(plugin, "__name__", None) == _PLUGIN:
            plugins.register(cls(), "mockstream-asyncio")

    def pytest_configure(self, config: pytest.Config) -> None:
        self._configured = _is_configured(config)
        warnings.filterwarnings("ignore", re.escape(_UNSET), pytest.PytestDeprecationWarning)

    @pytest.hookimpl(wrapper=True)
    def pytest_report_header(self) -> Iterator[None]:
        lines: Any = yield
        if not self._configured:
            lines = [line for line in lines if not "".join(line).startswith(_HEADER)]
        return lines  # type: ignore[no-any-return] # a wrapper returns what it got


class TracebacksAsBefore:
    """Leaves the wrappers that what a fixture raises passes through out of its traceback: ours, and pytest-asyncio's.

    Three hook calls for each test are dear; so it is registered with the first thing that passes through one of ours.
    """

    _NAME = "mockstream-tracebacks"

    def __init__(self, modules: Collection[str]) -> None:
        self._modules = modules

    @classmethod
    def register(cls, config: pytest.Config) -> None:
        """Register it, once."""
        plugins = config.pluginmanager
        if not plugins.has_plugin(cls._NAME):
            plugins.register(cls({_OUR_WRAPPERS} if _is_configured(config) else {_OUR_WRAPPERS, _PLUGIN}), cls._NAME)

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


def _is_configured(config: pytest.Config) -> bool:
    """Tell whether the project, or its user, has set anything of pytest-asyncio."""
    if any(config.getoption(name, None) is not None for name in ("asyncio_mode", "asyncio_debug")):
        return True
    if any(override.startswith("asyncio_") for override in config.getoption("override_ini", None) or ()):
        return True
    # Only the file tells: getini() gives the same for a default and for a key that is set to it.
    path = config.inipath
    return path is not None and _KEY.search(path.read_text(encoding="utf-8", errors="replace")) is not None
