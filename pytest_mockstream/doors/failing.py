"""What is sent of an error that no script has, but that somebody lets an answer end with while it plays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import NamedTuple, TypeAlias

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream.script.shape import Shape
from pytest_mockstream.script.steps import ErrorEvent, Played
from pytest_mockstream.wire import Encoder, WireFormat, WireFrame, Writer, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: Returns what is sent of an error after so many frames: the status and the rest of the body.
Fails: TypeAlias = Callable[[int, ErrorEvent], tuple[int, bytes]]


class Framed(NamedTuple):
    """The frames of a stream, and what makes them."""

    frames: Iterable[Played[WireFrame]]
    encoder: Encoder
    writer: Writer


def failing_whole(wire: WireFormat, count: int, error: ErrorEvent) -> tuple[int, bytes]:
    """Return the status and the body of an error in place of a reply that is not streamed.

    Raises:
        ScriptError: the reply has begun to be sent.
    """
    if count:
        raise ScriptError("the whole reply is on its way already: it can be cut or reset")
    return wire.status_of(error), json_text(wire.error_body(error)).encode()


def failing_midway(framed: Callable[[Shape], Framed], shape: Shape, count: int, error: ErrorEvent) -> tuple[int, bytes]:
    """Return what is sent of an error after so many frames of a stream: the rest of one that was begun, and its own.

    The stream is encoded once more up to there, as the encoder that plays it is ahead of its reader.
    """
    sent = sum(len(frame.data) for frame in islice(_only_frames(framed(shape)), count))
    again = framed(replace(shape, fragment=None))
    rest, frames = b"", _only_frames(again)
    while sent > 0 and (frame := next(frames, None)) is not None:
        rest, sent = frame.data[sent:], sent - len(frame.data)
    return 200, rest + again.writer.frame(again.encoder.error(error), last=True)


def _only_frames(framed: Framed) -> Iterator[WireFrame]:
    return (step for step in framed.frames if isinstance(step, WireFrame))
