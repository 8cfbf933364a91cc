"""Tells whoever watches what happens to streams: plain tuples, in the order in which it happens.

It keeps nothing. Nobody watches as a rule; then a stream costs one comparison a chunk.

A happening is a tuple of its name, the number of the request (``Entry.asked_as``), when it happened, in seconds since
the opening of the stream, and what belongs to it:

    ("asked", number, at, request)            at: by the clock of who asked, ``Entry.clock``
    ("answered", number, at, status, headers)
    ("chunk", number, at, arrived_at, chunk)  of a client's stream: the chunk itself
    ("frame", number, at, arrived_at, chunks, data)   of any other: the bytes of a frame with so many chunks in it
    ("gate", number, at, held)                held: whether a gate begins to hold the stream, or lets it go
    ("stall", number, at, produced)           the script stalls when so many frames, or chunks, have been read
    ("interrupted", number, at, kind)         a read was; kind: the name of the exception's type
    ("left", number, at)                      a sweep found it open when its run was over, and closes it
    ("over", number, at, state)

What a sweep does is told, too, with 0 for the number and the time:

    ("sweep", 0, 0.0, kind, title, site)      it begins, in a line of the user's if there is one
    ("run", 0, 0.0)                           one of its runs begins; one before it that has no verdict does not count
    ("verdict", 0, 0.0, verdict)              what came of that run: a ``Verdict``
    ("swept", 0, 0.0, report)                 it is over; its report if anything was wrong, or ""
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from .callsite import CallSite

Happening: TypeAlias = tuple[Any, ...]


class Verdict(NamedTuple):
    """What came of one run of a sweep.

    Attributes:
        name: what was done in it.
        problem: what was wrong, and what to do, or "".
        alone: the keyword that runs it alone, or "".
        site: the user's line where something was done to it, or None.
        leaks: what the leak check found.
    """

    name: str
    problem: str = ""
    alone: str = ""
    site: CallSite | None = None
    leaks: tuple[Any, ...] = ()


#: Called with each happening, in any thread, finaliser or signal handler: it takes no lock and raises nothing.
Note: TypeAlias = Callable[[Happening], object]

_watching: tuple[Note, ...] = ()


def watcher() -> Note | None:
    """Return what to tell of a stream that opens now; None if nobody watches."""
    if not _watching:
        return None
    if len(_watching) == 1:
        return _watching[0]
    notes = _watching

    def tell_all(happening: Happening) -> None:
        for note in notes:
            note(happening)

    return tell_all


def begin_watching(note: Note) -> None:
    """Have ``note`` told of every stream that opens from now on, until it is over, and of every sweep."""
    global _watching  # noqa: PLW0603 - one for the process, as the streams are
    _watching = (*_watching, note)


def end_watching(note: Note) -> None:
    """Tell it of nothing new any more."""
    global _watching  # noqa: PLW0603 - as above
    _watching = tuple(other for other in _watching if other != note)


@contextmanager
def watched(note: Note) -> Iterator[None]:
    """Have ``note`` told of every stream that opens meanwhile, through every door of the process, until it is over."""
    begin_watching(note)
    try:
        yield
    finally:
        end_watching(note)
