"""A pytest plugin: every asyncio test runs on a loop that starts its tasks eagerly (Python 3.12 and later)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable


def _eager_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    if sys.version_info >= (3, 12):
        loop.set_task_factory(asyncio.eager_task_factory)
    return loop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"eager": _eager_loop}
