"""Where a coroutine is waiting.

The wall: reads frames; drives and judges nothing.
"""

from __future__ import annotations

import gc
import linecache
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType
from typing import Any, TypeAlias

from pytest_mockstream._callsite import CallSite, is_library

#: Tells one place of the code from another, however often it is come by.
Chain: TypeAlias = tuple[tuple[CodeType, int], ...]

_FRAMES = ("cr_frame", "gi_frame", "ag_frame")
_INNER = ("cr_await", "gi_yieldfrom", "ag_await")


def frames_of(awaitable: Any) -> Iterator[FrameType]:
    """Yield the frames of a suspended coroutine and of all that it awaits, the outermost first."""
    while awaitable is not None:
        frame = _first(awaitable, _FRAMES)
        if frame is not None:
            yield frame
            awaitable = _first(awaitable, _INNER)
        else:
            awaitable = _wrapped(awaitable)


def chain_of(awaitable: Any) -> Chain:
    """Return which place of the code a suspended coroutine has come to."""
    return tuple((frame.f_code, frame.f_lasti) for frame in frames_of(awaitable))


def place_of(awaitable: Any) -> CallSite | None:
    """Return the innermost line of the user's own code; where there is none, the innermost line."""
    sites = [CallSite(f.f_code.co_filename, f.f_lineno or 0, f.f_code.co_qualname) for f in frames_of(awaitable)]
    return own_line(reversed(sites))


def own_line(sites: Iterable[CallSite]) -> CallSite | None:
    """Return the first line that is the user's own; where there is none, the first."""
    first: CallSite | None = None
    for site in sites:
        if not is_library(site.filename):
            return site
        first = first or site
    return first


def described(site: CallSite | None) -> str:
    """Return a place with its source line."""
    if site is None:
        return "a place that cannot be told"
    source = linecache.getline(site.filename, site.lineno).strip()
    return f"{site} in {site.function}{f': {source}' if source else ''}"


def _first(thing: Any, names: tuple[str, ...]) -> Any:
    for name in names:
        if (value := getattr(thing, name, None)) is not None:
            return value
    return None


def _wrapped(awaitable: Any) -> Any:
    """Return what stands behind one read of an async generator or behind ``coroutine.__await__()``.

    CPython 3.11 to 3.13 show it to nobody but the garbage collector.
    """
    if type(awaitable).__name__ in {"async_generator_asend", "async_generator_athrow", "coroutine_wrapper"}:
        return next((found for found in gc.get_referents(awaitable) if _first(found, _FRAMES) is not None), None)
    if type(awaitable).__name__ == "anext_awaitable":
        return next(iter(gc.get_referents(awaitable)), None)
    return None
