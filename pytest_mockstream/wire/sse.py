"""Writes the frames of streamed bodies: server-sent events, lines of JSON (NDJSON), and JSON arrays.

It knows no provider. Events are framed as the HTML standard says
(https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation), NDJSON as
https://github.com/ndjson/ndjson-spec says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any, Literal, NamedTuple, TypeAlias

from pytest_mockstream.script.shape import LineEnding

Framing: TypeAlias = Literal["sse", "ndjson", "array"]

CONTENT_TYPES: dict[Framing, str] = {
    "sse": "text/event-stream; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "array": "application/json; charset=UTF-8",
}

_LINE_END = re.compile(r"\r\n|\n|\r")
# Legal inside JSON text, but line ends to ``str.splitlines``, which several clients split the body with; and halves of
# surrogate pairs, which UTF-8 cannot encode.
_TRAPS = re.compile("[\u0085\u2028\u2029\ud800-\udfff]")

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def _escaped(text: str) -> str:
    return text if text.isascii() else _TRAPS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def json_text(value: Any) -> str:
    """Write JSON on one line, without anything that a reader might take for a line end or UTF-8 cannot encode."""
    return _escaped(_encode(value))


def json_bytes(text: str) -> bytes:
    """Write a text as ``json_text`` does, several times as fast: most of nearly every frame is text."""
    quoted = encode_basestring(text)
    return (quoted if quoted.isascii() else _escaped(quoted)).encode()


class Event(NamedTuple):
    """The content of one frame; a tuple, since each chunk makes one and tuples are fast to make.

    Attributes:
        data: the payload, usually JSON text.
        name: the ``event:`` field of a server-sent event, or None for no such field.
    """

    data: str
    name: str | None = None


class Writer:
    """Writes the frames of one body.

    Args:
        framing: how frames are told apart: ``"sse"``, ``"ndjson"``, or ``"array"``, one JSON array for all.
        line_ending: the line ending; event streams and NDJSON allow both.
    """

    __slots__ = ("_begun", "_end", "_write")

    def __init__(self, framing: Framing, line_ending: LineEnding = "\n") -> None:
        writers: dict[Framing, Callable[[Event, bool], str]] = {
            "sse": self._sse,
            "ndjson": self._line,
            "array": self._element,
        }
        self._write = writers[framing]
        self._end = line_ending
        self._begun = False

    def frame(self, event: Event, *, last: bool = False) -> bytes:
        """Return the bytes of the next event; ``last`` completes the body."""
        return self._write(event, last).encode(errors="replace")

    def comment(self, text: str = "") -> bytes:
        """Return bytes that mean nothing to a reader.

        NDJSON and JSON have no comments: there it is a blank line, and white space between the elements.
        """
        if self._write != self._sse:
            return self._end.encode()
        lines = [f": {line}" if line else ":" for line in _LINE_END.split(text)]
        return "".join(line + self._end for line in (*lines, "")).encode(errors="replace")

    def _sse(self, event: Event, _last: bool) -> str:
        data, end = event.data, self._end
        if "\n" in data or "\r" in data:
            data = f"{end}data: ".join(_LINE_END.split(data))
        named = "" if event.name is None else f"event: {event.name}{end}"
        return f"{named}data: {data}{end}{end}"

    def _line(self, event: Event, _last: bool) -> str:
        return event.data + self._end

    def _element(self, event: Event, last: bool) -> str:
        opening = f",{self._end}" if self._begun else "["
        self._begun = True
        return f"{opening}{event.data}{self._end}]" if last else f"{opening}{event.data}"
