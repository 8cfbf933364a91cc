"""Where a coroutine is waiting, told apart from all other places and in words.

The wall: reads frames; drives and judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import CodeType, FrameType
from typing import Any, TypeAlias

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream.leaks import frames_of, place, user_site

#: Tells one place of the code from another, however often it is come by.
Chain: TypeAlias = tuple[tuple[CodeType, int], ...]


def chain_of(awaitable: Any) -> Chain:
    """Return which place of the code a suspended coroutine has come to."""
    return tuple((frame.f_code, frame.f_lasti) for frame in frames_of(awaitable))


def place_of(awaitable: Any) -> CallSite | None:
    """Return the innermost line of the user's own code; where there is none, the innermost line."""
    return own_line([*frames_of(awaitable)][::-1])


def own_line(frames: Iterable[FrameType]) -> CallSite | None:
    """Return the first line that is the user's own; where there is none, the first."""
    sites = [CallSite(frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_qualname) for frame in frames]
    return user_site(sites) or next(iter(sites), None)


def described(site: CallSite | None) -> str:
    """Return a place with its source line."""
    return "a place that cannot be told" if site is None else place(site)
