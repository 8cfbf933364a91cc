"""Keeps what a suite prints as it was before this package was installed, and pytest-asyncio with it.

It must not know what the package needs pytest-asyncio for, only what pytest-asyncio prints because it is there.

Theory of operation: pytest-asyncio warns in ``pytest_configure`` while ``asyncio_default_fixture_loop_scope`` is unset,
which ends a suite with ``filterwarnings = error`` before its first test. No value of that key will do as a default: the
one that means the same as none, ``"fixture-scope"``, is an error before pytest-asyncio 1.5. So the key stays unset, and
this one warning is ignored. Other plugins and conftest files may put filters of their own in front as they configure.
The last plugin to be registered is the first to configure, so ours is registered at once after pytest-asyncio: nobody
can come between the two. Checked against pytest-asyncio 1.2 to 1.5; what a later one words differently is shown.

PYTEST_DONT_REWRITE: it has no asserts, and every run loads it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

PLUGIN = "pytest_asyncio.plugin"
_UNSET = 'The configuration option "asyncio_default_fixture_loop_scope" is unset'
_HEADER = "asyncio: mode="


class AsyncioAsBefore:
    """Hooks that come right before those of pytest-asyncio, or around them."""

    @classmethod
    def beside(cls, plugin: object, plugins: pytest.PytestPluginManager) -> None:
        """Register these hooks if the plugin that was just registered is pytest-asyncio."""
        if getattr(plugin, "__name__", None) == PLUGIN:
            plugins.register(cls(), "mockstream-asyncio")

    def pytest_configure(self) -> None:
        warnings.filterwarnings("ignore", re.escape(_UNSET), pytest.PytestDeprecationWarning)

    @pytest.hookimpl(wrapper=True)
    def pytest_report_header(self, config: pytest.Config) -> Iterator[None]:
        lines: Any = yield
        if not is_configured(config):
            lines = [line for line in lines if not "".join(line).startswith(_HEADER)]
        return lines  # type: ignore[no-any-return] # a wrapper returns what it got


def is_configured(config: pytest.Config) -> bool:
    """Tell whether the project, or its user, has set anything of pytest-asyncio."""
    if any(config.getoption(name, None) is not None for name in ("asyncio_mode", "asyncio_debug")):
        return True
    if any(override.startswith("asyncio_") for override in config.getoption("override_ini", None) or ()):
        return True
    # Only the file tells, ini or TOML: getini() gives the same for a default and for a key that is set to it.
    text = "" if config.inipath is None else config.inipath.read_text(encoding="utf-8", errors="replace")
    return re.search(r"^[^#;\n]*\basyncio_\w+[\"']?\s*[=:]", text, re.MULTILINE) is not None
