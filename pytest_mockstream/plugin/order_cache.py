"""Keeps the orders that failed in pytest's cache, for each test and sweep. Loaded with the first sweep of orders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import pytest


class OrderCache:
    """The orders that failed last time; see ``OrderMemory``.

    Args:
        config: of the run. Without its cache, nothing is kept.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._cache: pytest.Cache | None = getattr(config, "cache", None)

    def failed(self, title: str) -> Sequence[str]:
        """Return the orders that failed last time in the test that runs now."""
        kept = None if self._cache is None else self._cache.get(_key(title), None)
        orders = kept.get("orders") if isinstance(kept, dict) else None
        return [order for order in orders if isinstance(order, str)] if isinstance(orders, list) else []

    def keep(self, title: str, orders: Sequence[str]) -> None:
        """Keep the orders that failed, or that none did if any had before."""
        if self._cache is not None and (orders or self.failed(title)):
            self._cache.set(_key(title), {"test": _test(), "orders": [*orders]})


def _test() -> str:
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]


def _key(title: str) -> str:
    """Return a key of the test's own: workers write at the same time."""
    return f"mockstream/orders/{hashlib.sha256(f'{_test()} {title}'.encode()).hexdigest()[:16]}"
