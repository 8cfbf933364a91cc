"""A loop whose clock jumps: what would take hours takes milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import looptime

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a new loop with virtual time that starts at 0.

    The loop closes in real time, as with looptime's own plugin: asyncio then waits up to 300 s for the threads that an
    SDK has used, and a clock that jumps is through with them before a thread gets to end.
    """

    async def jumping() -> T:
        with looptime.enabled(strict=True):
            return await main

    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(start=0, _enabled=False)) as runner:
        return runner.run(jumping())
