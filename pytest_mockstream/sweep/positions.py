"""Where a coroutine is waiting, as a value that can be compared and in words.

It reads frames; it drives nothing and judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import CodeType, FrameType
from typing import Any, TypeAlias

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream.leaks import frames_of, place, user_site

#: Code and instruction of each frame, from the outermost: equal whenever a run waits at the same place again.
Position: TypeAlias = tuple[tuple[CodeType, int], ...]


def position_of(awaitable: Any) -> Position:
    """Return the position at which a coroutine is suspended."""
    return tuple((frame.f_code, frame.f_lasti) for frame in frames_of(awaitable))


def line_of(awaitable: Any) -> CallSite | None:
    """Return the innermost line of the user's own code; where there is none, the innermost line."""
    return first_user_line([*frames_of(awaitable)][::-1])


def first_user_line(frames: Iterable[FrameType]) -> CallSite | None:
    """Return the first line that is the user's own; where there is none, the first line."""
    sites = [CallSite(frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_qualname) for frame in frames]
    return user_site(sites) or next(iter(sites), None)


def describe(site: CallSite | None) -> str:
    """Return a line with its source text."""
    return "an unknown place" if site is None else place(site)
