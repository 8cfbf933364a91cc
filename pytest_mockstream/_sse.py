r"""Framing of bodies that come piece by piece: event streams, JSON lines and JSON arrays.

The wall: text in, bytes out; knows no provider. An event stream is framed as the HTML standard says
(https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation), JSON lines as
https://github.com/ndjson/ndjson-spec.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Framing: TypeAlias = Literal["sse", "ndjson", "array"]

_LINE_END = re.compile(r"\r\n|\n|\r")
# Legal inside JSON text, but line ends to ``str.splitlines``, by which several clients find their lines.
_TRAPS = re.compile("[\u0085\u2028\u2029\ud800-\udfff]")


def json_text(value: Any) -> str:
    """Write JSON on one line, whatever a reader takes for a line end, and encodable whatever the text holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text if text.isascii() else _TRAPS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


@dataclass(frozen=True, slots=True)
class Event:
    """One frame, before it is bytes.

    Attributes:
        data: the payload, as a rule JSON text.
        name: the ``event:`` of an event stream, or None for a frame without one.
        kind: a ``"comment"`` is skipped by every reader that keeps to the standard; an ``"error"`` is an event after
            which nothing comes.
        chunks: how many chunks of the script are complete with this frame.
        last: whether the body is whole with this frame.
    """

    data: str
    name: str | None = None
    kind: Literal["event", "comment", "error"] = "event"
    chunks: int = 0
    last: bool = False


def sse(event: Event, line_ending: str = "\n") -> bytes:
    """Return the bytes of one event; line ends inside its data start further ``data:`` lines."""
    if event.kind == "comment":
        lines = [f": {line}" if line else ":" for line in _LINE_END.split(event.data)]
    else:
        lines = [f"data: {line}" for line in _LINE_END.split(event.data)]
        if event.name is not None:
            lines.insert(0, f"event: {event.name}")
    return "".join(line + line_ending for line in (*lines, "")).encode(errors="replace")


def ndjson(event: Event, line_ending: str = "\n") -> bytes:
    """Return the bytes of one line; a comment, which JSON lines do not know, is a blank one."""
    return (("" if event.kind == "comment" else event.data) + line_ending).encode(errors="replace")


class JsonArray:
    """One JSON array, sent element by element; a comment is the white space that JSON allows there."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun = False

    def __call__(self, event: Event, line_ending: str = "\n") -> bytes:
        """Return the bytes of the next element."""
        if event.kind == "comment":
            return line_ending.encode()
        opening = f",{line_ending}" if self._begun else "["
        self._begun = True
        closing = f"{line_ending}]" if event.last or event.kind == "error" else ""
        return f"{opening}{event.data}{closing}".encode(errors="replace")
