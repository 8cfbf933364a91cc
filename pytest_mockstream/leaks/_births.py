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

from pytest_mockstream._callsite import is_library, is_ours

from . import _internals
from ._owner import IMPORT, OWNER, PLUGIN, Owner

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


class Job:
    """A job that was given to a pool, and who gave it; holds neither."""

    __slots__ = ("birth", "future", "pool")

    def __init__(self, birth: Birth, future: weakref.ref[Future[Any]], pool: ThreadPoolExecutor) -> None:
        self.birth = birth
        self.future = future
        self.pool = weakref.ref(pool)


class Submission:
    """A coroutine on its way to a loop in another thread, where its task is born without its maker."""

    __slots__ = ("_coro", "birth", "loop")

    def __init__(self, birth: Birth, coro: weakref.ref[Any], loop: asyncio.AbstractEventLoop) -> None:
        self.birth = birth
        self.loop = loop
        self._coro = coro  # its callback takes this out of the register, should it never arrive


class Births:
    """The register of births of this process."""

    def __init__(self) -> None:
        self.tasks: dict[int, TaskBirth] = {}
        self.threads_started = 0
        self.raw: dict[int, Birth] = {}
        self.jobs: dict[int, Job] = {}
        self.submitted: dict[int, Submission] = {}
        self.workers: set[weakref.ref[threading.Thread]] = set()
        self._count = itertools.count(1)
        self.mark = self._count.__next__
        self._installed = 0
        self._undo: list[Callable[[], None]] = []

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

    def pending_jobs(self, mark: int) -> list[tuple[Job, Future[Any]]]:
        """Return the jobs given to pools after a mark that are not done."""
        jobs = [(job, job.future()) for job in list(self.jobs.values()) if job.birth.serial > mark]
        return [(job, future) for job, future in jobs if future is not None and not future.done()]

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
            _internals.patch(asyncio, "run_coroutine_threadsafe", self._send),
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
        tasks, count, owner_of, bottoms, submitted = self.tasks, self._count, OWNER.get, _BOTTOMS, self.submitted
        remember, forget, module_of = registry.remember, registry.forget, _internals.module_of_frame
        inner = {name for name in sys.modules if name.startswith("asyncio.") and name not in _LOOP_MODULES}

        def died(birth: Any) -> None:
            forget(birth)
            tasks.pop(birth.serial, None)

        def add_and_note(task: asyncio.Task[Any]) -> None:
            depth = 1
            while (module := module_of(depth)) in inner:
                depth += 1
            frames: list[CodeType | int] = []
            note = frames.append
            frame = _current_frame(depth) if module not in _LOOP_MODULES else None
            while frame is not None and (code := frame.f_code) not in bottoms:
                note(code)
                note(frame.f_lasti)
                frame = frame.f_back
            birth = TaskBirth(task, died)
            birth.coro = coro = task.get_coro()
            if submitted and (sent := submitted.pop(id(coro), None)) is not None:
                birth.owner, birth.frames = sent.birth.owner, sent.birth.frames
            else:
                birth.owner, birth.frames = owner_of() or owner_of_thread(), tuple(frames)
            birth.reported = False
            birth.serial = serial = next(count)
            tasks[serial] = birth
            remember(birth)

        return add_and_note

    def _start(self, start: Callable[..., None]) -> Callable[..., None]:
        def wrapper(thread: threading.Thread) -> None:
            self.threads_started += 1
            frames, lasting = stack(_current_frame(1))
            owner = lasting or pool_owner(thread) or OWNER.get() or owner_of_thread()
            setattr(thread, _ATTRIBUTE, Birth(owner, frames, next(self._count)))
            if _internals.is_cached_worker(thread):
                self.workers.add(weakref.ref(thread, self.workers.discard))
            start(thread)

        return wrapper

    def _pool(self, init: Callable[..., None]) -> Callable[..., None]:
        def wrapper(pool: ThreadPoolExecutor, *args: Any, **kwargs: Any) -> None:
            frames, lasting = stack(_current_frame(1))
            owner = lasting or OWNER.get() or owner_of_thread()
            setattr(pool, _ATTRIBUTE, Birth(owner, frames, next(self._count)))
            init(pool, *args, **kwargs)

        return wrapper

    def _submit(self, submit: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(pool: ThreadPoolExecutor, *args: Any, **kwargs: Any) -> Any:
            birth = Birth(OWNER.get() or owner_of_thread(), stack(_current_frame(1))[0], next(self._count))
            future = submit(pool, *args, **kwargs)
            gone = weakref.ref(future, lambda _: self.jobs.pop(birth.serial, None))
            self.jobs[birth.serial] = Job(birth, gone, pool)
            return future

        return wrapper

    def _send(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(coro: Any, loop: asyncio.AbstractEventLoop) -> Any:
            birth = Birth(OWNER.get() or owner_of_thread(), stack(_current_frame(1))[0], next(self._count))
            key = id(coro)
            if asyncio.iscoroutine(coro):
                gone = weakref.ref(coro, lambda _: self.submitted.pop(key, None))
                self.submitted[key] = Submission(birth, gone, loop)
            return send(coro, loop)

        return wrapper

    def _start_raw(self, start: Callable[..., int]) -> Callable[..., int]:
        def wrapper(function: Callable[..., object], args: tuple[Any, ...], *kwargs: dict[str, Any]) -> int:
            frames, lasting = stack(_current_frame(1))
            owner = lasting or OWNER.get() or owner_of_thread()
            birth = Birth(owner, frames, next(self._count))
            self.threads_started += 1

            over = []

            def run(*args: Any, **kwargs: Any) -> None:
                self.raw[threading.get_ident()] = birth
                try:
                    function(*args, **kwargs)
                finally:
                    over.append(True)
                    self.raw.pop(threading.get_ident(), None)

            ident = start(run, args, *kwargs)
            self.raw[ident] = birth  # it may not run yet, or no more
            if over:
                self.raw.pop(ident, None)
            return ident

        return wrapper


def birth_of(thing: threading.Thread | ThreadPoolExecutor) -> Birth | None:
    """Return the birth of a thread or a pool, or None where nobody saw it."""
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


def stack(frame: FrameType | None, bottoms: frozenset[CodeType] = _BOTTOMS) -> tuple[Frames, Owner | None]:
    """Return the frames up to the test runner or the event loop, and who owns what is started there for good.

    That is an import, or a plugin that another session of pytest, inside this one, begins with; None for anybody else.
    """
    frames: list[CodeType | int] = []
    lasting: Owner | None = None
    while frame is not None and frame.f_code not in bottoms:
        code = frame.f_code
        if code.co_filename.startswith("<frozen importlib"):
            lasting = IMPORT
        elif _internals.is_harness(code.co_filename):
            if lasting is None and _internals.is_session_hook(frame) and _is_others(frames):
                lasting = PLUGIN
            break
        else:
            frames += (code, frame.f_lasti)
        frame = frame.f_back
    return tuple(frames), lasting


def _is_others(frames: list[CodeType | int]) -> bool:
    """Tell whether all of these functions are installed, and none is the user's, or ours."""
    files = [code.co_filename for code in frames if isinstance(code, CodeType)]
    return all(is_library(file) and not is_ours(file) for file in files)


BIRTHS = Births()
