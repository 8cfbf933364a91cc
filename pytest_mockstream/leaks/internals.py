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
import contextvars
import functools
import gc
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import CodeType, FrameType, ModuleType
from typing import Any

from .interpreter import is_a, is_kept_worker

POOL_JOB_CODE: CodeType | None = getattr(
    getattr(getattr(concurrent.futures.thread, "_WorkItem", None), "run", None), "__code__", None
)


def forget_task(task: asyncio.Task[Any]) -> None:
    """Take a task out of asyncio's register, so that the closing of its loop does not wait for it for ever."""
    asyncio.tasks._unregister_task(task)
    task._log_destroy_pending = False  # type: ignore[attr-defined] # asyncio's own way to keep quiet


def default_pool(loop: asyncio.AbstractEventLoop) -> ThreadPoolExecutor | None:
    """Return the default executor of a loop; uvloop has it where only the collector sees it."""
    if hasattr(loop, "_default_executor"):
        pool = loop._default_executor
        return pool if isinstance(pool, ThreadPoolExecutor) else None
    return next((thing for thing in gc.get_referents(loop) if is_a(thing, ThreadPoolExecutor)), None)


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
