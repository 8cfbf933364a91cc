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
        number = _float(value)
    if number is None or not math.isfinite(number) or number < 0:
        given = f"{name[:-1]}{_brief(value)})" if name.endswith("()") else f"{name}={_brief(value)}"
        msg = f"{given} is not a duration: give seconds >= 0, or text like '50ms', '1.5s', '2m'"
        raise ScriptError(msg)
    return number


def _brief(value: object) -> str:
    from .redaction import brief  # loaded only once something is wrong

    return brief(value)


def _float(value: str | float) -> float:
    try:
        return float(value)
    except OverflowError:  # of an int; a text becomes infinite by itself
        return math.inf


def integer(*, at_least: int | None = None, at_most: int | None = None) -> Callable[[object, str], int]:
    """Return a check for whole numbers, which may also be given as text."""
    legal = "a whole number"
    if at_least is not None:
        legal += f" >= {at_least}" if at_most is None else f" from {at_least} to {at_most}"

    def parse(value: object, name: str) -> int:
        number: int | None = None
        if isinstance(value, str) and re.fullmatch(r"\s*-?\d+\s*", value, re.ASCII):
            number = int(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            number = value
        is_low = number is None or (at_least is not None and number < at_least)
        if number is None or is_low or (at_most is not None and number > at_most):
            msg = f"{name}={_brief(value)}: give {legal}"
            raise ScriptError(msg)
        return number

    return parse


def rate(value: object, name: str) -> float:
    """Return a rate, in units per second: a finite number above 0, which may also be given as text."""
    number: float | None = None
    if (isinstance(value, str) and re.fullmatch(r"\s*\d+(\.\d*)?\s*", value, re.ASCII)) or (
        isinstance(value, int | float) and not isinstance(value, bool)
    ):
        number = _float(value)
    if number is None or not 0 < number < math.inf:
        msg = f"{name}={_brief(value)} is not a rate: give a finite number > 0"
        raise ScriptError(msg)
    return number


def one_of(*words: str) -> Callable[[object, str], str]:
    """Return a check that accepts one of these words."""

    def parse(value: object, name: str) -> str:
        if value not in words:
            msg = f"{name}={_brief(value)} is not known: give {' or '.join(map(repr, words))}"
            raise ScriptError(msg)
        return str(value)

    return parse


_NEVER_IN_HOSTS = "/*,;@?#'\""


def hosts(value: object, name: str) -> tuple[str, ...]:
    """Return hosts in lower case.

    Args:
        value: names, each with a port (``"host:port"``) or without; one that begins with a dot is the ending of names.
        name: what they are for, as the message spells it.

    Raises:
        ScriptError: something in it is no host.
    """
    listed = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    hosts = tuple(host.lower() for host in listed if isinstance(host, str) and _is_host(host))
    if isinstance(value, str) or len(hosts) != len(listed):
        legal = "hosts, such as ['api.example.com', 'localhost:8000'], without scheme and path"
        msg = f"{name}={_brief(value)}: give {legal}; '.example.com' is all that end so"
        raise ScriptError(msg)
    return hosts


def _is_host(text: str) -> bool:
    has_port = text.count(":") == 1 or "]:" in text  # without brackets, an address of IPv6 has none
    host, _, port = text.rpartition(":") if has_port else (text, "", "0")
    is_name = bool(host.strip(".")) and not any(mark.isspace() or mark in _NEVER_IN_HOSTS for mark in host)
    return is_name and port.isdecimal()


def did_you_mean(word: str, legal: Iterable[str]) -> str:
    """Return ``" Did you mean 'times'?"`` if this word resembles a legal one, else nothing."""
    from difflib import get_close_matches  # loaded only once something is wrong

    near = get_close_matches(word, list(legal), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def unknown(keyword: str, legal: Iterable[str], where: str = "") -> str:
    """Return what to say of a keyword that is not known: the one that was meant, as far as one looks like it."""
    names = list(legal)
    meant = did_you_mean(keyword, names).strip().replace("Did", "did")
    return f"unknown keyword {_brief(keyword)}{where}: {f'{meant} ' if meant else ''}give some of {', '.join(names)}"
