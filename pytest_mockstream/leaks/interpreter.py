"""What the watch reads of the interpreter, asyncio, threading and concurrent.futures, and what it puts in their place.

Every run with the check on loads this; what only a verdict needs is in ``internals``. The two are the only places for
private names. Checked against CPython 3.11 to 3.15, uvloop 0.21 to 0.23, anyio 4.9 to 4.16, trio 0.30 to 0.35. Where a
name is missing, the function says so by returning None or an empty answer, and the canary finds out what the check can
no longer see.

PYTEST_DONT_REWRITE: it has no asserts, and every run loads it.
"""

from __future__ import annotations

import _thread
import asyncio
import concurrent.futures.thread
import functools
import gc
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ExtensionFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pytest_mockstream._base.paths import comparable, start_of

if TYPE_CHECKING:
    import weakref
    from contextvars import Context
    from types import CodeType, FrameType
    from typing import Protocol, TypeAlias

    #: How a register of tasks takes a weak reference in; returns the one that it has of the same task, if it has one.
    Remember: TypeAlias = Callable[[weakref.ref[Any]], Any]
    #: How it lets one go.
    Forget: TypeAlias = Callable[[weakref.ref[Any]], object]

    class NoteTask(Protocol):
        """Notes a task: as it is made, or found later."""

        def __call__(self, task: asyncio.Task[Any], made_now: bool = True) -> None:
            """Note a task."""


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

_HARNESS = ("/pluggy/", "/_pytest/", "/pytest_asyncio/")
_CALLERS_OF_SESSION_HOOKS = ("/_pytest/config/__init__.py", "/_pytest/main.py")


@functools.lru_cache(maxsize=4096)
def is_harness(filename: str) -> bool:
    """Tell whether a file belongs to the test runner."""
    name = comparable(filename)
    return any(part in name for part in _HARNESS)


def is_session_hook(frame: FrameType | None) -> bool:
    """Tell whether the test runner, in this frame, calls a hook of a session, and not one of a test or a fixture."""
    while frame is not None and "/pluggy/" in comparable(frame.f_code.co_filename):
        frame = frame.f_back
    return frame is not None and comparable(frame.f_code.co_filename).endswith(_CALLERS_OF_SESSION_HOOKS)


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


def on_task_registered(make: Callable[[Remember, Forget], NoteTask]) -> Callable[[], None]:
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
    registry.add = make(registry.data.add, registry._remove)

    def undo() -> None:
        if before is None:
            registry.__dict__.pop("add", None)
        else:
            registry.add = before

    return undo


#: Whether asyncio keeps its tasks in a list of the interpreter's that nobody else can hook into.
HIDES_TASKS = sys.version_info >= (3, 14)


def context_of(task: Any) -> Context:
    """Return the context that a task runs in; from 3.12 on tasks show it."""
    context: Context = task.get_context()
    return context


def _module_of_frame(depth: int) -> str | None:
    """Return the name of the module of a frame: of a caller of the caller, where ``depth`` is 1."""
    try:
        return str(sys._getframe(depth + 1).f_globals.get("__name__"))
    except ValueError:
        return None


#: From 3.12 on the interpreter does it without making a frame object, which costs more than all else together.
module_of_frame: Callable[[int], str | None] = getattr(sys, "_getframemodulename", _module_of_frame)


def current_thread() -> threading.Thread | None:
    """Return the current thread without making a ``_DummyThread`` of a foreign one."""
    return ACTIVE.get(threading.get_ident())


def is_started_by_python(thread: threading.Thread) -> bool:
    """Tell whether a thread is neither the main one nor one that only looks like one."""
    return thread is not threading.main_thread() and not issubclass(type(thread), threading._DummyThread)


def pool_of(thread: threading.Thread) -> ThreadPoolExecutor | None:
    """Return the pool that a thread works for."""
    target: Any = getattr(thread, "_target", None)
    if target is None or getattr(target, "__code__", None) is not POOL_WORKER_CODE:
        return None
    args = getattr(thread, "_args", ())
    reference = args[0] if args else None
    pool = reference() if callable(reference) else None
    return pool if isinstance(pool, ThreadPoolExecutor) else None


def is_worker(thread: threading.Thread) -> bool:
    """Tell whether a thread does one job after the other, for a pool or for a library that keeps such threads."""
    target: Any = getattr(thread, "_target", None)
    code = getattr(target, "__code__", None)
    return (code is not None and code is POOL_WORKER_CODE) or is_kept_worker(thread)


def is_kept_worker(thread: object) -> bool:
    """Tell whether this is a thread and one that anyio or trio keeps to give it one job after the other."""
    target: Any = getattr(thread, "_target", None)
    module = type(thread).__module__ if target is None else getattr(target, "__module__", None)
    return module in {"anyio._backends._asyncio", "trio._core._thread_cache"}


# Threads, told without a look at their frames.

#: The objects of ``threading``, by identifier: the main thread's and those of foreign ones included.
ACTIVE: dict[int, threading.Thread] = getattr(threading, "_active", {})
_TASKS = "/proc/self/task"  # one folder for each thread
_LISTS_THREADS = sys.platform == "linux"
_stat = os.stat

#: Returns how many threads there are that Python started.
count_started: Callable[[], int] = getattr(_thread, "_count", lambda: 0)


def is_a(thing: object, kind: type) -> bool:
    """Do as ``isinstance``, which may run code of anybody's: that of a property ``__class__``."""
    return issubclass(type(thing), kind)


def has_foreign_code() -> bool:
    """Tell whether code is loaded that could start a thread behind Python's back: ctypes, or an extension module.

    Where the system does not list its threads, nobody could count those: the answer is no.
    """
    if not _LISTS_THREADS:
        return False
    if "_ctypes" in sys.modules:
        return True
    for module in sys.modules.copy().values():
        if is_a(module, ModuleType):  # it may be a stand-in of any kind
            spec = ModuleType.__getattribute__(module, "__dict__").get("__spec__")
            if type(getattr(spec, "loader", None)) is ExtensionFileLoader and not _is_of_python(spec.origin or ""):
                return True
    return False


def _is_of_python(path: str) -> bool:
    """Tell whether an extension module came with Python itself."""
    name = comparable(path)
    return "/site-packages/" not in name and name.startswith(_PYTHONS_OWN)


#: The folders of its library; what `sysconfig` says of them, without loading that.
_PYTHONS_OWN = (start_of(os.path.dirname(os.__file__)), comparable(f"{sys.base_exec_prefix}/{sys.platlibdir}/python"))


def count_foreign() -> int:
    """Return how many threads the process has that Python did not start, and two more; 0 where that costs too much."""
    if not _LISTS_THREADS:
        return 0
    try:
        return _stat(_TASKS).st_nlink - count_started()
    except OSError:
        return 0


#: What waiting needs, as it is before a test can replace it.
wait = asyncio.wait
running_loop = asyncio._get_running_loop


def can_pump(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether this thread may run a loop for a while."""
    return not loop.is_closed() and not loop.is_running() and running_loop() is None


def runner_loop(runner: asyncio.Runner | None) -> asyncio.AbstractEventLoop | None:
    """Return the loop of a runner that is about to close, None where it never had one."""
    loop = getattr(runner, "_loop", None)
    return loop if isinstance(loop, asyncio.AbstractEventLoop) and not loop.is_closed() else None


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
