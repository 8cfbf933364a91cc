"""Finds on which line of a TOML text a value stands, which tomllib does not tell, and what tomllib is not to be given.

Theory of operation: one pass over the tokens, without recursion, in a time that grows with the text alone. It takes for
granted that the text is TOML: of one that is not, it tells something, and tomllib tells what is wrong.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection
from typing import TypeAlias

#: The keys and indices that lead to a value.
Place: TypeAlias = "tuple[str | int, ...]"

#: tomllib is recursive, and takes quadratic time for a key of many parts.
DEEPEST = 100
#: Python refuses to read numbers of more than 4,300 digits, and no float can be as large as one of these.
LONGEST_NUMBER = 308

_TOKEN = re.compile(
    r"""
    (?P<string> "{3} (?: [^"\\]++ | \\. | "{1,2}(?!") )*+ "{3,5}
              | '{3} (?: [^']++ | '{1,2}(?!') )*+ '{3,5}
              | " (?: [^"\\\n]++ | \\. )*+ "
              | ' [^'\n]*+ ' )
    | (?P<word> [^\s\[\]{}=,."'#]++ )
    | (?P<mark> [\[\]{}=,.\n] )
    | (?P<nothing> [^\S\n]++ | \#[^\n]*+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)


class ExcessError(ValueError):
    """Something in a text is without bounds.

    Attributes:
        place: where.
        line: its line, from 1.
    """

    def __init__(self, place: Place, line: int, problem: str) -> None:
        super().__init__(problem)
        self.place = place
        self.line = line


def lines_of(text: str, places: Collection[Place]) -> dict[Place, int]:
    """Return on which line, from 1, each of these places begins; without those that are not there.

    Raises:
        ExcessError: it is nested too deep, or has too long a number.
    """
    return _Reading(text, frozenset(places)).lines


class _Reading:
    """The reading of one text; its attributes say where it stands."""

    def __init__(self, text: str, wanted: Collection[Place]) -> None:
        self.lines: dict[Place, int] = {}
        self._wanted = wanted
        self._line = 1
        self._table: Place = ()  # the one that the last header opened
        self._tables: dict[Place, int] = {}  # how many tables each array of tables has so far
        self._keys: list[str] = []
        self._brackets = 0  # of the header being read
        self._reads_key = True
        self._place: Place = ()  # of the value being read
        self._open: list[tuple[Place, int | None]] = []  # lists, each with the index of its item, and inline tables
        for token in _TOKEN.finditer(text):
            if token.lastgroup == "mark":
                self._mark(token[0])
            elif token.lastgroup != "nothing":
                self._word(token[0], is_string=token.lastgroup == "string")
        self._end_line()

    def _word(self, word: str, *, is_string: bool) -> None:
        if self._reads_key:
            self._keys.append(_unquoted(word) if is_string else word)
            self._check_depth((*self._base, *self._keys))
        else:
            self._note(self._place)
            if len(word) > LONGEST_NUMBER and not is_string and word.lstrip("+-")[:1].isdigit():
                problem = f"a number of {len(word)} digits: give at most {LONGEST_NUMBER}"
                raise ExcessError(self._place, self._line, problem)
        self._line += word.count("\n")

    def _mark(self, mark: str) -> None:
        match mark:
            case "\n":
                if not self._open:
                    self._end_line()
                self._line += 1
            case "[" if self._reads_key and not self._keys and not self._open:
                self._brackets += 1
            case "=" if self._reads_key:
                base, self._place = self._base, (*self._base, *self._keys)
                for end in range(len(base) + 1, len(self._place) + 1):
                    self._note(self._place[:end])
                self._keys, self._reads_key = [], False
            case "[" | "{" if not self._reads_key:
                self._note(self._place)
                self._open.append((self._place, 0 if mark == "[" else None))
                self._begin_item()
            case "," if self._open:
                place, index = self._open[-1]
                self._open[-1] = place, None if index is None else index + 1
                self._begin_item()
            case "]" | "}" if self._open:
                self._open.pop()
                self._reads_key = False

    def _begin_item(self) -> None:
        place, index = self._open[-1]
        self._reads_key = index is None
        if index is not None:
            self._place = (*place, index)
            self._check_depth(self._place)

    def _end_line(self) -> None:
        if self._brackets:
            self._table = self._header()
        self._keys, self._brackets, self._reads_key = [], 0, True

    def _header(self) -> Place:
        place: Place = ()
        for number, key in enumerate(self._keys, 1):
            place = (*place, key)
            self._note(place)
            if number == len(self._keys) and self._brackets == 2:
                self._tables[place] = self._tables.get(place, 0) + 1
            if place in self._tables:
                place = (*place, self._tables[place] - 1)
                self._note(place)
        return place

    @property
    def _base(self) -> Place:
        """The table that a key is in."""
        if self._brackets:
            return ()
        return self._open[-1][0] if self._open else self._table

    def _note(self, place: Place) -> None:
        if place in self._wanted:
            self.lines.setdefault(place, self._line)

    def _check_depth(self, place: Place) -> None:
        if len(place) > DEEPEST:
            raise ExcessError(place, self._line, f"nested more than {DEEPEST} levels deep")


def _unquoted(key: str) -> str:
    try:
        return str(tomllib.loads(f"key = {key}")["key"])
    except tomllib.TOMLDecodeError:
        return key
