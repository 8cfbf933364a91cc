"""The real clock, and waits that go by it, whatever a test has frozen or patched.

Knows nothing of streams and of leaks.

Theory of operation: freezegun (looked at: 1.5) replaces every module attribute of the process that *is* one of the
clocks of ``time``, and what is imported while it freezes binds the frozen one. So the functions here are those of a
second ``time`` module, made from the interpreter's own initialiser and listed nowhere: nobody else knows them, whenever
this module is imported (CPython 3.11 to 3.15). time-machine changes clocks in C, in both modules at once: from 2.13 to
2.19 ``monotonic``, since 3.0 only those of the calendar, and never ``perf_counter``. So that is the clock.

asyncio reads ``time.monotonic`` anew each time. On a loop whose clock is that one, and was patched, timers fire at once
or never; there ``call_later`` looks at the real clock, turn by turn. A loop with a clock of its own (virtual time,
uvloop) keeps it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from importlib.machinery import BuiltinImporter
from importlib.util import module_from_spec
from types import ModuleType, coroutine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Handle
    from typing import Protocol

    class Timer(Protocol):
        """What has been set to happen later."""

        def cancel(self) -> object:
            """Let it not happen."""


_PAUSE = 0.0005
_EARLY = 0.001  # the loops' own timers may fire so much early, and nobody needs another turn for that
_FAR = 1e7


def _second_time_module() -> ModuleType:
    spec = BuiltinImporter.find_spec("time")
    assert spec is not None, "time is built in"  # noqa: S101 - so it is, in every CPython
    module = module_from_spec(spec)
    BuiltinImporter.exec_module(module)
    return module


_pristine = _second_time_module()

#: Seconds that only ever go on; comparable to nothing but itself.
monotonic: Callable[[], float] = _pristine.perf_counter


def sleep(seconds: float) -> None:
    """Block this thread; where gevent has patched ``time``, block this greenlet alone, so that others can end."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("time"):
        sys.modules["gevent"].sleep(seconds)
    else:
        _pristine.sleep(seconds)


@coroutine
def turn() -> Generator[None, None, None]:
    """Let the running loop do what else it has to do, for one turn: ``asyncio.sleep(0)``, which tests patch."""
    yield


def clock_of(loop: AbstractEventLoop | None) -> Callable[[], float]:
    """Return the clock to measure by in a loop: its own if it brings one, else the real one."""
    return monotonic if loop is None or _reads_time_module(loop) else loop.time


def _reads_time_module(loop: AbstractEventLoop) -> bool:
    """Tell whether a loop has the clock of asyncio's own loops; told by name, for a test may have patched the class."""
    return getattr(loop.time, "__qualname__", "") == "BaseEventLoop.time"


def _is_patched() -> bool:
    """Tell whether ``time.monotonic`` was replaced, or made to tell the date.

    A clock in Python is a stand-in. One that was changed in C tells the seconds since 1970, the real one those since
    the machine was started, as ``perf_counter`` does.
    """
    now = time.monotonic
    return type(now) is not type(monotonic) or abs(now() - monotonic()) > _FAR


def call_later(loop: AbstractEventLoop, seconds: float, callback: Callable[..., object], *args: object) -> Timer:
    """Call a function on a loop after so many seconds: of the loop's own clock if it brings one, else real ones."""
    if _reads_time_module(loop):
        return _RealTimer(loop, seconds, callback, args)
    return loop.call_later(seconds, callback, *args)


class _RealTimer:
    """A timer on the loop's own, but for a clock that is patched: then it is asked again and again, between turns."""

    __slots__ = ("_args", "_callback", "_due", "_handle", "_loop")

    def __init__(
        self, loop: AbstractEventLoop, seconds: float, callback: Callable[..., object], args: tuple[object, ...]
    ) -> None:
        self._loop = loop
        self._callback = callback
        self._args = args
        self._due = monotonic() + seconds
        self._handle = self._set(seconds)

    def _set(self, seconds: float) -> Handle:
        if _is_patched():
            return self._loop.call_soon(self._look)
        return self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        left, is_patched = self._due - monotonic(), _is_patched()
        if left <= (0 if is_patched else _EARLY):
            self._callback(*self._args)
            return
        if is_patched:
            sleep(min(left, _PAUSE))
        self._handle = self._set(left)

    def cancel(self) -> None:
        self._handle.cancel()


@contextmanager
def going_on(loop: AbstractEventLoop) -> Iterator[None]:
    """Let a loop's clock go on, for the length of a block, where a test has stopped it.

    It goes on from where it stands; if it was patched, from the real time if that is later, for timers that were set
    before. A clock of the loop's own may jump ahead, but does not stand still. Nobody else's clock changes.
    """
    own, began = loop.time, monotonic()
    start = own()

    def never_still() -> float:
        return max(own(), start + monotonic() - began)

    def now() -> float:
        return start + monotonic() - began

    reads_time_module = _reads_time_module(loop)
    if reads_time_module and _is_patched():
        start = max(start, began)
    attributes: dict[str, object] = getattr(loop, "__dict__", {})  # without one, the loop keeps its clock
    before = attributes.get("time")
    attributes["time"] = now if reads_time_module else never_still
    try:
        yield
    finally:
        if before is None:
            attributes.pop("time", None)
        else:
            attributes["time"] = before
