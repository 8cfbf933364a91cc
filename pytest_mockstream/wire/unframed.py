"""Reads the frames of streamed bodies, however their bytes are cut: the twin of ``sse.Writer``.

It knows no provider. Server-sent events are read as the HTML standard says
(https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation), NDJSON and JSON arrays
value by value, AWS's event stream as https://smithy.io/2.0/aws/amazon-eventstream.html says.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from struct import Struct
from typing import Any, NamedTuple, TypeAlias, get_args
from zlib import crc32

from .event_stream import MessageType
from .sse import Event, Framing

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_LINE_END = re.compile(rb"\r\n|\n|\r")
_FIELDS = (b"data", b"event", b"id", b"retry", b"")  # of an event; a comment has no name
_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_MOST_DIGITS = 18  # of milliseconds; a number with more is no time

# Where to look next in JSON: behind the last element of an array, in a value that is none in brackets, inside of
# brackets, inside of a text.
_BETWEEN = re.compile(rb"[ \t\r\n,]*")
_OUTER = re.compile(rb'["\[\]{},]')
_INNER = re.compile(rb'["\[\]{}]')
_IN_TEXT = re.compile(rb'["\\]')

_PRELUDE = Struct("!III")
_AROUND = 16  # bytes of a message besides its headers and its payload
_BYTES, _STRING = 6, 7  # types of a header's value
_LENGTHS = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # of the values of all other types
_KINDS = get_args(MessageType)


class Comment(NamedTuple):
    """What means nothing to a reader and keeps the connection open.

    Attributes:
        text: what it says.
    """

    text: str


class Unreadable(NamedTuple):
    """Bytes that are no frame of their framing.

    Attributes:
        data: the bytes.
        framed: whether there is a frame around them: not around lines between server-sent events, as of a proxy's page.
    """

    data: bytes
    framed: bool = True


Unframed: TypeAlias = Event | Comment | Unreadable


class FrameReader:
    """Reads the frames of one body.

    Args:
        framing: how frames are told apart, as for ``Writer``.
    """

    def __init__(self, framing: Framing) -> None:
        readers: dict[Framing, Callable[[], _Events | _Lines | _Elements | _Messages]] = {
            "sse": _Events,
            "ndjson": _Lines,
            "array": _Elements,
            "aws": _Messages,
            "aws-chunks": _Messages,
        }
        self._reader = readers[framing]()

    @property
    def rest(self) -> bytes:
        """What has come of a frame that is not complete."""
        return b"".join(self._reader.rest)

    def feed(self, data: bytes) -> list[Unframed]:
        """Return the frames that are complete with these bytes."""
        return list(self._reader.feed(data)) if data else []

    def end(self) -> list[Unframed]:
        """Return the frames that are complete because the body is over, and leave in ``rest`` what is none.

        A line of JSON needs no line end to be complete, and bytes in which no frame can be told from the next are one.
        """
        return list(self._reader.end())


# Theory of operation: each reader looks at each byte once, however the body is cut. Of a frame that is not complete it
# remembers how far it is, and keeps the pieces, which it joins when the frame is.


class _Events:
    r"""Reads server-sent events: a blank line ends one.

    A ``"\r"`` ends a line whatever follows; a ``"\n"`` that follows is no other line end.
    """

    def __init__(self) -> None:
        self.rest: list[bytes] = []
        self._lines: list[bytes] = []
        self._line: list[bytes] = []  # the pieces of the line that is not complete
        self._has_begun = self._is_after_cr = False

    def feed(self, data: bytes) -> Iterator[Unframed]:
        if not self._has_begun:
            data = b"".join((*self.rest, data))
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self.rest = [data]
                return
            self.rest, self._has_begun = [], True
            data = data.removeprefix(_BOM)
        place = int(self._is_after_cr and data.startswith(b"\n"))
        begin = 0 if self.rest else place
        for end in _LINE_END.finditer(data, place):
            line = b"".join((*self._line, data[place : end.start()]))
            self._line, place = [], end.end()
            if line:
                self._lines.append(line)
                continue
            yield from _event(self._lines)
            self._lines, self.rest, begin = [], [], place
        self._line += _tail(data, place)
        self.rest += _tail(data, begin)
        self._is_after_cr = data.endswith(b"\r")

    def end(self) -> Iterator[Unframed]:
        whole = b"".join(self.rest)
        if self._has_begun and not all(map(_may_be_field, whole.splitlines())):
            self.rest = []
            yield Unreadable(whole, framed=False)


class _Lines:
    """Reads lines of JSON."""

    def __init__(self) -> None:
        self.rest: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[Unframed]:
        *lines, last = data.split(b"\n")
        for line in lines:
            text = b"".join((*self.rest, line)).strip(_SPACE)
            self.rest = []
            yield _value(text) if text else Comment("")
        self.rest += _tail(last, 0)

    def end(self) -> Iterator[Unframed]:
        if isinstance(last := _value(b"".join(self.rest).strip(_SPACE)), Event):
            self.rest = []
            yield last


class _Elements:
    """Reads the elements of a JSON array, and values that are in none."""

    def __init__(self) -> None:
        self.rest: list[bytes] = []
        self._is_open = self._is_within = self._in_text = self._is_escaped = False
        self._depth = 0

    def feed(self, data: bytes) -> Iterator[Unframed]:
        place = begin = 0
        while self._is_within or (begin := self._between(data, place)) < len(data):
            place, self._is_within = max(place, begin), True
            end = self._end(data, place, begin)
            if end is None:
                self.rest += _tail(data, begin)
                return
            yield _value(b"".join((*self.rest, data[begin:end])).rstrip(_SPACE))
            self.rest, self._is_within, place = [], False, end

    def _between(self, data: bytes, place: int) -> int:
        """Return where the next element begins: behind a comma, or where the array begins."""
        while True:
            place += len(_BETWEEN.match(data, place)[0])  # type: ignore[index] # it matches everywhere
            if not data.startswith((b"]",) if self._is_open else (b"]", b"["), place):
                return place
            self._is_open = True
            place += 1

    def _end(self, data: bytes, place: int, begin: int) -> int | None:
        """Return where the element ends; None if not in these bytes."""
        place += self._is_escaped
        self._is_escaped = False
        while found := (_IN_TEXT if self._in_text else _INNER if self._depth else _OUTER).search(data, place):
            byte, place = found[0], found.end()
            if byte == b"\\":
                self._is_escaped = place == len(data)
                place += 1
            elif byte == b'"':
                self._in_text = not self._in_text
                if not self._in_text and not self._depth:
                    return place
            elif byte in {b"[", b"{"}:
                self._depth += 1
            elif self._depth:
                self._depth -= 1
                if not self._depth:
                    return place
            else:  # behind a number or a word; a bracket that ends nothing is an element of its own
                return max(place - 1, begin + (not self.rest))
        return None

    def end(self) -> Iterator[Unframed]:
        yield from ()


class _Messages:
    """Reads the messages of AWS's event stream."""

    def __init__(self) -> None:
        self.rest: list[bytes] = []
        self._length = 0  # of what has come of the message
        self._needed = _PRELUDE.size  # for the next step
        self._is_lost = False

    def feed(self, data: bytes) -> Iterator[Unframed]:
        self.rest += [data]
        self._length += len(data)
        if self._length < self._needed or self._is_lost:
            return
        data, place = b"".join(self.rest), 0
        while len(data) - place >= _PRELUDE.size:
            length, headers_length, checksum = _PRELUDE.unpack_from(data, place)
            if checksum != crc32(data[place : place + 8]) or length < _AROUND + headers_length:
                self._is_lost = True  # where the next message begins is not known
                break
            self._needed = length
            if len(data) - place < length:
                break
            yield _checked_message(data[place : place + length], headers_length)
            place += length
            self._needed = _PRELUDE.size
        self.rest, self._length = _tail(data, place), len(data) - place

    def end(self) -> Iterator[Unframed]:
        if self._is_lost:
            yield Unreadable(b"".join(self.rest))
            self.rest = []


def _event(lines: list[bytes]) -> Iterator[Unframed]:
    """Yield what the lines of one event say; comments first, since they are none of it."""
    fields: dict[str, Any] = {}
    data: list[str] = []
    for raw in lines:
        name, _, value = _text(raw).partition(":")
        value = value.removeprefix(" ")
        if not name:
            yield Comment(value)
        elif name == "data":
            data.append(value)
        elif name in {"event", "id"}:
            fields["name" if name == "event" else "id"] = value
        elif name == "retry" and value.isascii() and value.isdecimal() and len(value) < _MOST_DIGITS:
            fields["retry"] = int(value)
    if data:
        yield Event("\n".join(data), **fields)
    elif not all(map(_is_field, lines)):
        yield Unreadable(b"\n".join([*lines, b"", b""]), framed=False)


def _is_field(line: bytes) -> bool:
    return line.partition(b":")[0] in _FIELDS


def _may_be_field(line: bytes) -> bool:
    """Tell whether a line is a field of an event, or begins as one."""
    return _is_field(line) or any(name.startswith(line) for name in _FIELDS)


def _checked_message(whole: bytes, headers_length: int) -> Unframed:
    if int.from_bytes(whole[-4:]) != crc32(whole[:-4]):
        return Unreadable(whole)
    try:
        return _message(_headers(whole[12 : 12 + headers_length]), whole[12 + headers_length : -4])
    except (LookupError, TypeError, ValueError, RecursionError):
        return Unreadable(whole)


def _message(headers: Mapping[str, str], payload: bytes) -> Unframed:
    kind: MessageType = _KINDS[_KINDS.index(headers.get(":message-type", "event"))]
    if kind == "error":
        return Event(headers.get(":error-message", ""), headers.get(":error-code"), kind="error")
    name = headers.get(f":{kind}-type")
    if kind == "event" and name == "keepAlive":
        return Comment("")
    if kind == "event" and name == "chunk":
        return Event(_text(b64decode(json.loads(payload)["bytes"])))
    return Event(_text(payload), name, kind=kind)


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    place = 0
    while place < len(data):
        end = place + 1 + data[place]
        name, kind = _text(data[place + 1 : end]), data[end]
        place = end + 1
        if kind in {_BYTES, _STRING}:
            begin = place + 2
            place = begin + int.from_bytes(data[place:begin])
            found[name] = _text(data[begin:place])
        else:
            place += _LENGTHS[kind]
    if place > len(data):
        raise ValueError("a header is longer than all of them")
    return found


def _value(data: bytes) -> Unframed:
    """Return JSON as an event, and what is none as it is."""
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return Unreadable(data)
    return Event(_text(data))


def _tail(data: bytes, begin: int) -> list[bytes]:
    """Return what comes from a place on, as a list of pieces of which none is empty."""
    return [data[begin:]] if begin < len(data) else []


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
