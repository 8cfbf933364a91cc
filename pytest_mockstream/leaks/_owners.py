"""Whom a task or a thread is credited to.

The wall: names and life times; nothing here knows how ownership is found out.
"""

from __future__ import annotations

from typing import Any


class Span:
    """A test, a wider-scoped fixture or a ``leak_check`` block: what has an end at which nothing of it may run.

    Attributes:
        name: how a report calls it.
        wide: whether it outlives the test in which it began.
        over: whether it has ended and was judged.
        survivors: whether something of it was still running then; what that starts later is its own, never a bystander's.
        kept: births of it that have to be looked at when it ends; used by wide spans only.
    """

    __slots__ = ("kept", "name", "over", "survivors", "wide")

    def __init__(self, name: str, *, wide: bool = False) -> None:
        self.name = name
        self.wide = wide
        self.over = False
        self.survivors = False
        self.kept: list[Any] = []


class Owner:
    """A part of a span: the body of a test, its setup, one of its fixtures.

    Attributes:
        span: what it is part of; None for what outlives every test (imports, the garbage collector).
        label: how a report calls the part; empty for the body of a test.
    """

    __slots__ = ("label", "span")

    def __init__(self, span: Span | None, label: str = "") -> None:
        self.span = span
        self.label = label

    def is_gone(self) -> bool:
        """Return whether it ended without a trace, so that whoever runs now answers for what its context starts."""
        span = self.span
        return span is not None and span.over and not span.survivors
