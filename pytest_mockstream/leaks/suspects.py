"""Turn a task or a thread that still runs into a ``Leak``.

One thing at a time; whether it is one is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from pytest_mockstream._base.callsite import package_of
from pytest_mockstream._base.paths import is_ours

from . import interpreter
from .births import Birth, Frames, TaskBirth, birth_of
from .diagnosis import END_JOB, diagnose_task, diagnose_thread
from .rules import SeenThread, is_idle_worker
from .stacks import (
    Stop,
    codes_of,
    created_at,
    created_through,
    module_of,
    names_of,
    spellings,
    stops_of_task,
    waiting_site,
)
from .values import Leak


def task_leak(birth: TaskBirth, task: asyncio.Task[Any], owner: str) -> Leak:
    """Return what is known of a task."""
    stops = stops_of_task(task)
    diagnosis, remedy = diagnose_task(stops, task)
    return _made(
        "task", task.get_name(), owner, birth.frames, stops, target=_of_stops(stops), diagnosis=diagnosis, remedy=remedy
    )


def thread_leak(found: SeenThread, owner: str) -> Leak:
    """Return what is known of a thread."""
    thread, birth = found.thread, found.birth
    pool = interpreter.pool_of(thread)
    is_idle = pool is not None and is_idle_worker(found)
    if pool is None:
        diagnosis, remedy = diagnose_thread(found.stops)
        if interpreter.is_kept_worker(thread):  # which nobody but its library can end or join
            diagnosis, remedy = diagnosis or "It is still at work on the job that it was given.", END_JOB
    elif is_idle:
        diagnosis = "It is an idle worker of a ThreadPoolExecutor that was never shut down."
        remedy = "Use the pool in a `with` statement, or call its shutdown()."
        birth = birth_of(pool) or birth
    else:
        diagnosis, remedy = "It is still at work on a job of its pool.", END_JOB
    return _made(
        "thread",
        thread.name,
        owner,
        () if birth is None else birth.frames,
        [] if is_idle else found.stops,
        target=_of_thread(thread) if pool is None else None if is_idle else _of_stops(found.stops),
        diagnosis=diagnosis,
        remedy=remedy,
        detail="daemon" if thread.daemon else "" if is_idle else NO_DAEMON,  # Python ends idle workers as it exits
    )


def queued_job_leak(birth: Birth, owner: str) -> Leak:
    """Return what is known of a job that waits for a worker of its pool."""
    return _made(
        "thread",
        "job of a pool",
        owner,
        birth.frames,
        [],
        diagnosis="It waits for a worker of its pool.",
        remedy="Wait for the job, or cancel its future.",
    )


def raw_thread_leak(ident: int, stops: list[Stop], birth: Birth | None, owner: str) -> Leak:
    """Return what is known of a thread that has no ``Thread`` object."""
    diagnosis, remedy = diagnose_thread(stops)
    return _made(
        "thread",
        f"_thread {ident}",
        owner,
        birth.frames if birth else (),
        stops,
        target=_of_stops(stops),
        diagnosis=diagnosis,
        remedy=remedy if diagnosis else "Tell it to end.",
        detail="raw",
    )


NO_DAEMON = "not a daemon: it keeps the process from exiting"


def _made(
    kind: str,
    name: str,
    owner: str,
    frames: Frames,
    stops: list[Stop],
    *,
    target: tuple[str | None, str] | None = None,
    **known: Any,
) -> Leak:
    made, through = created_at(frames), created_through(frames)
    names = {name}
    for site in (made, through):
        if site is not None:
            names.update(spellings(module_of(site.filename), site.function))
    if target is not None:
        names.update(spellings(*target))
    return Leak(
        kind=kind,
        name=name,
        owner=owner,
        created_at=made,
        through=None if through == made else through,
        waits_at=waiting_site(stops),
        target="" if target is None else f"{target[0]}.{target[1]}" if target[0] else target[1],
        names=frozenset(names),
        functions=names_of([*codes_of(frames), *(stop.code for stop in stops)]),
        **known,
    )


def _of_stops(stops: list[Stop]) -> tuple[str | None, str] | None:
    """Return the module and the name of the outermost function that is not a part of how Python runs one."""
    stops = [
        stop for stop in stops if not is_ours(stop.code.co_filename)
    ]  # what was put around a raw thread's function
    outer = [stop for stop in reversed(stops) if package_of(stop.code.co_filename) != ""]
    stop = next(iter(outer), stops[-1] if stops else None)
    return None if stop is None else (stop.frame.f_globals.get("__name__"), stop.code.co_qualname)


def _of_thread(thread: threading.Thread) -> tuple[str | None, str] | None:
    """Return the module and the name of the function that a thread was given to run."""
    function: Any = getattr(thread, "function", None) or getattr(thread, "_target", None) or type(thread).run
    while (inner := getattr(function, "func", None)) is not None:
        function = inner
    name = getattr(function, "__qualname__", None)
    return None if not isinstance(name, str) else (getattr(function, "__module__", None), name)
