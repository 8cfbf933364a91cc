"""``Store``: what a provider keeps between two requests of a test, such as files that were uploaded.

It knows neither providers nor requests. Values are not changed in place: who changes one puts another in its place.
"""

from __future__ import annotations

from typing import Any

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_FEWEST_KEPT = 100


class Store:
    """Things by their kind and id, in the order in which they were made.

    Args:
        keep: how many of each kind are kept, the latest, but at least 100; None for all.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._keep = None if keep is None else max(keep, _FEWEST_KEPT)
        self._kinds: dict[str, dict[str, Any]] = {}
        self._count = 0

    def new_number(self) -> int:
        """Return a number that nothing else has; in each run of a test it is the same."""
        self._count += 1
        return self._count

    def new_id(self, prefix: str) -> str:
        """Return an id that nothing else has; in each run of a test it is the same."""
        return f"{prefix}{self.new_number()}"

    def put(self, kind: str, key: str, value: Any) -> None:
        """Keep a thing; one of this kind and id is replaced."""
        things = self._kinds.setdefault(kind, {})
        things[key] = value
        while self._keep is not None and len(things) > self._keep:
            del things[next(iter(things))]

    def get(self, kind: str, key: str) -> Any:
        """Return a thing; None if there is none."""
        return self._kinds.get(kind, {}).get(key)

    def all(self, kind: str) -> dict[str, Any]:
        """Return all things of a kind by their ids, the oldest first."""
        return dict(self._kinds.get(kind, {}))

    def remove(self, kind: str, key: str) -> None:
        """Forget a thing, if it is there."""
        self._kinds.get(kind, {}).pop(key, None)

    def copy(self) -> Store:
        """Return a store with the same things."""
        made = Store(self._keep)
        made.become(self)
        return made

    def become(self, other: Store) -> None:
        """Keep the things of another store, and nothing else."""
        self._kinds = {kind: dict(things) for kind, things in other._kinds.items()}
        self._count = other._count

    def clear(self) -> None:
        """Forget everything."""
        self.become(Store())
