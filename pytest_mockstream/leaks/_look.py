"""Where a task or a thread stands, and where it came from.

The wall: reads frames, and turns them into places; judges nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from pytest_mockstream._callsite import CallSite, is_library, is_ours

from ._births import Frames


@dataclass(frozen=True, slots=True)
class Stop:
    """One frame of something that waits.

    Attributes:
        code: of the function.
        site: the line.
        frame: for a look at its variables; short-lived.
    """

    code: CodeType
    site: CallSite
    frame: FrameType


def of_task(task: asyncio.Task[Any]) -> list[Stop]:
    """Return the frames of a task's coroutines, the innermost first."""
    return [_stop(frame) for frame in _chain(task.get_coro())][::-1]


def of_thread(frame: FrameType | None) -> list[Stop]:
    """Return the frames of a thread, the innermost first."""
    stops = []
    while frame is not None:
        stops.append(_stop(frame))
        frame = frame.f_back
    return stops


def awaited(task: asyncio.Task[Any]) -> object:
    """Return what the innermost coroutine of a task awaits, where Python can tell."""
    here: Any = task.get_coro()
    while (inner := _awaits(here)) is not None:
        here = inner
    return here


def user_site(sites: Iterable[CallSite]) -> CallSite | None:
    """Return the first place in the user's own code; where there is none, the first that is not ours."""
    outside: CallSite | None = None
    for site in sites:
        if not is_library(site.filename):
            return site
        if outside is None and not is_ours(site.filename):
            outside = site
    return outside


def created_at(frames: Frames) -> CallSite | None:
    """Return the line of the user's code that made something."""
    offsets = [lasti for lasti in frames if isinstance(lasti, int)]
    pairs = zip(codes(frames), offsets, strict=True)
    return user_site(CallSite(code.co_filename, _line(code, lasti), code.co_qualname) for code, lasti in pairs)


def codes(frames: Frames) -> list[CodeType]:
    """Return the functions of frames, from the innermost outwards."""
    return [code for code in frames if isinstance(code, CodeType)]


def names(functions: Iterable[CodeType]) -> frozenset[str]:
    """Return the names and the qualified names of functions."""
    return frozenset(name for code in functions for name in (code.co_name, code.co_qualname))


def _line(code: CodeType, lasti: int) -> int:
    for start, end, line in code.co_lines():
        if start <= lasti < end and line is not None:
            return line
    return code.co_firstlineno


def _stop(frame: FrameType) -> Stop:
    code = frame.f_code
    return Stop(code, CallSite(code.co_filename, frame.f_lineno or code.co_firstlineno, code.co_qualname), frame)


def _chain(awaitable: Any) -> Iterator[FrameType]:
    while awaitable is not None:
        frame = _frame(awaitable)
        if frame is not None:
            yield frame
        awaitable = _awaits(awaitable)


def _frame(awaitable: Any) -> FrameType | None:
    for name in ("cr_frame", "gi_frame", "ag_frame"):
        if isinstance(frame := getattr(awaitable, name, None), FrameType):
            return frame
    return None


def _awaits(awaitable: Any) -> Any:
    for name in ("cr_await", "gi_yieldfrom", "ag_await"):
        if (inner := getattr(awaitable, name, None)) is not None:
            return inner
    return None
