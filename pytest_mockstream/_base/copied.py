"""Copies collections that other threads may change this very moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def copied(things: Iterable[T]) -> list[T]:
    """Return what is in a deque, a set or a weak set.

    Copying a list, a set or a dictionary is one step, with the global interpreter lock and without. A weak set is
    copied by Python code, and a deque in many steps where there is no such lock; both say so if they change meanwhile.
    """
    while True:
        try:
            return list(things)
        except RuntimeError:
            continue
