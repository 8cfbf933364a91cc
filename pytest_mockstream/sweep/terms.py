"""What all sweeps can be told, checked once; which points a sweep visits, and how far it has come.

The wall: values and numbers only; runs nothing.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.clock import monotonic
from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import duration, integer

Check: TypeAlias = Callable[[], object]
Progress: TypeAlias = Callable[[int, int], None]

#: A point that a run did not come by gets so many runs in all: sockets and threads do not wake code the same way twice.
TRIES = 3
_LOG = logging.getLogger("pytest_mockstream.sweep")
_EVERY = 2.0

_at_least_one = integer(at_least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What all sweeps can be told; see ``sweep_cancellation``.

    Raises:
        ScriptError: something is not legal.
    """

    check: Check | None = None
    grace: float | str = 0.2
    ignore: Iterable[str] = ()
    allow_completion: bool = False
    point: int | None = None
    max_points: int | None = None
    patience: float | str = 1.5
    progress: Progress | None = None

    def __post_init__(self) -> None:
        for name in ("grace", "patience"):
            object.__setattr__(self, name, duration(getattr(self, name), name))
        for name in ("point", "max_points"):
            if getattr(self, name) is not None:
                _at_least_one(getattr(self, name), name)
        for name in ("check", "progress"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                msg = f"{name}={getattr(self, name)!r}: give a callable"
                raise ScriptError(msg)
        flag(self.allow_completion, "allow_completion")
        object.__setattr__(self, "ignore", names(self.ignore, "ignore"))

    def chosen(self, count: int) -> Sequence[int]:
        """Return the numbers of the points to visit, from 1: one alone, or all, or evenly spread from first to last.

        Raises:
            ScriptError: there is no such point.
        """
        if self.point is not None:
            if self.point > count:
                legal = f"give 1 to {count}" if count else "there is none"
                msg = f"point={self.point!r}: the code under test has {count} points; {legal}"
                raise ScriptError(msg)
            return (self.point,)
        if self.max_points is None or count <= self.max_points:
            return range(1, count + 1)
        if self.max_points == 1:
            return (1,)
        return [1 + round(i * (count - 1) / (self.max_points - 1)) for i in range(self.max_points)]

    def told(self, points: Sequence[int], title: str) -> Iterator[int]:
        """Yield points, and tell how many are done: after each one, or in the log every other second."""
        next_time = monotonic() + _EVERY
        for done, number in enumerate(points, 1):
            yield number
            if self.progress is not None:
                self.progress(done, len(points))
            elif monotonic() >= next_time:
                next_time = monotonic() + _EVERY
                _LOG.info("%s: %d of %d points visited", title, done, len(points))


def flag(value: object, name: str) -> bool:
    """Return a value that is True or False.

    Raises:
        ScriptError: it is neither.
    """
    if not isinstance(value, bool):
        msg = f"{name}={value!r}: give True or False"
        raise ScriptError(msg)
    return value


def names(value: object, name: str) -> tuple[str, ...]:
    """Return a row of names.

    Raises:
        ScriptError: it is none.
    """
    listed = None if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    if listed is None or not all(isinstance(one, str) for one in listed):
        msg = f"{name}={value!r}: give a list of names or regular expressions"
        raise ScriptError(msg)
    return listed


def function_of(value: Any, name: str) -> Any:
    """Return what can be called again and again.

    Raises:
        TypeError: it cannot be called; a coroutine, above all, can run only once.
    """
    if callable(value):
        return value
    if inspect.iscoroutine(value):
        value.close()  # nobody will ever await it
        made = value.__qualname__
        msg = f"{name} is a coroutine of {made}, which can run only once: give what makes it, lambda: {made}(...)"
        raise TypeError(msg)
    msg = f"{name}={value!r} cannot be called: give a function without arguments"
    raise TypeError(msg)


def name_of(thing: object) -> str:
    """Return how a report calls a callable: a lambda by where it stands."""
    inner = getattr(thing, "func", thing)
    name = str(getattr(inner, "__qualname__", repr(inner)))
    code = getattr(inner, "__code__", None)
    if name.endswith("<lambda>") and code is not None:
        return f"the lambda at {CallSite(code.co_filename, code.co_firstlineno, name)}"
    return name.replace("<locals>.", "")
