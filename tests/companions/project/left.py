"""What tests leave on purpose, and what lets it end when the run is over."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

#: Nothing of this is ever collected.
KEPT: list[Any] = []
#: Set at the end of the run.
OVER = threading.Event()


def leave_thread() -> None:
    """Start a thread that runs until the end of the run."""
    threading.Thread(target=OVER.wait, args=(60,), daemon=True).start()


def leave_task() -> None:
    """Start a task that waits for what does not come."""
    KEPT.append(asyncio.ensure_future(asyncio.Event().wait()))
