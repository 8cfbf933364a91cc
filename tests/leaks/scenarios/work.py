"""What scenarios leave running, and how all of it ends when the run is over.

Nothing here starts anything by itself.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack
from typing import Any

END = threading.Event()
"""Set when the run is over."""

AFTERWARDS = ExitStack()
"""What else to do then."""

KEPT: list[Any] = []
"""What somebody still refers to."""


async def forever() -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


def until_the_end() -> None:
    """Block a thread until the run is over."""
    END.wait()


def end() -> None:
    """End everything, so that the process can exit."""
    END.set()
    AFTERWARDS.close()
