"""Tells what of a recording cannot be scrubbed with certainty, so that it is not written.

Theory of operation: what can be scrubbed is; the doubts are about what would be left. They are a short text that is a
word as well as a secret, what looks random and is called a secret by the words before it, what is a secret in one place
and stands in the clear in another, and what cannot be replaced without breaking the thing that it is in: a key of a
mapping, the bytes of an image or a file.
"""

from __future__ import annotations

import math
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeAlias

from pytest_mockstream._base.redaction import REDACTED, is_named_like_credential, real

from .known_secrets import doubtful, is_told_from_text
from .secret_texts import SecretTexts

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: Where it stands, and why it may be a secret.
Doubt: TypeAlias = tuple[str, str]

#: What a secret is called in a sentence, and the word that follows, perhaps after some that say nothing.
_CALLED = re.compile(
    r"\b(token|secret|pass(?:word|phrase|code|wd)|authorization|credentials?|(?:api|access|private)[ _-]?key)\b"
    r"(?:[\s:=\"'`*\\>-]{1,5}(?:is|was|are|be|it|to|of|for|as|the|a|an|my|your|our|new|old|this|here|now|called|set))"
    r"{0,5}[\s:=\"'`*\\>-]{1,5}([^\s\"'`*\\<>(){}\[\],;:]{8,200})",
    re.IGNORECASE,
)
_WORD_AND_NUMBER = re.compile(r"[A-Za-z]+[-_.]?v?[0-9.]+|[0-9.]+[-_]?[a-z]+")
#: Eight characters that are all different have as much.
_MOST_BITS = 23.5
_DATA = re.compile(r"(?:data:[\w/+.;=-]{1,100},)?([A-Za-z0-9+/_-]{32,}={0,2})")
_LONG_DATA = 1024
_NAMES = ("name", "key")


def doubts_about(value: Any, texts: SecretTexts, variables: Mapping[str, str]) -> Iterator[Doubt]:
    """Yield what cannot be scrubbed with certainty.

    Args:
        value: something JSON-like, a step or steps, as they were before they were scrubbed.
        texts: what scrubs them.
        variables: the secrets of the environment, each with the name of its variable.
    """
    hidden = texts.hide(_as_json(value))
    yield from _Doubts(texts, variables, set(_said_by_name(hidden))).about(hidden, "")


def _as_json(value: Any) -> Any:
    """Return a value with the steps in it as mappings of what they say, of which tuples are fragments of one text."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {one.name: getattr(value, one.name) for one in fields(value) if one.name != "said"}
    if isinstance(value, Mapping):
        return {name: _as_json(item) for name, item in value.items() if item is not None}
    return type(value)(map(_as_json, value)) if type(value) in {list, tuple} else value


def _said_by_name(hidden: Any) -> Iterator[str]:
    """Yield what the names of fields call secrets, of those that can be told from text; no fragment is a value."""
    if isinstance(hidden, Mapping):
        for item in hidden.values():
            yield from _said_by_name(item)
    elif isinstance(hidden, list):
        for item in hidden:
            yield from _said_by_name(item)
    elif isinstance(hidden, str) and str(hidden) == REDACTED != real(hidden) and is_told_from_text(real(hidden)):
        yield real(hidden)


class _Doubts:
    def __init__(self, texts: SecretTexts, variables: Mapping[str, str], named: set[str]) -> None:
        self._texts = texts
        self._named = named
        self._plain = {value: variables[value] for value in doubtful(variables)}
        self._in_bytes = [form.encode(errors="surrogatepass") for form in texts.forms]

    def about(self, value: Any, where: str, *, is_data: bool = False) -> Iterator[Doubt]:
        """Yield what is not certain about a value whose secrets are hidden."""
        if isinstance(value, Mapping):
            yield from self._about_mapping(value, where)
        elif isinstance(value, tuple) and any(isinstance(item, str) for item in value):
            # Fragments are no texts of their own: they are scrubbed as one, wherever that is cut.
            whole = "".join(real(item) for item in value if isinstance(item, str))
            yield from self._about_text(whole, where, is_data=False)
        elif isinstance(value, list | tuple):
            yield from self._about_list(value, where)
        elif isinstance(value, bytes | bytearray):
            yield from self._about_bytes(bytes(value), where)
        elif isinstance(value, str) and str(value) != REDACTED:
            yield from self._about_text(real(value), where, is_data=is_data)

    def _about_mapping(self, value: Mapping[Any, Any], where: str) -> Iterator[Doubt]:
        for name, item in value.items():
            inside = f"{where}.{name}" if where else f"{name}"  # of what is hidden, it shows nothing
            if REDACTED in inside.removeprefix(where) or name in self._named:
                yield inside, "a key of a mapping has a secret in it, and cannot be replaced"
            yield from self.about(item, inside, is_data="media_type" in value and name == "data")
        called = next((value[name] for name in _NAMES if isinstance(value.get(name), str)), "")
        said = value.get("value")
        if is_named_like_credential(called) and isinstance(said, str) and said and REDACTED not in str(said):
            yield f"{where}.value" if where else "value", f"it is the value of {called!r}"

    def _about_list(self, value: Sequence[Any], where: str) -> Iterator[Doubt]:
        is_certain = True
        for place, item in enumerate(value):
            for doubt in self.about(item, f"{where}[{place}]"):
                is_certain = False
                yield doubt
        if is_certain and len(value) > 1 and all(isinstance(item, str) for item in value):  # perhaps pieces of one text
            yield from self._about_text("".join(map(real, value)), where, is_data=False)

    def _about_text(self, text: str, where: str, *, is_data: bool) -> Iterator[Doubt]:
        yield from self._about_plain(text, where)
        data = _DATA.fullmatch(text) if len(text) > _LONG_DATA or text.startswith("data:") else None
        if is_data or data is not None:
            yield from self._about_bytes(_decoded(data[1] if data else text), where)
            return
        left = self._texts.text(text)
        for found in _CALLED.finditer(left):
            word = found[2].rstrip(".!?")
            if _looks_random(word):
                yield where, f"after {found[1]!r} stands what looks random, {len(word)} characters long"
        if any(named in left for named in self._named):
            yield where, "the value of a field that is called a secret stands in it, too"

    def _about_plain(self, text: str, where: str) -> Iterator[Doubt]:
        """Yield which secrets that are words, or short, stand in a text: as all of it, or as a word that is no word."""
        for value, variable in self._plain.items():
            is_whole = text.strip() == value
            is_odd = not value.isalpha() and not value.isdigit() and _stands_alone(value, text)
            if is_whole or is_odd:
                why = "is too short, or too common a word, to be told from text"
                yield where, f"it may be the value of {variable}, which {why}"

    def _about_bytes(self, data: bytes, where: str) -> Iterator[Doubt]:
        text = data.decode("latin-1")
        if any(form in data for form in self._in_bytes) or self._texts.identifier(text) != text:
            yield where, "its bytes have a secret in them, and cannot be replaced"


def _stands_alone(value: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) is not None


def _decoded(text: str) -> bytes:
    text = text.rstrip("=")
    try:
        return b64decode(text + "=" * (-len(text) % 4), altchars=b"-_" if {"-", "_"} & set(text) else None)
    except ValueError:
        return b""


def _looks_random(word: str) -> bool:
    """Tell whether a word has letters and digits in no order that people give them."""
    if _WORD_AND_NUMBER.fullmatch(word) or not any(map(str.isdigit, word)) or not any(map(str.isalpha, word)):
        return False
    counts = Counter(word).values()
    return -sum(count * math.log2(count / len(word)) for count in counts) >= _MOST_BITS
