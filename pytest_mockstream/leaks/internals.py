"""All access to what asyncio, threading, concurrent.futures and anyio keep to themselves.

The wall: the one place for private names. Checked against CPython 3.11 to 3.15, uvloop 0.21 to 0.23, anyio 4.9 to 4.16,
trio 0.30 to 0.35. Where a name is missing, the function says so by returning None or an empty answer, and the canary
finds out what the check can no longer see.
"""

from __future__ import annotations

import _thread
import asyncio
import asyncio.base_events
import asyncio.events
import asyncio.tasks
import concurrent.futures.thread
import contextvars
import functools
import gc
import os
import sys
import sysconfig
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ExtensionFileLoader
from types import CodeType, FrameType, ModuleType
from typing import Any, NamedTuple, Protocol

#: Frames below these are the loop's or the runner's, not the creator's.
LOOP_CODES: frozenset[CodeType] = frozenset(
    {
        asyncio.events.Handle._run.__code__,
        asyncio.base_events.BaseEventLoop.run_forever.__code__,
        asyncio.base_events.BaseEventLoop.run_until_complete.__code__,
        threading.Thread.run.__code__,
    }
)
#: A worker of a pool that waits for work has this code on top of its stack.
POOL_WORKER_CODE: CodeType | None = getattr(getattr(concurrent.futures.thread, "_worker", None), "__code__", None)
POOL_JOB_CODE: CodeType | None = getattr(
    getattr(getattr(concurrent.futures.thread, "_WorkItem", None), "run", None), "__code__", None
)

_HARNESS = ("/pluggy/", "/_pytest/", "/pytest_asyncio/")


def is_harness(filename: str) -> bool:
    """Tell whether a file belongs to the test runner."""
    return any(part in filename for part in _HARNESS)


def is_session_hook(frame: FrameType | None) -> bool:
    """Tell whether the test runner, in this frame, calls a hook of a session, and not one of a test or a fixture."""
    while frame is not None and "/pluggy/" in frame.f_code.co_filename:
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.endswith(("/_pytest/config/__init__.py", "/_pytest/main.py"))


def patch(
    where: type | ModuleType, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Callable[[], None]:
    """Replace a function by a wrapper around it; return what puts it back.

    What is missing or cannot be replaced stays as it is: the canary then says what cannot be seen.
    """
    is_own = name in vars(where)  # gevent's Thread inherits what the standard one defines
    try:
        original = vars(where)[name] if is_own else getattr(where, name)
        setattr(where, name, functools.wraps(original)(wrap(original)))
    except (AttributeError, TypeError):
        return lambda: None
    return (lambda: setattr(where, name, original)) if is_own else (lambda: delattr(where, name))


class TaskRegistry(NamedTuple):
    """How a register of tasks takes a weak reference in, and lets it go."""

    remember: Callable[[weakref.ref[Any]], object]
    forget: Callable[[weakref.ref[Any]], object]


class NoteTask(Protocol):
    """Notes a task: as it is made, or found later."""

    def __call__(self, task: asyncio.Task[Any], made_now: bool = True) -> None:
        """Note a task."""


def on_task_registered(make: Callable[[TaskRegistry], NoteTask]) -> Callable[[], None]:
    """Take the place of the method through which tasks become known to asyncio; return what puts it back.

    Up to CPython 3.13 asyncio adds each task that is scheduled to one ``WeakSet``, whoever made it and for whichever
    loop, by calling its method ``add``; from 3.14 on only those that are no ``asyncio.Task``, the pure-Python ones. An
    eager task is added when it suspends for the first time. A ``WeakSet`` keeps weak references in a set; ours go into
    it instead of its own, so that a task costs one of them and not two.
    """
    names = [name for name in ("_scheduled_tasks", "_all_tasks") if hasattr(asyncio.tasks, name)]
    registry: Any = getattr(asyncio.tasks, names[0]) if names else None
    if not isinstance(getattr(registry, "data", None), set) or not hasattr(registry, "_remove"):
        return lambda: None
    before = registry.__dict__.get("add")
    registry.add = make(TaskRegistry(registry.data.add, registry._remove))

    def undo() -> None:
        if before is None:
            registry.__dict__.pop("add", None)
        else:
            registry.add = before

    return undo


#: Whether asyncio keeps its tasks in a list of the interpreter's that nobody else can hook into.
HIDES_TASKS = sys.version_info >= (3, 14)


def context_of(task: Any) -> contextvars.Context:
    """Return the context that a task runs in; from 3.12 on tasks show it."""
    context: contextvars.Context = task.get_context()
    return context


def loop_classes() -> Iterator[type[asyncio.AbstractEventLoop]]:
    """Yield every class of event loops that is loaded and makes tasks, the bases first."""
    classes: list[type[asyncio.AbstractEventLoop]] = [asyncio.AbstractEventLoop]  # type: ignore[type-abstract] # not made
    while classes:
        kind = classes.pop(0)
        classes += type.__subclasses__(kind)
        if kind.create_task is not asyncio.AbstractEventLoop.create_task:
            yield kind


def on_loop_class(made: Callable[[type[asyncio.AbstractEventLoop]], None]) -> Callable[[], None]:
    """Be told of each class of event loops that is defined from now on: uvloop's, imported in the middle of a test.

    Returns:
        What ends that.
    """

    def init_subclass(cls: type[asyncio.AbstractEventLoop], /, **kwargs: Any) -> None:
        super(asyncio.AbstractEventLoop, cls).__init_subclass__(**kwargs)
        made(cls)

    asyncio.AbstractEventLoop.__init_subclass__ = classmethod(init_subclass)  # type: ignore[assignment, method-assign]

    def undo() -> None:
        del asyncio.AbstractEventLoop.__init_subclass__

    return undo


def _module_of_frame(depth: int) -> str | None:
    """Return the name of the module of a frame: of a caller of the caller, where ``depth`` is 1."""
    try:
        return str(sys._getframe(depth + 1).f_globals.get("__name__"))
    except ValueError:
        return None


#: From 3.12 on the interpreter does it without making a frame object, which costs more than all else together.
module_of_frame: Callable[[int], str | None] = getattr(sys, "_getframemodulename", _module_of_frame)


def forget_task(task: asyncio.Task[Any]) -> None:
    """Take a task out of asyncio's register, so that the closing of its loop does not wait for it for ever."""
    asyncio.tasks._unregister_task(task)
    task._log_destroy_pending = False  # type: ignore[attr-defined] # asyncio's own way to keep quiet


def current_thread() -> threading.Thread | None:
    """Return the current thread without making a ``_DummyThread`` of a foreign one."""
    return ACTIVE.get(threading.get_ident())


def pool_of(thread: threading.Thread) -> ThreadPoolExecutor | None:
    """Return the pool that a thread works for."""
    target: Any = getattr(thread, "_target", None)
    if target is None or getattr(target, "__code__", None) is not POOL_WORKER_CODE:
        return None
    args = getattr(thread, "_args", ())
    reference = args[0] if args else None
    pool = reference() if callable(reference) else None
    return pool if isinstance(pool, ThreadPoolExecutor) else None


def default_pool(loop: asyncio.AbstractEventLoop) -> ThreadPoolExecutor | None:
    """Return the default executor of a loop; uvloop has it where only the collector sees it."""
    if hasattr(loop, "_default_executor"):
        pool = loop._default_executor
        return pool if isinstance(pool, ThreadPoolExecutor) else None
    return next((thing for thing in gc.get_referents(loop) if _is_a(thing, ThreadPoolExecutor)), None)


def _is_a(thing: object, kind: type) -> bool:
    """Do as ``isinstance``, which may run code of anybody's: that of a property ``__class__``."""
    return issubclass(type(thing), kind)


def is_worker(thread: threading.Thread) -> bool:
    """Tell whether a thread does one job after the other, for a pool or for a library that keeps such threads."""
    target: Any = getattr(thread, "_target", None)
    code = getattr(target, "__code__", None)
    return (code is not None and code is POOL_WORKER_CODE) or is_kept_worker(thread)


def is_kept_worker(thread: threading.Thread) -> bool:
    """Tell whether a thread is one that anyio or trio keeps to give it one job after the other."""
    target: Any = getattr(thread, "_target", None)
    module = type(thread).__module__ if target is None else getattr(target, "__module__", None)
    return module in {"anyio._backends._asyncio", "trio._core._thread_cache"}


def is_kept_idle(thread: threading.Thread) -> bool:
    """Tell from its library's own records whether a worker of anyio or trio waits for its next job."""
    idle = getattr(thread, "idle_workers", None)  # of anyio's threads
    if idle is not None:
        return thread in idle
    worker = getattr(getattr(thread, "_target", None), "__self__", None)  # of trio's
    idle = getattr(getattr(worker, "_thread_cache", None), "_idle_workers", None)
    return idle is not None and worker in idle


def has_job(worker: object) -> bool:
    """Tell whether a worker of trio was given a job; it may not have waked up for it yet."""
    return getattr(worker, "_job", None) is not None


def context_of_job(frame: FrameType | None) -> contextvars.Context | None:
    """Return the context that a worker of anyio or trio runs its job in, as far as its frames show it."""
    while frame is not None:
        if is_kept_worker_code(frame.f_code):
            for value in frame.f_locals.values():
                if isinstance(value, contextvars.Context):
                    return value
        frame = frame.f_back
    return None


def runs_job(frame: FrameType | None, future: concurrent.futures.Future[Any]) -> bool:
    """Tell whether a thread with this innermost frame is at work on a job of a pool."""
    while frame is not None:
        if frame.f_code is POOL_JOB_CODE:
            return getattr(frame.f_locals.get("self"), "future", None) is future
        frame = frame.f_back
    return False


def is_kept_worker_code(code: CodeType) -> bool:
    """Tell whether code is that of anyio or trio that runs a job in a thread."""
    return "/anyio/" in code.co_filename or "/trio/" in code.co_filename


ANYIO_BACKENDS = ("anyio._backends._asyncio", "anyio._backends._trio")


def give_owners_to_anyio(module: ModuleType, get: Callable[[], Any], put: Callable[[Any], object]) -> None:
    """Let the one task of an anyio backend that runs all tests and fixtures take the owner from whoever gives it a job.

    Its context is that of the first job, for ever; so each job sets it anew.
    """
    runner: Any = getattr(module, "TestRunner", None)
    call = getattr(runner, "_call_in_runner_task", None)
    if call is None or getattr(call, "_gives_owner", False):
        return

    @functools.wraps(call)
    def wrapper(self: Any, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True  # what a fixture raises passes through here; pytest shows the user's lines
        owner = get()

        async def owned(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            put(owner)
            return await func(*args, **kwargs)

        return call(self, owned, *args, **kwargs)

    wrapper._gives_owner = True  # type: ignore[attr-defined] # a mark of our own
    runner._call_in_runner_task = wrapper


def is_default_pool(pool: ThreadPoolExecutor) -> bool:
    """Tell whether a pool is the default one of a loop; looks at everything that refers to it, so only on suspicion."""
    for holder in gc.get_referrers(pool):
        if _is_a(holder, asyncio.AbstractEventLoop):
            return True
        if type(holder) is dict and holder.get("_default_executor") is pool:
            return True
    return False


#: A pool that was made in this function is the default one of its loop.
MAKES_DEFAULT_POOL: CodeType = asyncio.base_events.BaseEventLoop.run_in_executor.__code__


def is_idle(pool: ThreadPoolExecutor) -> bool:
    """Tell from a pool's own records whether no job waits for a worker, and all workers wait for one."""
    waiting, idle = getattr(pool, "_work_queue", None), getattr(pool, "_idle_semaphore", None)
    if waiting is None or idle is None or not waiting.empty():
        return False
    return bool(getattr(idle, "_value", -1) >= len(workers(pool)))


def workers(pool: ThreadPoolExecutor) -> list[threading.Thread]:
    """Return the threads of a pool that are alive."""
    return [thread for thread in list(getattr(pool, "_threads", ())) if thread.is_alive()]


def release_pool(loop: asyncio.AbstractEventLoop, pool: ThreadPoolExecutor) -> None:
    """Shut the default executor of a loop down without waiting for the jobs that still run in it."""
    pool.shutdown(wait=False, cancel_futures=True)
    loop.set_default_executor(ThreadPoolExecutor(1))  # it starts no thread before it gets a job


def runner_loop(runner: asyncio.Runner) -> asyncio.AbstractEventLoop | None:
    """Return the loop of a runner that is about to close, None where it never had one."""
    loop = getattr(runner, "_loop", None)
    return loop if isinstance(loop, asyncio.AbstractEventLoop) and not loop.is_closed() else None


# Threads, told without a look at their frames.

#: The objects of ``threading``, by identifier: the main thread's and those of foreign ones included.
ACTIVE: dict[int, threading.Thread] = getattr(threading, "_active", {})
_TASKS = "/proc/self/task"  # Linux: one folder for each thread
_stat = os.stat

#: Returns how many threads there are that Python started.
count_started: Callable[[], int] = getattr(_thread, "_count", lambda: 0)


def has_foreign_code() -> bool:
    """Tell whether code is loaded that could start a thread behind Python's back: ctypes, or an extension module."""
    if "_ctypes" in sys.modules:
        return True
    for module in list(sys.modules.values()):
        if _is_a(module, ModuleType):  # it may be a stand-in of any kind
            spec = ModuleType.__getattribute__(module, "__dict__").get("__spec__")
            if type(getattr(spec, "loader", None)) is ExtensionFileLoader and not _is_of_python(spec.origin or ""):
                return True
    return False


def _is_of_python(path: str) -> bool:
    """Tell whether an extension module came with Python itself."""
    return "site-packages" not in path and path.startswith(_PYTHONS_OWN)


_PYTHONS_OWN = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))


def count_foreign() -> int:
    """Return how many threads the process has that Python did not start, and two more; 0 where that costs too much."""
    try:
        return _stat(_TASKS).st_nlink - count_started()
    except OSError:
        return 0


# The innermost frame of every thread that runs Python.

_HOLD = threading.RLock()


def frames() -> dict[int, FrameType]:
    """Return the innermost frame of every thread that runs Python, by identifier; for suspects only.

    CPython 3.11 allocates while it holds a lock of the runtime; were the collector to free a thread-local meanwhile, it
    would wait for that lock for ever (python/cpython#106883). So the collector is held off, on every Python.
    """
    with _HOLD:
        collects = gc.isenabled()
        try:
            gc.disable()
            return sys._current_frames() if hasattr(sys, "_current_frames") else {}
        finally:
            if collects:
                gc.enable()
