"""Writes the frames of streamed bodies: server-sent events, lines of JSON (NDJSON), JSON arrays, AWS's event streams.

It knows no provider. Server-sent events are framed as the HTML standard says
(https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation), NDJSON as
https://github.com/ndjson/ndjson-spec says, and ``event_stream`` has AWS's messages.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from json.encoder import encode_basestring
from typing import Any, Literal, NamedTuple, TypeAlias

from pytest_mockstream.script.shape import LineEnding

from .event_stream import MessageType, message

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: ``"aws"`` is AWS's event stream, each event under its name; in ``"aws-chunks"``, a payload of whatever kind is the
#: bytes of an event ``chunk``.
Framing: TypeAlias = Literal["sse", "ndjson", "array", "aws", "aws-chunks"]

CONTENT_TYPES: dict[Framing, str] = {
    "sse": "text/event-stream; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "array": "application/json; charset=UTF-8",
    "aws": "application/vnd.amazon.eventstream",
    "aws-chunks": "application/vnd.amazon.eventstream",
}
#: An event that no service of AWS has: their clients pass over what they do not know.
_UNKNOWN_EVENT = message("event", "keepAlive", b"{}")

_LINE_END = re.compile(r"\r\n|\n|\r")
# Legal inside JSON text, but line ends to ``str.splitlines``, which several clients split the body with; and halves of
# surrogate pairs, which UTF-8 cannot encode.
_TRAPS = re.compile("[\u0085\u2028\u2029\ud800-\udfff]")

#: What comes before and behind a place in a frame; and, where these are no frame yet, what makes a frame of them.
Around: TypeAlias = "tuple[bytes, bytes, Callable[[bytes], bytes] | None]"

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
        name: the ``event:`` field of a server-sent event, or the type of one of AWS's; None for no such field.
        id: its ``id:`` field.
        retry: its ``retry:`` field, in milliseconds.
        kind: what it is in AWS's event stream, which tells errors from events.
    """

    data: str
    name: str | None = None
    id: str | None = None
    retry: int | None = None
    kind: MessageType = "event"


class Writer:
    """Writes the frames of one body.

    Args:
        framing: how frames are told apart: ``"sse"``, ``"ndjson"``, ``"array"``, one JSON array for all, ``"aws"`` or
            ``"aws-chunks"``.
        line_ending: the line ending; event streams and NDJSON allow both. AWS's event stream has no lines.

    """

    __slots__ = ("_begun", "_chunked", "_closed", "_end", "_is_text", "_write", "framing")

    def __init__(self, framing: Framing, line_ending: LineEnding = "\n") -> None:
        writers: dict[Framing, Callable[[Event, bool], bytes]] = {
            "sse": self._sse,
            "ndjson": self._line,
            "array": self._element,
            "aws": self._message,
            "aws-chunks": self._message,
        }
        self.framing = framing
        self._write = writers[framing]
        self._end = line_ending
        self._begun = self._closed = False
        self._is_text = not framing.startswith("aws")
        self._chunked = framing == "aws-chunks"

    @property
    def takes_events(self) -> bool:
        """Whether another event can come: not after the end of a JSON array."""
        return not self._closed

    def frame(self, event: Event, *, last: bool = False) -> bytes:
        """Return the bytes of the next event; ``last`` completes the body."""
        return self._write(event, last)

    def around(self, event: Event, place: bytes) -> Around:
        """Return what stands around a place in an event's frame, for frames that differ in that place alone."""
        written = self._write(event, False) if self._is_text else _utf8(event.data)
        before, _, behind = written.partition(place)
        return before, behind, None if self._is_text else self._sealing(event)

    def garbage(self, event: Event) -> bytes:
        """Return the bytes of an event that cannot be parsed: in text its data is garbage, in binary its CRC is."""
        if self._is_text:
            return self._write(event, False)
        return message("event", event.name or "", _utf8(event.data), valid=False)

    def comment(self, text: str = "") -> bytes:
        """Return bytes that mean nothing to a reader.

        NDJSON and JSON have no comments: there it is a blank line, and white space between the elements. In AWS's event
        stream it is an event of a type that is not known.
        """
        if not self._is_text:
            return _UNKNOWN_EVENT
        if self._write != self._sse:
            return self._end.encode()
        lines = [f": {line}" if line else ":" for line in _LINE_END.split(text)]
        return _utf8("".join(line + self._end for line in (*lines, "")))

    def _sse(self, event: Event, _last: bool) -> bytes:
        data, end = event.data, self._end
        if "\n" in data or "\r" in data:
            data = f"{end}data: ".join(_LINE_END.split(data))
        named = "" if event.name is None else f"event: {event.name}{end}"
        if event.id is not None:
            named += f"id: {event.id}{end}"
        if event.retry is not None:
            named += f"retry: {event.retry}{end}"
        return _utf8(f"{named}data: {data}{end}{end}")

    def _line(self, event: Event, _last: bool) -> bytes:
        return _utf8(_LINE_END.sub(" ", event.data) + self._end)

    def _element(self, event: Event, last: bool) -> bytes:
        opening = f",{self._end}" if self._begun else "["
        self._begun, self._closed = True, last
        return _utf8(f"{opening}{event.data}{self._end}]" if last else f"{opening}{event.data}")

    def _message(self, event: Event, _last: bool) -> bytes:
        return self._sealing(event)(_utf8(event.data))

    def _sealing(self, event: Event) -> Callable[[bytes], bytes]:
        """Return what makes a message of AWS's of a payload."""
        if self._chunked and event.kind == "event":
            return _chunk
        return partial(message, event.kind, event.name or "")


def _chunk(payload: bytes) -> bytes:
    return message("event", "chunk", b'{"bytes":"%b"}' % b64encode(payload))


def _utf8(text: str) -> bytes:
    return text.encode(errors="replace")
