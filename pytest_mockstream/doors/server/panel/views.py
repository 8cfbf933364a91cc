"""What the server's page shows of each stream, and how that grows.

Theory of operation: a view is the present state of one stream; what leaves it is shown without secrets. Each page is
told what it does not know yet: fields as they are now, and what has been added to the text since. So a page that reads
slowly is told more at once, and nothing has to be kept for it.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

from pytest_mockstream._base.clock import time_ns
from pytest_mockstream._base.redaction import REDACTED, Secrets, brief, holds_hidden
from pytest_mockstream._base.wording import shortened
from pytest_mockstream.playbook.ledger import entry_of
from pytest_mockstream.playbook.request import Request
from pytest_mockstream.script.chunks import StreamChunk

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_MOST_TEXT = 20_000  # characters of a reply
_MOST_FRAMES = 20  # the latest
_MOST_OF_FRAME = 1_000  # bytes
_MOST_NOTES = 50
_MOST_ASKED = 300  # characters of a question
_BEFORE = 512  # characters before what is new, in which a secret may begin

Runs = list[list[str]]


class View:
    """What is shown of one stream.

    Args:
        request: what was asked.
        ordinal: its place among all streams of the server, from 1.

    Attributes:
        number: identifies it; of the latest stream it is the largest.
        request: returns the request, as long as the record has it.
        version: of the page's state, when something changed here last.
        is_held: whether nothing passes, since somebody holds it by hand, or has it stall.
        is_stalled_by_hand: whether somebody has it stall.
        stalls_after: after how many frames its script stalls; of several such places, the last one that it came to.
        is_over: whether it has ended.
    """

    def __init__(self, request: Request, ordinal: int) -> None:
        entry = entry_of(request)
        self.number = entry.asked_as
        self.request = weakref.ref(request)
        self.version = 0
        self.is_held = False
        self.is_stalled_by_hand = False
        self.stalls_after: int | None = None
        self._entry = entry
        self._began_ns = time_ns()
        self._secrets = Secrets(request.raw_headers)
        self._hides = holds_hidden(request.body) or holds_hidden(request.messages)
        self._shows_whole = False
        self._runs: Runs = []
        self._length = 0
        self._frames: deque[str] = deque(maxlen=_MOST_FRAMES)
        self._frame_count = 0
        self._notes: deque[tuple[float, str]] = deque(maxlen=_MOST_NOTES)
        self._units: Iterator[Any] = iter(() if entry.script is None else entry.script.units())
        self._about = {
            "ordinal": ordinal,
            "provider": request.provider,
            "method": request.method,
            "path": shortened(str(request.path)),
            "model": None if request.model is None else shortened(str(request.model)),
            "asked": shortened(str(request.text[: _MOST_ASKED * 2]), _MOST_ASKED),
            "streaming": request.streaming,
            "client": str(request.opened_at),
            "began": self._began_ns // 10**6,
        }

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._entry.state != "open"

    @property
    def stalled(self) -> str | None:
        """How it has come to stall now: ``"by hand"``, or ``"by its script"``; None if it does not."""
        if self.is_over:
            return None
        if self.is_stalled_by_hand:
            return "by hand"
        return "by its script" if self.stalls_after == self._frame_count else None

    def add_frame(self, chunks: int, data: bytes) -> None:
        """Note that a frame was sent."""
        more = "" if len(data) <= _MOST_OF_FRAME else f" ... ({len(data)} bytes)"
        self._frames.append(data[:_MOST_OF_FRAME].decode(errors="backslashreplace") + more)
        self._frame_count += 1
        while chunks and (unit := next(self._units, None)) is not None:
            if isinstance(unit, StreamChunk | str):
                chunks -= 1
                self._add(*_said(unit))

    def add_note(self, text: str) -> None:
        """Note what happened to it, or what somebody did to it."""
        progress = self._entry.progress
        self._notes.append((0.0 if progress is None else round(progress.now(), 3), text))

    def _add(self, kind: str, text: str) -> None:
        text = text[: _MOST_TEXT - self._length]
        self._length += len(text)
        if text and self._runs and self._runs[-1][0] == kind:
            self._runs[-1][1] += text
        elif text:
            self._runs.append([kind, text])

    def news(self, told: tuple[int, int]) -> tuple[dict[str, Any], tuple[int, int]]:
        """Return what a page is told that knows so many characters and frames; and how many it knows then."""
        characters, frames = told
        start, runs, end = self._text_since(characters)
        new = min(self._frame_count - frames, len(self._frames))
        shown = [self._shown_frame(frame) for frame in list(self._frames)[len(self._frames) - new :]]
        entry = self._entry
        said: dict[str, Any] = {
            "id": self.number,
            "state": entry.state,
            "status": entry.status,
            "held": self.is_held and not self.is_over,
            "stalled": self.stalled,
            "chunks": entry.chunks_sent,
            "of": entry.chunk_count,
            "notes": list(self._notes),
            "at": start,
            "add": runs,
            "cut": self._length >= _MOST_TEXT,
            "frames": shown,
            "frame_count": self._frame_count,
        }
        if told == (-1, -1):
            said |= self._about
        return said, (end, self._frame_count)

    def _text_since(self, told: int) -> tuple[int, Runs, int]:
        """Return where the page's text goes on, with what, and how much of it is known then."""
        length = self._tellable()
        told = max(0, min(told, length))
        if not self._shows_whole:
            new = self._slice(max(0, told - _BEFORE), length)
            self._shows_whole = any(self._secrets.shown(text) != text for _, text in new)
        if self._shows_whole:  # what is hidden may change what was told before
            return 0, [[kind, self._secrets.shown(text)] for kind, text in self._slice(0, length)], length
        return told, self._slice(told, length), length

    def _tellable(self) -> int:
        """Return how much of the text may be told: where the question has a secret, whole words of it."""
        if not self._hides or self.is_over or not self._runs:
            return self._length
        last = self._runs[-1][1]
        whole = max(last.rfind(" "), last.rfind("\n")) + 1
        return self._length - len(last) + whole

    def _slice(self, start: int, end: int) -> Runs:
        found: Runs = []
        place = 0
        for kind, text in self._runs:
            part = text[max(0, start - place) : max(0, end - place)]
            if part:
                found.append([kind, part])
            place += len(text)
        return found

    def _shown_frame(self, frame: str) -> str:
        return REDACTED if self._hides or self._shows_whole else self._secrets.shown(frame)


def _said(unit: StreamChunk | str) -> tuple[str, str]:
    """Return of what kind a chunk is, and what it says."""
    if isinstance(unit, str):
        return "text", unit
    if (call := unit.tool_call) is not None:
        return "tool", f"\n{call.name}: {call.arguments}" if call.name else call.arguments
    if unit.item is not None:
        return "item", f"\n{brief(unit.item)}"
    for kind in ("reasoning", "refusal"):
        if text := getattr(unit, kind):
            return kind, text
    return "text", unit.delta
