"""Tells which secrets of a process are looked for in a recording, in which forms, and which are too plain for that."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

from pytest_mockstream._base.redaction import REDACTED, is_secret_variable

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: Shorter, and a value may stand anywhere by chance.
SHORTEST = 8
#: Shorter, and a word may be one of a language: "assistant", "developer", "changeme".
_SHORTEST_WORD = 12
_WORD = re.compile(r"[a-z]+|[A-Z]+|[A-Z][a-z]+")
#: They say nothing of themselves, wherever they stand.
_EMPTY = frozenset({"true", "false", "none", "null"})
_SHORTEST_DOUBTED = 4


def is_told_from_text(value: str) -> bool:
    """Tell whether a secret can be replaced wherever it stands, without hitting what only looks like it."""
    is_word = len(value) < _SHORTEST_WORD and _WORD.fullmatch(value) is not None
    return len(value) >= SHORTEST and not is_word


def secrets_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the values of the variables that are named like secrets, each with the name of its variable."""
    return {value: name for name, value in sorted(environ.items()) if is_secret_variable(name) and value}


def doubtful(values: Iterable[str]) -> list[str]:
    """Return those that say something, and cannot be told from text."""
    return [
        value
        for value in values
        if len(value) >= _SHORTEST_DOUBTED and value.lower() not in _EMPTY and not is_told_from_text(value)
    ]


def forms_of(value: str) -> frozenset[str]:
    """Return a secret in all forms in which it may stand in a text: as it is, escaped, encoded.

    They are those of JSON (RFC 8259 section 7), also of JSON in JSON, of URLs (RFC 3986 section 2.1), of Base64 (RFC
    4648), also inside of a longer text such as ``user:password``, and hexadecimal.
    """
    forms = {value, value.strip(), value.encode(errors="surrogatepass").hex(), *_in_base64(value)}
    for ascii_only in (True, False):
        once = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        forms |= {once, once.replace("/", "\\/"), json.dumps(once, ensure_ascii=ascii_only)[1:-1]}
    for quoted in (quote, quote_plus):
        text = quoted(value, safe="", errors="replace")
        forms |= {text, re.sub("%..", lambda found: found[0].lower(), text), text.replace("%2F", "/"), quote(text, "")}
    return frozenset(form for form in forms if len(form) >= SHORTEST and form not in REDACTED)


def _in_base64(value: str) -> Iterator[str]:
    """Yield what Base64 makes of a text: all of it, and what stays the same whatever is before and behind it."""
    data = value.encode(errors="surrogatepass")
    for before in range(3):
        text = b64encode(bytes(before) + data).decode()
        inside = text[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        for form in (inside, *([text, text.rstrip("=")] if before == 0 else [])):
            yield from (form, form.replace("+", "-").replace("/", "_"))
