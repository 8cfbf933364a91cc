"""The real clock, and waits that go by it, even while a test has frozen or patched ``time``.

Theory of operation: freezegun (checked: 1.5) replaces every module attribute in the process that *is* one of the clocks
of ``time``, and a module that is imported while time is frozen binds the frozen clock. So the functions here belong to
a second ``time`` module, made by the interpreter's own initialiser and registered nowhere: nobody else can find them to
replace them, whenever this module is imported (CPython 3.11 to 3.15). time-machine changes clocks in C, for both
modules at once: ``monotonic`` from 2.13 to 2.19, only those of the calendar since 3.0, and never ``perf_counter``. So
that is the clock here.

asyncio looks up ``time.monotonic`` each time. On a loop that uses it, once it is patched, timers fire at once or never;
there ``call_later`` polls the real clock, once each iteration of the loop. A loop with a clock of its own (virtual
time, uvloop) keeps it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from importlib.machinery import BuiltinImporter
from importlib.util import module_from_spec
from types import ModuleType, coroutine
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Handle
    from typing import Protocol

    class Timer(Protocol):
        """A call that is scheduled for later."""

        def cancel(self) -> object:
            """Cancel the call."""


_PAUSE = 0.0005
_EARLY = 0.001  # the loops' own timers may fire this early, which is no reason to set another one
_FAR = 1e7


def _second_time_module() -> ModuleType:
    spec = BuiltinImporter.find_spec("time")
    assert spec is not None, "time is built in"  # noqa: S101 - so it is, in every CPython
    module = module_from_spec(spec)
    BuiltinImporter.exec_module(module)
    return module


_pristine = _second_time_module()

#: Monotonic time in seconds, from an arbitrary start: only differences mean something.
monotonic: Callable[[], float] = _pristine.perf_counter

#: Nanoseconds since 1970, as files are stamped.
time_ns: Callable[[], int] = _pristine.time_ns


def sleep(seconds: float) -> None:
    """Block this thread, in real time; where gevent has patched ``time``, only this greenlet, so that others run on."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("time"):
        sys.modules["gevent"].sleep(seconds)
    else:
        _pristine.sleep(seconds)


def pause(left: float) -> None:
    """Block this thread for a moment between two looks at the real clock, at most for the seconds that are left."""
    sleep(min(left, _PAUSE))


@coroutine
def turn() -> Generator[None, None, None]:
    """Yield to the running asyncio loop for one iteration, as ``asyncio.sleep(0)`` does, which tests patch."""
    yield


def clock_of(loop: AbstractEventLoop | None) -> Callable[[], float]:
    """Return the clock to measure by in a loop: the loop's own if it has one, else the real clock."""
    return monotonic if loop is None or _reads_time_module(loop) else loop.time


def _reads_time_module(loop: AbstractEventLoop) -> bool:
    """Tell whether a loop uses asyncio's own clock; told by name, since a test may have patched the class."""
    return getattr(loop.time, "__qualname__", "") == "BaseEventLoop.time"


def is_patched() -> bool:
    """Tell whether ``time.monotonic`` was replaced, or made to show the date.

    A clock written in Python is a replacement. One that was changed in C shows the seconds since 1970, where the real
    one, as ``perf_counter``, shows those since the machine was started.
    """
    now = time.monotonic
    return type(now) is not type(monotonic) or abs(now() - monotonic()) > _FAR


def sleeps_are_patched() -> bool:
    """Tell whether what code sleeps with was replaced, as tests of retries do; told by where a ``sleep`` comes from."""
    for name in ("time", "asyncio", "anyio", "trio"):
        sleep = getattr(sys.modules.get(name), "sleep", None)
        if sleep is not None and str(getattr(sleep, "__module__", "")).partition(".")[0] != name:
            return True
    return False


def call_later(loop: AbstractEventLoop, seconds: float, callback: Callable[..., object], *args: object) -> Timer:
    """Call a function on a loop after so many seconds, by the loop's own clock if it has one, else by the real one."""
    if _reads_time_module(loop):
        return _RealTimer(loop, seconds, callback, args)
    return loop.call_later(seconds, callback, *args)


class _RealTimer:
    """A timer of the loop's own; while its clock is patched, a poll of the real clock in each iteration instead."""

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
        if is_patched():
            return self._loop.call_soon(self._look)
        return self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        left, polls = self._due - monotonic(), is_patched()
        if left <= (0 if polls else _EARLY):
            self._callback(*self._args)
            return
        if polls:
            pause(left)
        self._handle = self._set(left)

    def cancel(self) -> None:
        self._handle.cancel()


@contextmanager
def going_on(loop: AbstractEventLoop) -> Iterator[None]:
    """Keep a loop's clock running for the length of a block, even where a test has frozen it.

    It runs on from what it shows; if it was patched, from the real time if that is later, for the sake of timers that
    were set before. A clock of the loop's own may jump ahead, but no longer stands still. Nobody else's clock changes.
    """
    own, began = loop.time, monotonic()
    start = own()

    def never_still() -> float:
        return max(own(), start + monotonic() - began)

    def now() -> float:
        return start + monotonic() - began

    reads_time_module = _reads_time_module(loop)
    if reads_time_module and is_patched():
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
