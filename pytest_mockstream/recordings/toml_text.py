"""Writes the TOML of recordings: tables that a person can read and change, a step of a script on each line.

tomllib reads TOML and writes none. What is written here is little of it: tables, arrays and inline tables of texts,
numbers and booleans (https://toml.io/en/v1.0.0).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SURROGATES = re.compile("[\ud800-\udfff]")
_WIDTH = 120


def table_of(pairs: Iterable[tuple[str, Any]]) -> str:
    """Return the lines of a table; values of None are left out."""
    return "".join(f"{key_of(key)} = {_laid_out(value, key)}\n" for key, value in pairs if value is not None)


def key_of(key: str) -> str:
    """Return a key, quoted where it has to be."""
    return key if _BARE_KEY.fullmatch(key) else _text(key)


def block(text: str) -> Block:
    """Mark a text that is written on lines of its own."""
    return Block(text)


class Block(str):
    """A text that is written on lines of its own."""

    __slots__ = ()


def _laid_out(value: Any, key: str) -> str:
    """Return a value; a list of tables has one on each line, a long one of anything else several."""
    if isinstance(value, Block):
        return _lines(value)
    written = inline(value)
    is_long = len(key) + 3 + len(written) > _WIDTH
    if isinstance(value, list | tuple) and value and (is_long or any(isinstance(one, Mapping) for one in value)):
        return f"[\n{_rows(value)}]"
    return written


def _rows(values: Iterable[Any]) -> str:
    """Return the elements of an array on lines that are not too long."""
    rows: list[str] = []
    for value in values:
        one = f"{inline(value)},"
        if rows and not isinstance(value, Mapping) and len(rows[-1]) + 1 + len(one) + 4 <= _WIDTH:
            rows[-1] += f" {one}"
        else:
            rows.append(one)
    return "".join(f"    {row}\n" for row in rows)


def inline(value: Any) -> str:
    """Return a value on one line.

    Raises:
        TypeError: TOML cannot say it.
    """
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return repr(value)
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case Mapping():
            said = ", ".join(f"{key_of(key)} = {inline(one)}" for key, one in value.items() if one is not None)
            return f"{{ {said} }}" if said else "{}"
        case list() | tuple():
            return f"[{', '.join(map(inline, value))}]"
    raise TypeError(f"TOML has nothing that says {value!r:.80}")


def _text(text: str) -> str:
    """Return a text as a basic string; half of a surrogate pair, which is no character, becomes U+FFFD."""
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped and JSON does not.
    return json.dumps(_SURROGATES.sub("\ufffd", text), ensure_ascii=False).replace("\x7f", "\\u007f")


def _lines(text: str) -> str:
    """Return a text of several lines as it is, or escaped where it has what a literal string has not."""
    if "'''" in text or any(ord(char) < 32 and char not in "\n\t" for char in text) or "\x7f" in text:
        return _text(text)
    return f"'''\n{_SURROGATES.sub(chr(0xFFFD), text)}'''"
