"""Lines of a TOML text: each value is found where it was written, whatever the text looks like."""

from __future__ import annotations

import json
import random
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mockstream.playbook.toml_places import DEEPEST, ExcessError, Place, lines_of

SCALARS = (
    "1", "-1.5e3", "true", "1979-05-27T07:32:00Z", "0xff", "'[#'", '"]\\"#,"', '"""a\n[b"]\n"""', "'''\n]'\n'''", '""',
    '"""a\\"""b"""""', "''''a'''", "1_000", "inf", "''",
)  # fmt: skip
KEYS = ("a", "b-c", "1", '"d.e"', "'f g'", '"\\u0068 ]"', "true")


class Writer:
    """Writes a random TOML text, and notes on which line each value begins."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - a seed, not cryptography
        self.text = ""
        self.lines: dict[Place, int] = {}
        self._names = 0

    def write(self) -> None:
        self._pairs(())
        for _ in range(self.chance.randrange(4)):
            name = self._key()
            for number in range(self.chance.randrange(1, 4)):
                place: Place = (unquoted(name), number)
                self._note(place[:1])
                self._note(place)
                self._add(f"[[ {name} ]]" + self._end())
                self._pairs(place)
                if self.chance.random() < 0.5:
                    key = self._key()
                    self._note((*place, unquoted(key)))
                    self._add(f" [{name} . {key}]" + self._end())
                    self._pairs((*place, unquoted(key)))

    def _pairs(self, table: Place) -> None:
        for _ in range(self.chance.randrange(4)):
            self._pair(table)
            self._add(self._end())

    def _pair(self, table: Place) -> None:
        keys = [self._key() for _ in range(self.chance.choice((1, 1, 1, 2, 3)))]
        place = table
        for key in keys:
            place = (*place, unquoted(key))
            self._note(place)
        self._add(f"{self.chance.choice(('.', ' . ')).join(keys)} =\t")
        self._value(place, 0)

    def _value(self, place: Place, depth: int) -> None:
        self._note(place)
        kind = self.chance.random()
        if depth == 4 or kind < 0.5:
            self._add(self.chance.choice(SCALARS))
        elif kind < 0.8:
            self._add("[")
            for index in range(count := self.chance.randrange(4)):
                self._add(self._space())
                self._value((*place, index), depth + 1)
                self._add(self._space() + ("," if index < count - 1 or self.chance.random() < 0.3 else ""))
            self._add(self._space() + "]")
        else:
            self._add("{ ")
            for index in range(self.chance.randrange(3)):
                self._add(", " if index else "")
                self._pair(place)
            self._add(" }")

    def _key(self) -> str:
        self._names += 1
        key = self.chance.choice(KEYS)
        return f"{key[:-1]}{self._names}{key[-1]}" if key[0] in "\"'" else f"{key}{self._names}"

    def _space(self) -> str:
        return "".join(self.chance.choice(("", " ", "\n", "# [ \" '''\n")) for _ in range(2))

    def _end(self) -> str:
        return self.chance.choice(("\n", "  # = [\n", "\n\n"))

    def _note(self, place: Place) -> None:
        self.lines.setdefault(place, 1 + self.text.count("\n"))

    def _add(self, text: str) -> None:
        self.text += text


def unquoted(key: str) -> str:
    return str(json.loads(key)) if key[0] == '"' else key.strip("'")


def places_in(value: Any, place: Place = ()) -> list[Place]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: list[Place] = [place]
    for key, item in items:
        found += places_in(item, (*place, key))
    return found


@given(st.integers(0, 2**32))
def test_every_value_is_found_on_its_line(seed: int) -> None:
    writer = Writer(seed)
    writer.write()
    places = places_in(tomllib.loads(writer.text))[1:]

    assert lines_of(writer.text, places) == writer.lines


@given(st.text("[]{}=,.\"'\\#\n a1", max_size=200))
def test_what_is_no_toml_is_read_all_the_same(text: str) -> None:
    assert lines_of(text, ()) == {}


@pytest.mark.parametrize(
    ("text", "line", "place"),
    [
        ("a = 1\nx = " + "[" * 100_000, 2, ("x", *[0] * 100)),
        ("\n\nx = " + "{a = " * 100_000, 3, ("x", *["a"] * 100)),
        ("x." * 100_000 + "x = 1", 1, ("x",) * 101),
        ("[" + "x." * 100_000 + "x]", 1, ("x",) * 101),
        ("[[a]]\n[[a]]\nb = 1\nseed = " + "9" * 5000, 4, ("a", 1, "seed")),
        ("seed = [\n1,\n-0x" + "f" * 5000 + "]", 3, ("seed", 1)),
    ],
)
def test_what_has_no_bounds_is_found_on_its_line(text: str, line: int, place: Place) -> None:
    with pytest.raises(ExcessError) as caught:
        lines_of(text, ())

    assert (caught.value.line, caught.value.place) == (line, place)


def test_what_is_as_deep_as_allowed_is_read() -> None:
    text = "x = " + "[" * (DEEPEST - 1) + "1" + "]" * (DEEPEST - 1)
    place: Place = ("x", *[0] * (DEEPEST - 1))

    assert lines_of(text, [place]) == {place: 1}


def test_a_long_text_is_no_long_number() -> None:
    assert lines_of(f"x = '{'9' * 1000}'\n{'k' * 1000} = 1", [("x",)]) == {("x",): 1}
