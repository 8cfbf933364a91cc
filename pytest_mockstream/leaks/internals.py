"""What a verdict needs of what asyncio, threading, concurrent.futures and anyio keep to themselves.

Private names are used here and in ``interpreter``, and nowhere else. Checked against CPython 3.11 to 3.15, uvloop 0.21
to 0.23, anyio 4.9 to 4.16, trio 0.30 to 0.35. Where a name is missing, the function says so by returning None or an
empty answer.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import asyncio.tasks
import concurrent.futures.thread
import contextlib
import contextvars
import functools
import gc
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import CodeType, FrameType, ModuleType
from typing import Any

from pytest_mockstream._base.copied import copied
from pytest_mockstream._base.paths import comparable

from .interpreter import POOL_WORKER_CODE, is_a, is_kept_worker, pool_of

POOL_JOB_CODE: CodeType | None = getattr(
    getattr(getattr(concurrent.futures.thread, "_WorkItem", None), "run", None), "__code__", None
)


def forget_task(task: asyncio.Task[Any]) -> None:
    """Take a task out of asyncio's register, so that the closing of its loop does not wait for it for ever."""
    asyncio.tasks._unregister_task(task)
    task._log_destroy_pending = False  # type: ignore[attr-defined] # asyncio's own way to keep quiet


def keep_for_good(thing: object) -> None:
    """Let something never be finalised, not even when the interpreter ends; without ctypes, it may be after all.

    A coroutine that swallows ``GeneratorExit`` is closed again when it is finalised. If it would then await something,
    but no loop runs any more, that raises, and it swallows that, too, for ever.
    """
    with contextlib.suppress(ImportError):  # a Python that was built without it
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


_NAMES_LATER = sys.version_info < (3, 13)
_CREATORS = frozenset({asyncio.create_task.__code__, asyncio.TaskGroup.create_task.__code__})


def name_at_birth(task: asyncio.Task[Any]) -> str:
    """Return the name of a task that is being made; up to CPython 3.12, asyncio gives it only when it has been made."""
    frame = sys._getframe(1) if _NAMES_LATER else None
    for _ in range(8):  # what notes births, and the loop's own function, stand between
        if frame is None:
            break
        if frame.f_code in _CREATORS:
            name = frame.f_locals.get("name")
            return _own_name(task) if name is None else str(name)
        frame = frame.f_back
    return _own_name(task)


def _own_name(task: asyncio.Task[Any]) -> str:
    """Return the name that a task was given; no code of the user's runs for it."""
    return asyncio.Task.get_name(task) if isinstance(task, asyncio.Task) else ""


def error_of(task: asyncio.Task[Any]) -> BaseException | None:
    """Return what a task that is done has raised, so that asyncio still complains if nobody else asks for it."""
    error = getattr(task, "_exception", None)
    return error if isinstance(error, BaseException) else None


def default_pool(loop: asyncio.AbstractEventLoop) -> ThreadPoolExecutor | None:
    """Return the default executor of a loop; uvloop has it where only the collector sees it."""
    if hasattr(loop, "_default_executor"):
        pool = loop._default_executor
        return pool if isinstance(pool, ThreadPoolExecutor) else None
    return next((thing for thing in gc.get_referents(loop) if is_a(thing, ThreadPoolExecutor)), None)


def calls_to_come(loop: asyncio.AbstractEventLoop) -> list[tuple[contextvars.Context, float]]:
    """Return the contexts of the calls that a loop has still to make, and in how many seconds each is due."""
    now = loop.time()
    handles = [handle for handle in _handles(loop) if not handle.cancelled()]
    due = [max(0.0, handle.when() - now) if hasattr(handle, "when") else 0.0 for handle in handles]
    return [(context, seconds) for handle, seconds in zip(handles, due, strict=True) for context in _contexts(handle)]


def _handles(loop: asyncio.AbstractEventLoop) -> list[Any]:
    """Return the handles of a loop; uvloop has them, timers in a set of their own, where only the collector sees it.

    The loop may be at work in another thread meanwhile.
    """
    ready, scheduled = getattr(loop, "_ready", None), getattr(loop, "_scheduled", None)
    if isinstance(ready, deque) and isinstance(scheduled, list):
        return [*copied(ready), *copied(scheduled)]
    parts = [copied(part) for part in gc.get_referents(loop) if type(part) in {deque, set}]
    return [thing for part in parts for thing in part if type(thing).__name__ in {"Handle", "TimerHandle"}]


def _contexts(handle: Any) -> list[contextvars.Context]:
    if hasattr(handle, "_context"):
        return [handle._context]
    return [thing for thing in gc.get_referents(handle) if type(thing) is contextvars.Context]


def module_of_thread(thread: threading.Thread) -> str | None:
    """Return the name of the module whose function a thread runs."""
    function: Any = getattr(thread, "function", None) or getattr(thread, "_target", None)
    module = type(thread).__module__ if function is None else getattr(function, "__module__", None)
    return module if isinstance(module, str) else None


def is_kept_idle(thread: threading.Thread) -> bool:
    """Tell from its library's own records whether a worker of anyio or trio waits for its next job."""
    idle = getattr(thread, "idle_workers", None)  # of anyio's threads
    if idle is not None:
        return thread in idle
    worker = getattr(getattr(thread, "_target", None), "__self__", None)  # of trio's
    idle = getattr(getattr(worker, "_thread_cache", None), "_idle_workers", None)
    return idle is not None and worker in idle


def busy_workers(references: Iterable[weakref.ref[threading.Thread]]) -> list[threading.Thread]:
    """Return the workers that anyio and trio keep, and that may be at work, as far as their records show it."""
    workers = [worker for reference in list(references) if (worker := reference()) is not None]
    return [worker for worker in workers if is_kept_worker(worker) and not _is_idle(worker)]


def _is_idle(worker: threading.Thread) -> bool:
    return is_kept_idle(worker) or not worker.is_alive()


def has_job(worker: object) -> bool:
    """Tell whether a worker of trio was given a job; it may not have waked up for it yet."""
    return getattr(worker, "_job", None) is not None


def has_job_to_begin(thread: threading.Thread) -> bool:
    """Tell whether a worker of anyio or trio was given a job that it has not taken up yet."""
    waiting = getattr(thread, "queue", None)  # of anyio's threads
    if waiting is not None:
        return not waiting.empty()
    return has_job(getattr(getattr(thread, "_target", None), "__self__", None))


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
    return future_of_job(frame) is future


def future_of_job(frame: FrameType | None) -> concurrent.futures.Future[Any] | None:
    """Return the future of the job of a pool that a thread with this innermost frame is at work on."""
    while frame is not None:
        if frame.f_code is POOL_JOB_CODE:
            return getattr(frame.f_locals.get("self"), "future", None)
        frame = frame.f_back
    return None


def waits_for_job(codes: Collection[CodeType]) -> bool:
    """Tell whether a thread whose frames have this code is a pool's worker, and does no job."""
    return POOL_WORKER_CODE in codes and POOL_JOB_CODE not in codes


def has_work(thread: threading.Thread) -> bool:
    """Tell from its pool's own records whether a thread is a pool's worker, and the pool has a job, begun or not."""
    pool = pool_of(thread)
    return pool is not None and not is_idle(pool)


def is_kept_worker_code(code: CodeType) -> bool:
    """Tell whether code is that of anyio or trio that runs a job in a thread."""
    name = comparable(code.co_filename)
    return "/anyio/" in name or "/trio/" in name


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


def look_on_at_end_of_trio(
    module: ModuleType, looking_on: Callable[[Any], contextlib.AbstractContextManager[None]]
) -> Callable[[], None]:
    """Look on while a run of trio closes the async generators that are left, its last act; return what puts it back.

    Args:
        module: ``trio._core._asyncgens``.
        looking_on: takes the token of the run.
    """
    generators: Any = getattr(module, "AsyncGenerators", None)
    finalize = getattr(generators, "finalize_remaining", None)
    if finalize is None or getattr(finalize, "_looks_on", False):
        return lambda: None

    @functools.wraps(finalize)
    async def wrapper(self: Any, runner: Any) -> None:
        if getattr(getattr(runner, "main_task_outcome", None), "error", None) is not None:
            await finalize(self, runner)  # the run ends by an exception: what it closes now is no leak
            return
        with looking_on(runner.current_trio_token()):
            await finalize(self, runner)

    wrapper._looks_on = True  # type: ignore[attr-defined] # a mark of our own
    generators.finalize_remaining = wrapper
    return lambda: setattr(generators, "finalize_remaining", finalize)


def is_default_pool(pool: ThreadPoolExecutor) -> bool:
    """Tell whether a pool is the default one of a loop; looks at everything that refers to it, so only on suspicion."""
    for holder in gc.get_referrers(pool):
        if is_a(holder, asyncio.AbstractEventLoop):
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
