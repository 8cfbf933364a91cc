"""The keywords that all sweeps share, checked once, and which points of the code they choose.

It holds values and numbers only, and runs nothing.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self, TypeAlias, TypedDict

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.clock import monotonic
from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.keywords import lists
from pytest_mockstream._base.legal import did_you_mean, duration, integer

Check: TypeAlias = Callable[[], object]
ProgressCallback: TypeAlias = Callable[[int, int], None]

#: How often a point is tried that a run did not reach: sockets and threads do not wake code the same way twice.
TRIES = 3
#: How many points a sweep visits unless it is told otherwise. Each run plays the code from its start, so a coroutine
#: with n points takes time as n squared: some seconds for 1,000, some minutes for 10,000, hours for 100,000.
MAX_POINTS = 10_000
_SHOWN = 3  # numbers of points in a message, before the last one
_LOG = logging.getLogger("pytest_mockstream.sweep")
_LOG_INTERVAL = 2.0


class SweepKeywords(TypedDict, total=False):
    """The keywords that all sweeps share; ``sweep_cancellation`` says what each is for."""

    check: Check | None
    allow_completion: bool
    grace: float | str
    ignore: Iterable[str]
    point: int | None
    max_points: int | None
    patience: float | str
    progress: ProgressCallback | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The values of the shared keywords once they are checked: durations in seconds, names as a tuple."""

    check: Check | None = None
    allow_completion: bool = False
    grace: float = 0.2
    ignore: tuple[str, ...] = ()
    point: int | None = None
    max_points: int | None = MAX_POINTS
    patience: float = 1.5
    progress: ProgressCallback | None = None

    @classmethod
    def of(cls, keywords: Mapping[str, object]) -> Self:
        """Return the settings that keywords ask for.

        Raises:
            ScriptError: a value is not legal.
        """
        return cls(**{name: _PARSERS[name](value, name) for name, value in keywords.items()})

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

    def left_out(self, count: int) -> str:
        """Return which points are not visited, and how to visit them; "" if all are."""
        chosen = self.chosen(count)
        if len(chosen) == count:
            return ""
        text = f"{count - len(chosen)} of {count} points were left out"
        if self.point is not None:
            return f"{text} (point={self.point})."
        listed = [*map(str, chosen[:_SHOWN]), *(["..."] if len(chosen) > _SHOWN + 1 else [])]
        listed += [str(chosen[-1])] if len(chosen) > _SHOWN else []
        return (
            f"{text} (max_points={self.max_points}); visited: {', '.join(listed)}."
            " max_points=None visits all, point=N one alone."
        )

    @property
    def limits_unasked(self) -> bool:
        """Whether points are left out because nobody has said how many to visit."""
        return self.point is None and self.max_points == MAX_POINTS

    def with_progress(self, points: Sequence[int], title: str) -> Iterator[int]:
        """Yield points, and report how many are done: to ``progress`` after each, or to the log every other second."""
        next_time = monotonic() + _LOG_INTERVAL
        for done, number in enumerate(points, 1):
            yield number
            if self.progress is not None:
                self.progress(done, len(points))
            elif monotonic() >= next_time:
                next_time = monotonic() + _LOG_INTERVAL
                _LOG.info("%s: %d of %d points visited", title, done, len(points))


#: Lets ``help()`` and ``inspect.signature()`` list each shared keyword where a sweep says ``**keywords``.
shares_keywords = lists(SweepKeywords, {field.name: field.default for field in fields(Settings)})


def settings_of(sweep: Callable[..., Any], keywords: SweepKeywords) -> Settings:
    """Return the settings that a call of a sweep asks for.

    Raises:
        TypeError: a keyword is not known.
        ScriptError: a value is not legal.
    """
    for name in keywords:
        if name not in _PARSERS:
            legal = [
                parameter.name
                for parameter in inspect.signature(sweep).parameters.values()
                if parameter.kind is parameter.KEYWORD_ONLY
            ]
            msg = (
                f"{sweep.__name__}() got an unexpected keyword argument {name!r}.{did_you_mean(name, legal)}"
                f" Give some of {', '.join(sorted(legal))}"
            )
            raise TypeError(msg)
    return Settings.of(keywords)


def flag(value: object, name: str) -> bool:
    """Return a value that is True or False.

    Raises:
        ScriptError: it is neither.
    """
    if not isinstance(value, bool):
        msg = f"{name}={value!r}: give True or False"
        raise ScriptError(msg)
    return value


def _names(value: object, name: str) -> tuple[str, ...]:
    listed = None if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    if listed is None or not all(isinstance(one, str) for one in listed):
        msg = f"{name}={value!r}: give a list of names or regular expressions"
        raise ScriptError(msg)
    return listed


def _callback(value: object, name: str) -> object:
    if value is not None and not callable(value):
        msg = f"{name}={value!r}: give a callable"
        raise ScriptError(msg)
    return value


def _point_number(value: object, name: str) -> int | None:
    return None if value is None else _at_least_one(value, name)


_at_least_one = integer(at_least=1)
_PARSERS: Mapping[str, Callable[[object, str], Any]] = {
    "check": _callback,
    "allow_completion": flag,
    "grace": duration,
    "ignore": _names,
    "point": _point_number,
    "max_points": _point_number,
    "patience": duration,
    "progress": _callback,
}


def function_of(value: Any, name: str) -> Any:
    """Return a function that can be called once for each run.

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


def name_of(function: object) -> str:
    """Return the name of a function for a report: a lambda is named by its line."""
    inner = getattr(function, "func", function)
    name = str(getattr(inner, "__qualname__", repr(inner)))
    code = getattr(inner, "__code__", None)
    if name.endswith("<lambda>") and code is not None:
        return f"the lambda at {CallSite(code.co_filename, code.co_firstlineno, name)}"
    return name.replace("<locals>.", "")
