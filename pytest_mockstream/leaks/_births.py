"""Every task, thread and pool that is started, with who started it and where.

The wall: notes births and judges nobody. A birth costs a short walk up the frames; lines are worked out only for what
is reported.

Theory of operation: a task's birth is a weak reference to it, plus a strong one to its coroutine. Once the task is
done its coroutine is an empty shell, so nothing of the user's is kept; while it waits, its coroutine holds the future
that it awaits, and that future holds the task: a pending task cannot be collected before it was judged. A thread
carries its birth as an attribute.
"""

from __future__ import annotations

import _thread
import asyncio
import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import CodeType, FrameType
from typing import Any, TypeAlias

from . import _internals
from ._owner import IMPORT, OWNER, Owner

#: Code objects and the offsets of their current instructions, by turns; flat, for the collector's sake.
Frames: TypeAlias = tuple[CodeType | int, ...]

_ATTRIBUTE = "_pytest_mockstream_birth"
_BOTTOMS = frozenset({asyncio.Runner.run.__code__, *_internals.LOOP_CODES})
_LOOP_MODULES = frozenset({"asyncio.events", "asyncio.runners"})
_current_frame = sys._getframe


class Birth:
    """Who started a thread or made a pool, and where.

    Attributes:
        owner: None where nobody knows.
        frames: from the innermost outwards.
        serial: births are numbered through.
        reported: whether it was called a leak already.
    """

    __slots__ = ("frames", "owner", "reported", "serial")

    def __init__(self, owner: Owner | None, frames: Frames, serial: int) -> None:
        self.owner = owner
        self.frames = frames
        self.serial = serial
        self.reported = False


class TaskBirth(weakref.ref["asyncio.Task[Any]"]):
    """Who created a task, and where; a weak reference to the task."""

    __slots__ = ("coro", "frames", "owner", "reported", "serial")

    coro: Any
    owner: Owner | None
    frames: Frames
    serial: int
    reported: bool


class Births:
    """The register of births of this process."""

    def __init__(self) -> None:
        self.tasks: dict[int, TaskBirth] = {}
        self.threads_started = 0
        self.raw: dict[int, Birth] = {}
        self.workers: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._count = itertools.count(1)
        self._installed = 0
        self._undo: list[Callable[[], None]] = []

    def mark(self) -> int:
        """Return a serial number that is higher than that of every birth so far."""
        return next(self._count)

    def pending_since(self, mark: int) -> Iterator[TaskBirth]:
        """Return the births after a mark whose tasks are not done, the oldest first."""
        if not self.tasks:
            return iter(())
        while True:
            try:
                found = list(itertools.takewhile(lambda birth: birth.serial > mark, reversed(self.tasks.values())))
            except RuntimeError:  # another thread starts or ends a task this very moment
                continue
            break
        return (birth for birth in reversed(found) if (task := birth()) is not None and not task.done())

    # Life of the patches: they nest, and a forked child takes no part.

    def install(self) -> None:
        """Begin to note births; counts."""
        self._installed += 1
        if self._installed > 1:
            return
        self._undo = [
            _internals.on_task_registered(self._task),
            _internals.patch(threading.Thread, "start", self._start),
            _internals.patch(ThreadPoolExecutor, "__init__", self._pool),
            _internals.patch(ThreadPoolExecutor, "submit", self._submit),
            _internals.patch(_thread, "start_new_thread", self._start_raw),
        ]

    def uninstall(self) -> None:
        """Stop to note births, when as many have stopped as had begun."""
        self._installed -= 1
        if self._installed == 0:
            for undo in reversed(self._undo):
                undo()
            self._undo = []
            self.tasks.clear()

    # Births.

    def _task(self, registry: _internals.TaskRegistry) -> Callable[[asyncio.Task[Any]], None]:
        # This runs for every task of the process: names are bound, frames of asyncio itself are not looked at.
        tasks, count, owner_of, bottoms = self.tasks, self._count, OWNER.get, _BOTTOMS
        remember, forget, module_of = registry.remember, registry.forget, _internals.module_of_frame

        def died(birth: Any) -> None:
            forget(birth)
            tasks.pop(birth.serial, None)

        def add_and_note(task: asyncio.Task[Any]) -> None:
            depth = 1
            while (module := module_of(depth) or "")[:7] == "asyncio" and module not in _LOOP_MODULES:
                depth += 1
            frames: list[CodeType | int] = []
            note = frames.append
            frame = _current_frame(depth) if module not in _LOOP_MODULES else None
            while frame is not None and (code := frame.f_code) not in bottoms:
                note(code)
                note(frame.f_lasti)
                frame = frame.f_back
            birth = TaskBirth(task, died)
            birth.coro = task.get_coro()
            birth.owner = owner_of() or owner_of_thread()
            birth.frames = tuple(frames)
            birth.reported = False
            birth.serial = serial = next(count)
            tasks[serial] = birth
            remember(birth)

        return add_and_note

    def _start(self, start: Callable[..., None]) -> Callable[..., None]:
        def wrapper(thread: threading.Thread) -> None:
            self.threads_started += 1
            frames, importing = stack(_current_frame(1))
            owner = IMPORT if importing else pool_owner(thread) or OWNER.get() or owner_of_thread()
            setattr(thread, _ATTRIBUTE, Birth(owner, frames, next(self._count)))
            if _internals.is_cached_worker(thread):
                self.workers.add(thread)
            start(thread)

        return wrapper

    def _pool(self, init: Callable[..., None]) -> Callable[..., None]:
        def wrapper(pool: ThreadPoolExecutor, *args: Any, **kwargs: Any) -> None:
            frames, importing = stack(_current_frame(1))
            owner = IMPORT if importing else OWNER.get() or owner_of_thread()
            setattr(pool, _ATTRIBUTE, Birth(owner, frames, next(self._count)))
            init(pool, *args, **kwargs)

        return wrapper

    def _submit(self, submit: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(pool: ThreadPoolExecutor, *args: Any, **kwargs: Any) -> Any:
            birth = Birth(OWNER.get() or owner_of_thread(), stack(_current_frame(1))[0], next(self._count))
            future = submit(pool, *args, **kwargs)
            setattr(future, _ATTRIBUTE, birth)
            return future

        return wrapper

    def _start_raw(self, start: Callable[..., int]) -> Callable[..., int]:
        def wrapper(function: Callable[..., object], args: tuple[Any, ...], *kwargs: dict[str, Any]) -> int:
            frames, importing = stack(_current_frame(1))
            owner = IMPORT if importing else OWNER.get() or owner_of_thread()
            birth = Birth(owner, frames, next(self._count))
            self.threads_started += 1

            def run(*args: Any, **kwargs: Any) -> None:
                ident = threading.get_ident()
                self.raw[ident] = birth
                try:
                    function(*args, **kwargs)
                finally:
                    self.raw.pop(ident, None)

            return start(run, args, *kwargs)

        return wrapper


def birth_of(thing: threading.Thread | ThreadPoolExecutor | Future[Any]) -> Birth | None:
    """Return the birth of a thread, a pool or a job, or None where nobody saw it."""
    return getattr(thing, _ATTRIBUTE, None)


def owner_of_thread() -> Owner | None:
    """Return the owner of the current thread: of what runs in it in a context of its own."""
    thread = _internals.current_thread()
    birth = BIRTHS.raw.get(threading.get_ident()) if thread is None else getattr(thread, _ATTRIBUTE, None)
    return birth.owner if birth is not None else None


def pool_owner(thread: threading.Thread) -> Owner | None:
    """Return the owner of the pool that a thread works for: workers belong to their pool, whoever gave it work."""
    pool = _internals.pool_of(thread)
    birth = None if pool is None else birth_of(pool)
    return birth.owner if birth is not None else None


def stack(frame: FrameType | None) -> tuple[Frames, bool]:
    """Return the frames up to the test runner or the event loop, and whether an import is going on in them."""
    frames: list[CodeType | int] = []
    importing = False
    while frame is not None and frame.f_code not in _BOTTOMS:
        code = frame.f_code
        if code.co_filename.startswith("<frozen importlib"):
            importing = True
        elif _internals.is_harness(code.co_filename):
            break
        else:
            frames += (code, frame.f_lasti)
        frame = frame.f_back
    return tuple(frames), importing


BIRTHS = Births()
