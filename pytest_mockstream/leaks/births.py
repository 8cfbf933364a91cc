"""Notes every task, thread and pool that is started: who started it, and where. It judges nothing.

Noting a birth takes a short walk up the frames; line numbers are worked out only for what is reported.

Theory of operation: a task's birth is a weak reference to it, plus a strong one to its coroutine. Once the task is
done, its coroutine is an empty shell, so nothing of the user's is kept. While it waits, its coroutine holds the future
that it awaits, and that future holds the task, so a pending task cannot be collected before it was judged. A thread
carries its birth as an attribute.

Up to CPython 3.13, asyncio registers each task in a set whose ``add`` can be replaced. From 3.14 on, ``create_task`` of
the loops is wrapped instead; see ``hidden_tasks``.

PYTEST_DONT_REWRITE: it has no asserts, and every run loads it.
"""

from __future__ import annotations

import _thread
import asyncio
import functools
import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, TypeAlias

from pytest_mockstream._base.paths import is_ours

from . import interpreter
from .interpreter import HIDES_TASKS
from .owner import IMPORT, OWNER, PLUGIN, Owner

if TYPE_CHECKING:
    from .hidden_tasks import HiddenTasks

#: Code objects and the offsets of their current instructions, by turns; flat, for the collector's sake.
Frames: TypeAlias = tuple[CodeType | int, ...]

#: Is told of a birth: who or what was born, and what is known of that.
NoteBirth: TypeAlias = "Callable[[asyncio.Task[Any] | threading.Thread, TaskBirth | Birth], object]"

_ATTRIBUTE = "_pytest_mockstream_birth"
_BOTTOMS = frozenset({asyncio.Runner.run.__code__, *interpreter.LOOP_CODES})
_LOOP_MODULES = frozenset({"asyncio.events", "asyncio.runners"})
_current_frame = sys._getframe
_TRIES = 3


class Birth:
    """Who started a thread or made a pool, and where.

    Attributes:
        owner: None where nobody knows.
        frames: from the innermost outwards.
        serial: births are numbered through.
        reported: whether it was called a leak already.
        failed: whether that failed its test.
    """

    __slots__ = ("failed", "frames", "owner", "reported", "serial")

    def __init__(self, owner: Owner | None, frames: Frames, serial: int) -> None:
        self.owner = owner
        self.frames = frames
        self.serial = serial
        self.reported = False
        self.failed = False

    def report(self, *, fails: bool) -> None:
        """Note that it was called a leak."""
        self.reported = True
        self.failed = fails


class TaskBirth(weakref.ref["asyncio.Task[Any]"]):
    """Who created a task, and where; a weak reference to the task.

    Attributes:
        failed: whether it was called a leak and failed its test; it has a value only once it was reported.
    """

    __slots__ = ("coro", "failed", "frames", "owner", "reported", "serial")

    coro: Any
    owner: Owner | None
    frames: Frames
    serial: int
    reported: bool
    failed: bool

    def report(self, *, fails: bool) -> None:
        """Note that it was called a leak."""
        self.reported = True
        self.failed = fails


class Job:
    """A job that was given to a pool, and who gave it; holds neither."""

    __slots__ = ("_future", "birth", "pool")

    def __init__(self, birth: Birth, pool: ThreadPoolExecutor) -> None:
        self.birth = birth
        self.pool = weakref.ref(pool)
        self._future: weakref.ref[Future[Any]] | None = None

    @property
    def is_on_its_way(self) -> bool:
        """Whether it has no future yet, though a worker may be at work on it already."""
        return self._future is None

    def future(self) -> Future[Any] | None:
        """Return its future, if that is there and lives."""
        return None if self._future is None else self._future()

    def arrive(self, future: Future[Any], gone: Callable[[], object]) -> None:
        """Note its future; ``gone`` is called when that is collected."""
        self._future = weakref.ref(future, lambda _: gone())


class Submission:
    """A coroutine on its way to a loop in another thread, where its task is born without its maker."""

    __slots__ = ("_coro", "birth", "loop")

    def __init__(self, birth: Birth, coro: weakref.ref[Any], loop: asyncio.AbstractEventLoop) -> None:
        self.birth = birth
        self.loop = loop
        self._coro = coro  # its callback takes this out of the register, should it never arrive


class Births:
    """The register of births of this process.

    Attributes:
        tasks: by serial number, until they are collected.
        threads_started: how many were, with or without an object.
        raw: of the threads that have no object and run, by identifier.
        jobs: those of pools, by serial number, until their futures are collected.
        submitted: what other threads' loops have not come to yet, by the identity of the coroutine.
        runners: the runners of loops that were made since somebody watches, as long as they live.
        workers: the threads that do one job after the other.
        unrecorded: the threads that run Python, were seen, and have no record.
        hidden: finds tasks where asyncio hides them.
        foreign: how many threads there were, when somebody last counted, that Python did not start.
        notes: are told each task and thread when it is born, with its birth.
    """

    def __init__(self) -> None:
        self.tasks: dict[int, TaskBirth] = {}
        self.threads_started = 0
        self.raw: dict[int, Birth] = {}
        self.jobs: dict[int, Job] = {}
        self.submitted: dict[int, Submission] = {}
        self.runners: set[weakref.ref[asyncio.Runner]] = set()
        self.workers: set[weakref.ref[threading.Thread]] = set()
        self.unrecorded: set[int] = set()
        self.foreign = 0
        self.notes: tuple[NoteBirth, ...] = ()
        self._modules = 0
        self._may_be_foreign = False
        self.hidden: HiddenTasks | None = None
        self._count = itertools.count(1)
        self.mark = self._count.__next__
        self._installed = 0
        self._undo: list[Callable[[], None]] = []

    def pending_since(self, mark: float) -> Iterator[TaskBirth]:
        """Return the births after a mark whose tasks are not done, the oldest first."""
        if self.hidden is not None:
            self.hidden.find()
        if not self.tasks:
            return iter(())
        for _ in range(_TRIES):
            try:
                found = list(itertools.takewhile(lambda birth: birth.serial > mark, reversed(self.tasks.values())))
            except RuntimeError:  # another thread starts or ends a task this very moment
                continue
            break
        else:
            found = [birth for birth in reversed(list(self.tasks.values())) if birth.serial > mark]
        return (birth for birth in reversed(found) if (task := birth()) is not None and not task.done())

    def pending_on(self, loop: asyncio.AbstractEventLoop) -> list[TaskBirth]:
        """Return the births whose tasks a loop still has to do, the oldest first."""
        if self.hidden is not None:
            self.hidden.know(loop)
        pending = ((birth, birth()) for birth in self.pending_since(0))
        return [birth for birth, task in pending if task is not None and task.get_loop() is loop]

    def count_foreign(self) -> int:
        """Return how many threads there are now that Python did not start.

        Counting costs a quarter of what a clean test pays in all. As long as no code is loaded that could start such a
        thread, there are as many as before.
        """
        if not self._may_be_foreign and self._modules != (modules := len(sys.modules)):
            self._modules, self._may_be_foreign = modules, interpreter.has_foreign_code()
        return interpreter.count_foreign() if self._may_be_foreign else self.foreign

    # Life of the patches: they nest, and a forked child takes no part.

    def install(self) -> None:
        """Begin to note births; counts."""
        self._installed += 1
        if self._installed > 1:
            return
        self._undo = [
            interpreter.on_task_registered(self._task),
            interpreter.patch(threading.Thread, "start", self._start),
            interpreter.patch(ThreadPoolExecutor, "__init__", self._pool),
            interpreter.patch(ThreadPoolExecutor, "submit", self._submit),
            interpreter.patch(_thread, "start_new_thread", self._start_raw),
            interpreter.patch(asyncio, "run_coroutine_threadsafe", self._send),
        ]
        if hasattr(_thread, "start_joinable_thread"):  # from 3.13 on
            self._undo.append(interpreter.patch(_thread, "start_joinable_thread", self._start_raw))
        if HIDES_TASKS:
            from .hidden_tasks import HiddenTasks

            self.hidden = HiddenTasks(self._task)
            self._undo.append(self.hidden.stop)

    def uninstall(self) -> None:
        """Stop noting births, when as many have stopped as had begun."""
        self._installed -= 1
        if self._installed == 0:
            for undo in reversed(self._undo):
                undo()
            self._undo = []
            self.hidden = None
            self.tasks.clear()

    # Births.

    def _task(self, remember: interpreter.Remember, forget: interpreter.Forget) -> interpreter.NoteTask:
        # This runs for every task of the process: names are bound, frames of asyncio itself are not looked at.
        tasks, count, owner_of, bottoms, submitted = self.tasks, self._count, OWNER.get, _BOTTOMS, self.submitted
        module_of = interpreter.module_of_frame
        inner = {name for name in sys.modules if name.startswith("asyncio.") and name not in _LOOP_MODULES}
        inner |= {__name__, "pytest_mockstream.leaks.hidden_tasks"}

        def died(birth: Any) -> None:
            forget(birth)
            tasks.pop(birth.serial, None)

        def add_and_note(task: asyncio.Task[Any], made_now: bool = True) -> None:
            depth = 1
            while (module := module_of(depth)) in inner:
                depth += 1
            frames: list[CodeType | int] = []
            note = frames.append
            frame = _current_frame(depth) if made_now and module not in _LOOP_MODULES else None
            while frame is not None and (code := frame.f_code) not in bottoms:
                note(code)
                note(frame.f_lasti)
                frame = frame.f_back
            birth = TaskBirth(task, died)
            birth.coro = coro = task.get_coro()
            if submitted and (sent := submitted.get(id(coro))) is not None:
                birth.owner, birth.frames = sent.birth.owner, sent.birth.frames
            elif not made_now:
                birth.owner, birth.frames = interpreter.context_of(task).get(OWNER), ()
            else:
                birth.owner, birth.frames = owner_of() or owner_of_thread(), tuple(frames)
            birth.reported = False
            birth.serial = serial = next(count)
            if (found := remember(birth)) is not None:
                if made_now:  # whoever found it before it was noted cannot know who made it, and where
                    found.owner, found.frames = birth.owner, birth.frames
                return
            tasks[serial] = birth
            if submitted:  # only now: who looks finds it here or there
                submitted.pop(id(coro), None)
            for tell in self.notes:
                tell(task, birth)

        return add_and_note

    def _start(self, start: Callable[..., None]) -> Callable[..., None]:
        def wrapper(thread: threading.Thread) -> None:
            self.threads_started += 1
            frames, lasting = stack(_current_frame(1))
            owner = lasting or pool_owner(thread) or OWNER.get() or owner_of_thread()
            birth = Birth(owner, frames, next(self._count))
            setattr(thread, _ATTRIBUTE, birth)
            for tell in self.notes:
                tell(thread, birth)
            if interpreter.is_worker(thread):
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
            job = self.jobs[birth.serial] = Job(birth, pool)
            try:
                future = submit(pool, *args, **kwargs)
            except BaseException:
                self.jobs.pop(birth.serial, None)
                raise
            job.arrive(future, lambda: self.jobs.pop(birth.serial, None))
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

    def _start_raw(self, start: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(function: Callable[..., object], *args: Any, **kwargs: Any) -> Any:
            if not callable(function):
                return start(function, *args, **kwargs)  # which says so
            frames, lasting = stack(_current_frame(1))
            owner = lasting or OWNER.get() or owner_of_thread()
            birth = Birth(owner, frames, next(self._count))
            self.threads_started += 1

            over = []

            @functools.wraps(function)
            def run(*args: Any, **kwargs: Any) -> None:
                self.raw[threading.get_ident()] = birth
                try:
                    function(*args, **kwargs)
                finally:
                    over.append(True)
                    self.raw.pop(threading.get_ident(), None)

            made = start(run, *args, **kwargs)
            ident = made if isinstance(made, int) else made.ident  # of a handle, from 3.13 on
            self.raw[ident] = birth  # it may not run yet, or no more
            if over:
                self.raw.pop(ident, None)
            return made

        return wrapper


def birth_of(thing: threading.Thread | ThreadPoolExecutor) -> Birth | None:
    """Return the birth of a thread or a pool, or None where nobody saw it."""
    return getattr(thing, _ATTRIBUTE, None)


def thread_is_about_to_run() -> bool:
    """Tell whether ``_thread`` has started a thread that has not come to its first frame, as far as anybody watches."""
    return not interpreter.frames().keys() >= BIRTHS.raw.keys()


def owner_of_thread() -> Owner | None:
    """Return the owner of the current thread: of what runs in it in a context of its own."""
    thread = interpreter.current_thread()
    birth = BIRTHS.raw.get(threading.get_ident()) if thread is None else getattr(thread, _ATTRIBUTE, None)
    if birth is not None:
        pool = None if thread is None else interpreter.pool_of(thread)
        return (None if pool is None else _giver_of_job(pool)) or birth.owner
    # A thread that was started before anybody watched, by a conftest file: what it starts is as much an import's.
    return IMPORT if thread is not None and interpreter.is_started_by_python(thread) else None


def _giver_of_job(pool: ThreadPoolExecutor) -> Owner | None:
    """Return who gave the job that a pool does in this thread: a pool may be older than all tests, and anybody's."""
    from .internals import future_of_job

    future = future_of_job(_current_frame(2))
    if future is None:
        return None
    jobs = list(BIRTHS.jobs.values())
    given = next((job for job in jobs if job.future() is future), None)
    if given is None:  # whoever gives it has not come back from giving it
        given = next((job for job in jobs if job.is_on_its_way and job.pool() is pool), None)
    return None if given is None else given.birth.owner


def pool_owner(thread: threading.Thread) -> Owner | None:
    """Return the owner of the pool that a thread works for: workers belong to their pool, whoever gave it work."""
    pool = interpreter.pool_of(thread)
    if pool is None:
        return None
    birth = birth_of(pool)
    return IMPORT if birth is None else birth.owner  # it was made before anybody watched: a conftest file's


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
        elif interpreter.is_harness(code.co_filename):
            if lasting is None and interpreter.is_session_hook(frame) and _is_others(frames):
                lasting = PLUGIN
            break
        else:
            frames += (code, frame.f_lasti)
        frame = frame.f_back
    return tuple(frames), lasting


def _is_others(frames: list[CodeType | int]) -> bool:
    """Tell whether all of these functions are installed, and none is the user's, or ours."""
    files = [code.co_filename for code in frames if isinstance(code, CodeType)]
    if any(map(is_ours, files)):
        return False
    from pytest_mockstream._base.callsite import is_library  # where the canary asks, it is not needed

    return all(map(is_library, files))


BIRTHS = Births()


def begin_telling_births(note: NoteBirth) -> None:
    """Have ``note`` told of every task and thread that is born from now on; it runs where that is made."""
    BIRTHS.install()
    BIRTHS.notes = (*BIRTHS.notes, note)


def end_telling_births(note: NoteBirth) -> None:
    """Tell it of no birth any more."""
    BIRTHS.notes = tuple(other for other in BIRTHS.notes if other != note)
    BIRTHS.uninstall()
