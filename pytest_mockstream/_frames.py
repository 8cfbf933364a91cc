"""Events become frames: framed as their content type asks, doubled, interleaved and cut as the script's shape says.

The wall: no clock, no provider. Steps that have no bytes pass through, so no byte comes later than it was due.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import repeat

from ._script import Disconnect, Played, Truncate
from ._shape import Shape
from ._sse import Event, Framing, JsonArray, ndjson, sse

CONTENT_TYPES: dict[Framing, str] = {
    "sse": "text/event-stream; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "array": "application/json; charset=UTF-8",
}
_LONGEST_RANDOM = 64


@dataclass(frozen=True, slots=True)
class Frame:
    """Bytes of a body that are handed over at once.

    Attributes:
        data: the bytes.
        chunks: how many chunks of the script are complete with them.
        last: whether the body is whole with them.
    """

    data: bytes
    chunks: int = 0
    last: bool = False


def frames_of(
    events: Iterable[Played[Event]], *, framing: Framing, shape: Shape, ping: Event, seed: str
) -> Iterator[Played[Frame]]:
    """Turn steps of events into steps of frames.

    Args:
        events: what a wire format made.
        framing: how frames are told apart.
        shape: what the script says about the bytes.
        ping: the format's own event that says nothing.
        seed: of ``fragment="random"``.
    """
    writers: dict[Framing, Callable[[Event, str], bytes]] = {"sse": sse, "ndjson": ndjson, "array": JsonArray()}
    between = Event("", kind="comment") if shape.between == "comment" else ping if shape.between == "ping" else None
    if between is not None:
        events = _interleaved(events, between)
    if shape.duplicate is not None:
        events = _duplicated(events, shape.duplicate)
    frames = _torn(_written(events, writers[framing], shape.line_ending or "\n"))
    return frames if shape.fragment is None else fragments(frames, _lengths(shape, seed))


def _written(
    events: Iterable[Played[Event]], write: Callable[[Event, str], bytes], line_ending: str
) -> Iterator[Played[Frame]]:
    for step in events:
        yield Frame(write(step, line_ending), step.chunks, step.last) if isinstance(step, Event) else step


def _interleaved(events: Iterable[Played[Event]], between: Event) -> Iterator[Played[Event]]:
    begun = False
    for step in events:
        if isinstance(step, Event):
            if begun:
                yield between
            begun = True
        yield step


def _duplicated(events: Iterable[Played[Event]], every: int) -> Iterator[Played[Event]]:
    count = 0
    for step in events:
        if isinstance(step, Event):
            count += 1
            if count % every == 0:
                yield replace(step, chunks=0, last=False)
        yield step


def _torn(steps: Iterable[Played[Frame]]) -> Iterator[Played[Frame]]:
    """Put half a frame before a fault that asks for it: of one like the last, for no other is there to be cut."""
    model = b"{"
    for step in steps:
        if isinstance(step, Frame):
            model = step.data
        elif isinstance(step, Truncate | Disconnect) and step.inside_frame:
            yield Frame(model[: (len(model) + 1) // 2])
        yield step


def _lengths(shape: Shape, seed: str) -> Iterator[int]:
    if isinstance(shape.fragment, int):
        return repeat(shape.fragment)
    if shape.fragment == "byte":
        return repeat(1)
    draw = random.Random(seed).randint  # noqa: S311 - places to cut at, not cryptography
    return (draw(1, _LONGEST_RANDOM) for _ in repeat(None))


def fragments(steps: Iterable[Played[Frame]], lengths: Iterator[int]) -> Iterator[Played[Frame]]:
    """Cut the body anew, across frames; what is held back goes out before any step that is not bytes."""
    held, wanted = bytearray(), next(lengths)
    chunks, last = 0, False
    for step in steps:
        if not isinstance(step, Frame):
            if held:
                yield Frame(bytes(held), chunks, last)
                held, chunks, last = bytearray(), 0, False
            yield step
            continue
        place = 0
        while place < len(step.data):
            part = step.data[place : place + wanted - len(held)]
            held += part
            place += len(part)
            if place == len(step.data):
                chunks, last = chunks + step.chunks, step.last
            if len(held) == wanted:
                yield Frame(bytes(held), chunks, last)
                held, chunks, last, wanted = bytearray(), 0, False, next(lengths)
    if held:
        yield Frame(bytes(held), chunks, last)
