"""What may be shown of an attempt: texts, values and places without secrets, and the source lines around the places.

Theory of operation: a credential is one wherever it stands. So what the requests of the attempt hide, and what the
environment holds, is gathered first, from all requests, and then hidden in everything that goes into the trace. What
short texts and lines of source look like then is remembered for the next attempts, as long as nothing else is secret:
most tests of a suite show the same.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from math import isfinite
from typing import Any

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.redaction import (
    REDACTED,
    HiddenBytes,
    HiddenFloat,
    HiddenInt,
    HiddenText,
    Secrets,
    hidden_at,
    hidden_spans,
    is_named_like_credential,
    real,
)
from pytest_mockstream.playbook.ledger import entry_of
from pytest_mockstream.playbook.request import Request

_AROUND = 5  # lines of source before and after a place
_LINES_OF_KEY = 60  # a private key may begin, or end, so many lines away
_LONGEST = 20_000  # characters of a text in a request
_MOST = 5_000  # values in a request
_DEEPEST = 40
_EXACT = 2**53  # what a number in JavaScript can tell apart
_SHORT = 200  # characters
_MOST_REMEMBERED = 10_000  # texts

Place = dict[str, Any]
Span = tuple[int, int]
Excerpt = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Memory:
    """What things look like without certain secrets.

    Attributes:
        texts: how each is shown.
        excerpts: of source, by file, first and last line, with the lines of the whole file at that time.
    """

    texts: dict[str, str] = field(default_factory=dict)
    excerpts: dict[tuple[str, int, int], tuple[list[str], Excerpt]] = field(default_factory=dict)


@lru_cache(maxsize=4)
def _memory(known: frozenset[str]) -> _Memory:
    """Return what has been shown since this is what is secret."""
    return _Memory()


class Shown:
    """Shows the things of one attempt, and remembers the places that it has shown.

    Args:
        requests: all of the attempt.
        known: further secrets.
    """

    def __init__(self, requests: Iterable[Request], known: Secrets | None = None) -> None:
        self._secrets = Secrets()
        for secrets in (known, *(entry_of(request).secrets for request in requests)):
            if secrets is not None:
                self._secrets.join(secrets)
        self._lines: dict[str, set[int]] = {}
        self._files: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._memory = _memory(self._secrets.known)

    def text(self, text: str) -> str:
        """Return a text without its secrets."""
        if len(text) > _SHORT:
            return str(self._secrets.text(text))
        texts = self._memory.texts
        if (said := texts.get(text)) is None:
            if len(texts) >= _MOST_REMEMBERED:
                texts.clear()
            said = texts[text] = str(self._secrets.text(text))
        return said

    def line(self, text: str) -> str:
        """Return a text without its secrets, and without the middle of one that is too long to be a label."""
        said = self.text(text)
        return said if len(said) <= 300 else f"{said[:200]} ... {said[-80:]}"

    def spans(self, texts: Sequence[str], between: str = "") -> list[list[Span]]:
        """Return where texts have secrets, as parts of what they are when joined; an empty list if nowhere."""
        spans = hidden_spans(self._secrets.text(between.join(texts)))
        if not spans:
            return []
        found, start, place = [], 0, 0
        for text in texts:
            stop = start + len(text)
            while place < len(spans) and spans[place][1] <= start:
                place += 1
            inside, here = [], place
            while here < len(spans) and spans[here][0] < stop:
                inside.append((max(spans[here][0], start) - start, min(spans[here][1], stop) - start))
                here += 1
            found.append(inside)
            start = stop + len(between)
        return found

    def parts(self, texts: Sequence[str], between: str = "") -> list[str]:
        """Return texts without the secrets that are in what they are when joined."""
        spans = self.spans(texts, between)
        return [str(hidden_at(*one)) for one in zip(texts, spans, strict=True)] if spans else list(texts)

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers of an answer; of a request, its record shows them."""
        return {
            self.text(str(name)): REDACTED if is_named_like_credential(str(name)) else self.text(str(value))
            for name, value in headers.items()
        }

    def value(self, value: Any) -> Any:
        """Return a value of a request as JSON, without its secrets and without what is too much; no code of it runs."""
        left = _MOST

        def plain(one: Any, depth: int) -> Any:
            nonlocal left
            left -= 1
            if depth > _DEEPEST:
                return "..."
            if isinstance(one, Mapping):
                return {key(name): plain(item, depth + 1) for name, item in islice(one.items(), max(0, left))}
            if isinstance(one, list | tuple | set | frozenset):
                some = [plain(item, depth + 1) for item in islice(one, max(0, left))]
                return some if len(some) == len(one) else [*some, "..."]
            return _leaf(one)

        def key(name: Any) -> str:
            said = str(_leaf(name))
            return said if len(said) <= _SHORT else f"{said[:_SHORT]}..."

        (hidden,) = self._secrets.hide(value)
        self._memory = _memory(self._secrets.known)  # what is called a credential in it is one everywhere
        return plain(hidden, 0)

    # Places and their source.

    def place(self, site: CallSite | None) -> Place | None:
        """Return a place as data, and remember it for ``sources``."""
        if site is None:
            return None
        name = self._names.get(site.filename)
        if name is None:
            name = self._names[site.filename] = self.text(str(site).rpartition(":")[0]).replace("\\", "/")
            self._files[name] = site.filename
        self._lines.setdefault(name, set()).add(site.lineno)
        return {"file": name, "line": site.lineno, "function": self.text(site.function)}

    def sources(self) -> dict[str, list[Excerpt]]:
        """Return the lines around all places so far, by file; what cannot be read is left out."""
        found = {}
        for name, numbers in self._lines.items():
            lines = linecache.getlines(self._files[name])
            excerpts = [self._excerpt(name, lines, first, last) for first, last in _merged(numbers, len(lines))]
            if excerpts:
                found[name] = excerpts
        return found

    def _excerpt(self, name: str, lines: list[str], first: int, last: int) -> Excerpt:
        excerpts, key = self._memory.excerpts, (self._files[name], first, last)
        known = excerpts.get(key)
        if known is not None and known[0] is lines:  # linecache has not read it anew
            return known[1]
        start = max(0, first - 1 - _LINES_OF_KEY)
        told = self.parts([line.rstrip("\n") for line in lines[start : last + _LINES_OF_KEY]], "\n")
        excerpt = {"first": first, "lines": told[first - 1 - start : last - start]}
        if len(excerpts) >= _MOST_REMEMBERED:
            excerpts.clear()
        excerpts[key] = lines, excerpt
        return excerpt


def _leaf(value: Any) -> Any:
    match value:
        case HiddenInt() | HiddenFloat() | HiddenBytes():
            return REDACTED
        case None | bool():
            return value
        case str():
            said = str(value) if isinstance(value, HiddenText) else real(value)
            return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}... ({len(said)} characters in all)"
        case int():
            return int.__index__(value) if abs(int.__index__(value)) < _EXACT else int.__repr__(value)
        case float():
            number = float.__float__(value)
            return number if isfinite(number) else float.__repr__(value)  # JSON knows neither nan nor inf
        case bytes() | bytearray():
            return f"<{len(value)} bytes>"
    return f"<{type(value).__module__}.{type(value).__qualname__}>"


def _merged(numbers: Iterable[int], count: int) -> list[tuple[int, int]]:
    """Return the first and the last line of each excerpt."""
    spans: list[tuple[int, int]] = []
    for number in sorted(number for number in numbers if 1 <= number <= count):
        first, last = max(1, number - _AROUND), min(count, number + _AROUND)
        if spans and first <= spans[-1][1] + 1:
            spans[-1] = spans[-1][0], last
        else:
            spans.append((first, last))
    return spans
