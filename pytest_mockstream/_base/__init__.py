"""What all rooms share: errors, checks of values, call sites, clocks, notifications, and patching of libraries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class OrderMemory(Protocol):
    """Keeps the orders that failed, from one session of tests to the next."""

    def failed(self, title: str) -> Sequence[str]:
        """Return the orders of a sweep that failed last time."""

    def keep(self, title: str, orders: Sequence[str]) -> None:
        """Keep the orders of a sweep that failed."""


#: What each running session of tests wants to be called before a door opens in it, the innermost session last. It
#: stands here because every run of pytest loads this module anyway, and no other for it.
before_a_door: list[Callable[[], None]] = []

#: Where each running session of tests keeps the orders that failed, the innermost session last.
order_memories: list[Callable[[], OrderMemory]] = []
