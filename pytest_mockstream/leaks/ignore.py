"""What is left running on purpose, said by name or by function.

The wall: patterns and values only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pytest_mockstream._base.errors import ScriptError

from .values import Leak


def compile_ignores(patterns: object, name: str) -> tuple[re.Pattern[str], ...]:
    """Return patterns that must match a whole name of a task, thread or function; plain names are patterns, too.

    Raises:
        ScriptError: one is no regular expression.
    """
    given = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(given, Iterable):
        msg = f"{name}={patterns!r}: give a list of names or regular expressions"
        raise ScriptError(msg)
    compiled = []
    for pattern in given:
        try:
            compiled.append(re.compile(pattern))
        except (re.error, TypeError) as error:
            msg = f"{name}: {pattern!r} is not a regular expression: {error}"
            raise ScriptError(msg) from None
    return tuple(compiled)


def matches(leak: Leak, patterns: Iterable[re.Pattern[str]]) -> bool:
    """Tell whether one of the patterns means a leak: by its name, or by any function in its stacks."""
    return any(pattern.fullmatch(text) for pattern in patterns for text in (leak.name, *leak.functions))
