"""Checks and converts values, in the same way for calls, markers, options and ini keys.

Each check takes a value and the name that its user knows it by. It returns what is meant, or raises a ``ScriptError``
that names both and says what is legal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable

from .errors import ScriptError

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|h)?\s*"


def duration(value: object, name: str) -> float:
    """Return a duration as seconds.

    Args:
        value: a number of seconds, or text such as ``"50ms"``, ``"1.5s"``, ``"2m"``, ``"10h"``.
        name: what the duration is for, as the message spells it: ``"delay"``, or ``"Wait()"`` for a call's argument.

    Raises:
        ScriptError: it is negative, not finite or not a duration at all.
    """
    number: float | None = None
    if isinstance(value, str):
        if match := re.fullmatch(_DURATION, value, re.ASCII):
            number = float(match[1]) * _UNITS[match[2] or "s"]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    if number is None or not math.isfinite(number) or number < 0:
        given = f"{name[:-1]}{value!r})" if name.endswith("()") else f"{name}={value!r}"
        msg = f"{given} is not a duration: give seconds >= 0, or text like '50ms', '1.5s', '2m'"
        raise ScriptError(msg)
    return number


def integer(*, at_least: int | None = None) -> Callable[[object, str], int]:
    """Return a check for whole numbers, which may also be given as text."""

    def parse(value: object, name: str) -> int:
        number: int | None = None
        if isinstance(value, str) and re.fullmatch(r"\s*-?\d+\s*", value, re.ASCII):
            number = int(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            number = value
        if number is None or (at_least is not None and number < at_least):
            legal = "a whole number" if at_least is None else f"a whole number >= {at_least}"
            msg = f"{name}={value!r}: give {legal}"
            raise ScriptError(msg)
        return number

    return parse


def rate(value: object, name: str) -> float:
    """Return a rate, in units per second: a finite number above 0, which may also be given as text."""
    number: float | None = None
    if (isinstance(value, str) and re.fullmatch(r"\s*\d+(\.\d*)?\s*", value, re.ASCII)) or (
        isinstance(value, int | float) and not isinstance(value, bool)
    ):
        number = float(value)
    if number is None or not 0 < number < math.inf:
        msg = f"{name}={value!r} is not a rate: give a finite number > 0"
        raise ScriptError(msg)
    return number


def one_of(*words: str) -> Callable[[object, str], str]:
    """Return a check that accepts one of these words."""

    def parse(value: object, name: str) -> str:
        if value not in words:
            msg = f"{name}={value!r} is not known: give {' or '.join(map(repr, words))}"
            raise ScriptError(msg)
        return str(value)

    return parse


def did_you_mean(word: str, legal: Iterable[str]) -> str:
    """Return ``" Did you mean 'times'?"`` if this word resembles a legal one, else nothing."""
    from difflib import get_close_matches  # loaded only once something is wrong

    near = get_close_matches(word, list(legal), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def unknown(keyword: str, legal: Iterable[str], where: str = "") -> str:
    """Return what to say of a keyword that is not known: the one that was meant, as far as one looks like it."""
    names = list(legal)
    meant = did_you_mean(keyword, names).strip().replace("Did", "did")
    return f"unknown keyword {keyword!r}{where}: {f'{meant} ' if meant else ''}give some of {', '.join(names)}"
