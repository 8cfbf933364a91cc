"""Tells the leak check what virtual clocks show when a test has run: looptime's plugin makes them real right after it.

Loaded only beside that plugin (checked: looptime 0.9).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_mockstream.leaks import LeakWatch


class ClockNotes:
    """Takes note before any other plugin does something after the call of a test.

    Args:
        watch: is told.
    """

    def __init__(self, watch: LeakWatch) -> None:
        self._watch = watch

    def pytest_runtest_setup(self) -> None:
        self._watch.end_call()  # what was noted for an earlier test says nothing of this one

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_pyfunc_call(self) -> Iterator[None]:
        try:
            return (yield)
        finally:
            self._watch.end_call()
