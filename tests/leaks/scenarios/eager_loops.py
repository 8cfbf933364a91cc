"""A pytest plugin: every asyncio test runs on a loop that starts its tasks eagerly (Python 3.12 and later)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from importlib.metadata import version

import pytest


def _eager_loop(
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
) -> asyncio.AbstractEventLoop:
    loop = new_loop()
    if sys.version_info >= (3, 12):
        loop.set_task_factory(asyncio.eager_task_factory)
    return loop


if version("pytest-asyncio") >= "1.4":

    def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
        return {"eager": _eager_loop}  # another function each time would mean another loop

else:

    class _Eager(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return _eager_loop(super().new_event_loop)

    @pytest.fixture(scope="session")
    def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
        """Do the same as pytest-asyncio had it before that hook."""
        return _Eager()
