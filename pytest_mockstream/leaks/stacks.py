"""Where a task or a thread waits, and where it was created, read from frames."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Iterable, Iterator
from functools import cached_property
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType, ModuleType
from typing import Any, NamedTuple

from pytest_mockstream._base.callsite import CallSite, is_library, package_of
from pytest_mockstream._base.paths import is_ours

from . import interpreter
from .births import Frames

_FRAMES = ("cr_frame", "gi_frame", "ag_frame")
_INNER = ("cr_await", "gi_yieldfrom", "ag_await")
_WRAPPERS = frozenset({"async_generator_asend", "async_generator_athrow", "coroutine_wrapper", "anext_awaitable"})


class Stop(NamedTuple):
    """One frame of something that waits.

    Attributes:
        code: of the function.
        site: the line.
        frame: for a look at its variables; short-lived.
    """

    code: CodeType
    site: CallSite
    frame: FrameType


def stops_of_task(task: asyncio.Task[Any]) -> list[Stop]:
    """Return the frames of a task's coroutines, the innermost first."""
    return [_stop(frame) for frame in frames_of(task.get_coro())][::-1]


class Snapshot:
    """Where all threads stand at one moment: the first in which somebody asks, for a clean test never does."""

    @cached_property
    def _frames(self) -> dict[int, FrameType]:
        return interpreter.frames()

    def __iter__(self) -> Iterator[int]:
        return iter(self._frames)

    @property
    def is_taken(self) -> bool:
        """Whether somebody has asked."""
        return "_frames" in vars(self)

    def frame(self, thread: threading.Thread | int) -> FrameType | None:
        """Return the innermost frame of a thread, None if it runs no Python, or no more."""
        return self._frames.get(thread if isinstance(thread, int) else thread.ident or 0)

    def stops(self, thread: threading.Thread | int) -> list[Stop]:
        """Return the frames of a thread, the innermost first."""
        return _stops_of_thread(self.frame(thread))


def frames_of_thread(thread: threading.Thread) -> Iterator[FrameType]:
    """Yield the frames of a thread that runs, the innermost first."""
    yield from _outwards(Snapshot().frame(thread))


def frames_of_threads() -> Iterator[tuple[int, Iterator[FrameType]]]:
    """Yield the identifier of each thread that runs Python, and its frames, the innermost first."""
    for ident, frame in interpreter.frames().items():
        yield ident, _outwards(frame)


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _stops_of_thread(frame: FrameType | None) -> list[Stop]:
    stops = []
    while frame is not None:
        stops.append(_stop(frame))
        frame = frame.f_back
    return stops


def frames_of(awaitable: Any) -> Iterator[FrameType]:
    """Yield the frames of a suspended coroutine and of all that it awaits, the outermost first.

    It ends at what is neither a coroutine nor known to stand before one: whatever a stand-in (a mock) says it awaits
    would lead nowhere, and on and on. Of what runs, in another thread or here, only the outermost is told.
    """
    coroutine: CoroutineType[Any, Any, Any] | None = None
    while awaitable is not None:
        frame = _first(awaitable, _FRAMES)
        if isinstance(frame, FrameType):
            yield frame
            coroutine = awaitable if type(awaitable) is CoroutineType else coroutine
            awaitable = _awaited_by(awaitable, coroutine)
        else:
            awaitable = _wrapped(awaitable)


def user_site(sites: Iterable[CallSite]) -> CallSite | None:
    """Return the first place in the user's own code; where there is none, the first in an installed package."""
    outside: CallSite | None = None
    for site in sites:
        if not is_library(site.filename):
            return site
        if outside is None and _is_installed(site):
            outside = site
    return outside


def waiting_site(stops: Iterable[Stop]) -> CallSite | None:
    """Return where something waits: the innermost line of the user's, or else the outermost of an installed package.

    That is a function that its reader may know; the innermost is but one of a library's ways to wait.
    """
    sites = [stop.site for stop in stops]
    own = next((site for site in sites if not is_library(site.filename)), None)
    return own or next((site for site in reversed(sites) if _is_installed(site)), None)


def created_at(frames: Frames) -> CallSite | None:
    """Return the line of the user's code that made something."""
    return user_site(_sites(frames))


def created_through(frames: Frames) -> CallSite | None:
    """Return the line of an installed package that made something on behalf of the user's code."""
    for site in _sites(frames):
        if not is_library(site.filename):
            return None
        if _is_installed(site):
            return site
    return None


def _sites(frames: Frames) -> Iterator[CallSite]:
    offsets = [lasti for lasti in frames if isinstance(lasti, int)]
    for code, lasti in zip(codes_of(frames), offsets, strict=True):
        yield CallSite(code.co_filename, _line(code, lasti), code.co_qualname)


def _is_installed(site: CallSite) -> bool:
    return package_of(site.filename) not in {None, ""} and not is_ours(site.filename)


def spellings(module: str | None, qualname: str) -> list[str]:
    """Return what a function may be called: with its module and without, with its class or function and without."""
    short = [qualname.rpartition("<locals>.")[2], qualname.rpartition(".")[2]]
    own = list(dict.fromkeys([qualname, *short]))
    return own + [f"{module}.{name}" for name in own] if module else own


def module_of(filename: str) -> str | None:
    """Return the name of the module that a file was loaded as."""
    for name, module in sys.modules.copy().items():  # in one step, whatever other threads import meanwhile
        if name != "__main__" and issubclass(type(module), ModuleType) and vars(module).get("__file__") == filename:
            return name
    return None


def codes_of(frames: Frames) -> list[CodeType]:
    """Return the functions of frames, from the innermost outwards."""
    return [code for code in frames if isinstance(code, CodeType)]


def names_of(functions: Iterable[CodeType]) -> frozenset[str]:
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


def _first(thing: Any, names: tuple[str, ...]) -> Any:
    return next((value for name in names if (value := getattr(thing, name, None)) is not None), None)


def _awaited_by(awaitable: Any, coroutine: CoroutineType[Any, Any, Any] | None) -> Any:
    """Return what something awaits; None if it runs, for then CPython 3.11 and 3.12 read a stack that is not there.

    The interpreter crashes or returns what is no object: ``_PyGen_yf`` takes the word after the last instruction for
    the next one, and while a frame runs that may be a counter that looks like it (3.13 asks for the state instead). The
    two reads of each line are one step for the other threads, for nothing is called between them. That an async
    generator runs is told by the coroutine that awaits it: its own ``ag_running`` is true while it waits, too.

    Args:
        awaitable: a link of the chain that has a frame.
        coroutine: the innermost so far, maybe the link itself.
    """
    kind = type(awaitable)
    if kind is CoroutineType:
        return None if awaitable.cr_running else awaitable.cr_await
    if kind is GeneratorType:
        return None if awaitable.gi_running else awaitable.gi_yieldfrom
    if kind is AsyncGeneratorType:
        return None if coroutine is None or coroutine.cr_running else awaitable.ag_await
    return _first(awaitable, _INNER)


def _wrapped(awaitable: Any) -> Any:
    """Return what stands behind one read of an async generator or behind ``coroutine.__await__()``.

    CPython 3.11 to 3.13 show it to nobody but the garbage collector.
    """
    kind = type(awaitable).__name__
    if kind not in _WRAPPERS:
        return None
    inside = gc.get_referents(awaitable)
    return next((found for found in inside if kind == "anext_awaitable" or _first(found, _FRAMES) is not None), None)
