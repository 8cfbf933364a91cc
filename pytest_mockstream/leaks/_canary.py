"""A planted task and a planted thread: the check proves to itself that it sees them.

The wall: plants, looks, and ends what it planted.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from ._births import BIRTHS
from ._judge import task_suspects, thread_suspects
from ._owner import Owner
from ._scope import Scope
from ._watch import LeakWatch


def sees(watch: LeakWatch) -> dict[str, bool]:
    """Return which kinds of leaks a watch that was started can see."""
    scope = Scope(Owner("test"), grace=0.0)
    watch.open(scope)
    try:
        return {"tasks": _sees_task(scope), "threads": _sees_thread(scope)}
    finally:
        watch.close()


def _sees_task(scope: Scope) -> bool:
    loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(_never())
        seen = task_suspects(scope, BIRTHS.pending_since(scope.mark), scope.blame)
        task.cancel()
        loop.run_until_complete(asyncio.wait([task]))
    finally:
        loop.close()
    return any(suspect is task and birth.frames for birth, suspect, _ in seen)


def _sees_thread(scope: Scope) -> bool:
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="mockstream canary", daemon=True)
    thread.start()
    seen = thread_suspects(scope)
    over.set()
    thread.join()
    return any(found.thread is thread and found.stops for found, _ in seen)


async def _never() -> Any:
    await asyncio.get_running_loop().create_future()
