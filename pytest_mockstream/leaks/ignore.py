"""What is left running on purpose, said by name or by function."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from pytest_mockstream._base.errors import ScriptError

from .values import Leak

_STACK = "stack:"


class Ignore(NamedTuple):
    """One thing that is left running on purpose.

    Attributes:
        pattern: must match a whole name.
        anywhere: whether any function in the stack is meant, and not only the thing itself and what created it.
    """

    pattern: re.Pattern[str]
    anywhere: bool

    def __str__(self) -> str:
        """Return it as it is written in a marker or an ini file."""
        return f"{_STACK if self.anywhere else ''}{self.pattern.pattern}"


def compile_ignores(patterns: object, name: str) -> tuple[Ignore, ...]:
    """Return what is meant by names or regular expressions.

    Each must match the whole name of a task or thread, or of its coroutine or thread function, or of the function that
    created it, with its module or without. After ``stack:``, any function in the stack that created it, or in the one
    that waits, is meant as well.

    Raises:
        ScriptError: one is no regular expression.
    """
    given = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(given, Iterable):
        msg = f"{name}={patterns!r}: give a list of names or regular expressions"
        raise ScriptError(msg)
    return tuple(_compiled(pattern, name) for pattern in given)


def _compiled(pattern: object, name: str) -> Ignore:
    anywhere = isinstance(pattern, str) and pattern.startswith(_STACK)
    try:
        return Ignore(_expression(pattern), anywhere)
    except (re.error, TypeError) as error:
        msg = f"{name}: {pattern!r} is not a regular expression: {error}"
        raise ScriptError(msg) from None


def _expression(pattern: object) -> re.Pattern[str]:
    if isinstance(pattern, str):
        return re.compile(pattern.removeprefix(_STACK))
    if isinstance(pattern, re.Pattern):
        return pattern
    msg = "give a str"
    raise TypeError(msg)


def matches(leak: Leak, ignores: Iterable[Ignore]) -> bool:
    """Tell whether one of these means a leak."""
    return any(
        ignore.pattern.fullmatch(text)
        for ignore in ignores
        for text in (leak.names | leak.functions if ignore.anywhere else leak.names)
    )
