"""A pytest plugin: every asyncio test runs on a loop that starts its tasks eagerly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"eager": _loop}
