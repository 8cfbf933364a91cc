"""Makes texts that a regular expression matches, for the patterns that JSON schemas have.

It reads what ECMA-262 and Python write alike (https://json-schema.org/understanding-json-schema/reference/regular_expressions):
characters, classes, groups, alternatives, repetitions and anchors. Look-around, back references and flags it does not.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable
from typing import TypeAlias

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_Make: TypeAlias = Callable[[random.Random], str]

_MOST = 1000  # repetitions
_MORE = 4  # so many times more often than it must, at most
_CLASSES = {
    "d": string.digits,
    "w": string.ascii_letters + string.digits + "_",
    "s": " ",
    "D": string.ascii_letters + "_-",
    "W": " -.",
    "S": string.ascii_letters + string.digits,
}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
_PRINTABLE = string.ascii_letters + string.digits + " -_.,:;/@+#"
_GROUP = re.compile(r"\?(?::|P?<[A-Za-z_]\w*>)")
_REPEATED = re.compile(r"\{(\d+)(?:(,)(\d*))?\}|[*+?]")


def text_matching(pattern: str, draw: random.Random) -> str:
    """Return a text that a pattern matches.

    Raises:
        ValueError: the pattern says something that is not read here.
    """
    reader = _Reader(pattern)
    try:
        make = reader.alternatives()
    except _UnreadError:
        make = None
    if make is None or reader.rest:
        msg = f"the pattern {pattern!r} is not read from {reader.rest!r} on"
        raise ValueError(msg)
    return make(draw)


class _UnreadError(Exception):
    """Something in a pattern is not read."""


class _Reader:
    """Reads a pattern from the left; ``rest`` is what is not read yet."""

    def __init__(self, pattern: str) -> None:
        self.rest = pattern

    def alternatives(self) -> _Make:
        options = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        return lambda draw: draw.choice(options)(draw)

    def _sequence(self) -> _Make:
        parts: list[_Make] = []
        while self.rest and self.rest[0] not in "|)":
            if not self._take("^") and not self._take("$"):
                parts.append(self._repeated(self._atom()))
        return lambda draw: "".join(part(draw) for part in parts)

    def _atom(self) -> _Make:
        if self._take("("):
            if group := _GROUP.match(self.rest):
                self.rest = self.rest[group.end() :]
            elif self.rest.startswith("?"):
                raise _UnreadError
            inside = self.alternatives()
            if not self._take(")"):
                raise _UnreadError
            return inside
        if self._take("["):
            return _one_of(self._members())
        if self._take("."):
            return _one_of(_PRINTABLE)
        return _one_of(self._character())

    def _repeated(self, make: _Make) -> _Make:
        found = _REPEATED.match(self.rest)
        if found is None:
            return make
        self.rest = self.rest[found.end() :]
        self._take("?")  # as few as possible: which texts match is the same
        least = int(found[1] or found[0] == "+")
        if least > _MOST:
            raise _UnreadError
        most = least if found[1] and not found[2] else int(found[3] or least + _MORE)
        most = 1 if found[0] == "?" else most
        return lambda draw: "".join(make(draw) for _ in range(draw.randint(least, min(most, least + _MORE))))

    def _members(self) -> str:
        """Return the characters of a class."""
        negated, members = self._take("^"), ""
        while not self._take("]"):
            first = self._character()
            if len(first) == 1 and self.rest[:1] == "-" and self.rest[1:2] not in {"]", ""}:
                self.rest = self.rest[1:]
                last = self._character()
                members += "".join(map(chr, range(ord(first), min(ord(last), ord(first) + 1000) + 1)))
            else:
                members += first
        return "".join(one for one in _PRINTABLE if one not in members) if negated else members

    def _character(self) -> str:
        """Return the characters that the next one stands for."""
        if not self.rest:
            raise _UnreadError
        one, self.rest = self.rest[0], self.rest[1:]
        if one != "\\":
            return one
        one, self.rest = self.rest[:1], self.rest[1:]
        if one in {"u", "x"}:
            digits = 4 if one == "u" else 2
            code, self.rest = self.rest[:digits], self.rest[digits:]
            return chr(int(code, 16))
        if one in _CLASSES or one in _ESCAPES or not one.isalnum():
            return _CLASSES.get(one, _ESCAPES.get(one, one))
        raise _UnreadError

    def _take(self, mark: str) -> bool:
        if self.rest.startswith(mark):
            self.rest = self.rest[len(mark) :]
            return True
        return False


def _one_of(characters: str) -> _Make:
    if not characters:
        raise _UnreadError
    return lambda draw: draw.choice(characters)
