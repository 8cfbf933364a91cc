"""Frames of bytes, and what a script's shape does to them: duplicate them, put others between them, cut them anew.

It knows no provider. Steps that have no bytes pass through in their places, so that no byte comes later than it should.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import NamedTuple

from pytest_mockstream.script.shape import Shape
from pytest_mockstream.script.steps import Disconnect, Played, Truncate

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_LONGEST_RANDOM = 64


class WireFrame(NamedTuple):
    """Bytes of the body that are handed over at once; a tuple, since each chunk makes one and tuples are fast to make.

    Attributes:
        data: the bytes.
        chunks: how many chunks of the script are complete once these bytes have come.
        last: whether the body is complete once they have come.
        piece: whether the script asked for a cut here, so that a door must not join them with others.
    """

    data: bytes
    chunks: int = 0
    last: bool = False
    piece: bool = False


def shaped(
    frames: Iterable[Played[WireFrame]], shape: Shape, *, between: bytes, seed: str
) -> Iterable[Played[WireFrame]]:
    """Give frames the shape that a script asks for.

    Args:
        frames: the frames as the wire format makes them.
        shape: what the script asks for.
        between: the bytes to put between frames, if the script asks for that.
        seed: the seed of ``fragment="random"``.
    """
    if shape.between is not None:
        frames = _interleaved(frames, WireFrame(between))
    if shape.duplicate is not None:
        frames = _duplicated(frames, shape.duplicate)
    return frames if shape.fragment is None else fragments(frames, _lengths(shape, seed))


def _interleaved(frames: Iterable[Played[WireFrame]], between: WireFrame) -> Iterator[Played[WireFrame]]:
    begun = False
    for step in frames:
        if isinstance(step, WireFrame):
            if begun:
                yield between
            begun = True
        yield step


def _duplicated(frames: Iterable[Played[WireFrame]], every: int) -> Iterator[Played[WireFrame]]:
    count = 0
    for step in frames:
        if isinstance(step, WireFrame):
            count += 1
            if count % every == 0:
                yield WireFrame(step.data)
        yield step


def torn(steps: Iterable[Played[WireFrame]]) -> Iterator[Played[WireFrame]]:
    """Put half a frame before a fault that asks for it: half of the last frame once more, for want of a next one."""
    model = b"{"
    for step in steps:
        if isinstance(step, WireFrame):
            model = step.data
        elif isinstance(step, Truncate | Disconnect) and step.inside_frame:
            yield WireFrame(model[: (len(model) + 1) // 2])
        yield step


def _lengths(shape: Shape, seed: str) -> Iterator[int]:
    if isinstance(shape.fragment, int):
        return repeat(shape.fragment)
    if shape.fragment == "byte":
        return repeat(1)
    draw = random.Random(seed).randint  # noqa: S311 - places to cut at, not cryptography
    return (draw(1, _LONGEST_RANDOM) for _ in repeat(None))


def fragments(steps: Iterable[Played[WireFrame]], lengths: Iterator[int]) -> Iterator[Played[WireFrame]]:
    """Cut the body into pieces of these lengths, across frames; a step without bytes ends a piece early."""
    held, wanted = bytearray(), next(lengths)
    chunks, last = 0, False
    for step in steps:
        if not isinstance(step, WireFrame):
            if held:
                yield WireFrame(bytes(held), chunks, last, piece=True)
                held, chunks, last = bytearray(), 0, False
            yield step
            continue
        # A reader that takes "\r" for a line end, as it should, is done with a frame before the "\n" behind it.
        done_at = len(step.data) - step.data.endswith(b"\r\n")
        place = 0
        while place < len(step.data):
            part = step.data[place : place + wanted - len(held)]
            held += part
            if place < done_at <= place + len(part):
                chunks, last = chunks + step.chunks, step.last
            place += len(part)
            if len(held) == wanted:
                yield WireFrame(bytes(held), chunks, last, piece=True)
                held, chunks, last, wanted = bytearray(), 0, False, next(lengths)
    if held:
        yield WireFrame(bytes(held), chunks, last, piece=True)
