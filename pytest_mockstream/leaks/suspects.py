"""Turn a task or a thread that still runs into a ``Leak``.

The wall: one thing at a time; whether it is one is decided elsewhere.
"""

from __future__ import annotations

import asyncio
from typing import Any

from . import interpreter
from .births import Birth, TaskBirth, birth_of
from .diagnosis import diagnose_task, diagnose_thread
from .rules import SeenThread, is_idle_worker
from .stacks import Stop, codes_of, created_at, names_of, stops_of_task, user_site
from .values import Leak


def task_leak(birth: TaskBirth, task: asyncio.Task[Any], owner: str) -> Leak:
    """Return what is known of a task."""
    stops = stops_of_task(task)
    diagnosis, remedy = diagnose_task(stops, task)
    return Leak(
        kind="task",
        name=task.get_name(),
        owner=owner,
        created_at=created_at(birth.frames),
        waits_at=user_site(stop.site for stop in stops),
        diagnosis=diagnosis,
        remedy=remedy,
        functions=names_of([*codes_of(birth.frames), *(stop.code for stop in stops)]),
    )


def thread_leak(found: SeenThread, owner: str) -> Leak:
    """Return what is known of a thread."""
    thread = found.thread
    birth = found.birth
    pool = interpreter.pool_of(thread)
    if pool is not None and is_idle_worker(found):
        diagnosis: str | None = "It is an idle worker of a ThreadPoolExecutor that was never shut down."
        remedy = "Use the pool in a `with` statement, or call its shutdown()."
        birth = birth_of(pool) or birth
    elif pool is not None:
        diagnosis, remedy = "It is still at work on a job of its pool.", "Wait for the job, or make it end early."
    else:
        diagnosis, remedy = diagnose_thread(found.stops)
    return Leak(
        kind="thread",
        name=thread.name,
        owner=owner,
        created_at=_created(birth),
        waits_at=None if pool is not None and is_idle_worker(found) else _waits(found),
        diagnosis=diagnosis,
        remedy=remedy,
        functions=_functions(birth, found),
        detail="daemon" if thread.daemon else "",
    )


def queued_job_leak(birth: Birth, owner: str) -> Leak:
    """Return what is known of a job that waits for a worker of its pool."""
    return Leak(
        kind="thread",
        name="job of a pool",
        owner=owner,
        created_at=_created(birth),
        diagnosis="It waits for a worker of its pool.",
        remedy="Wait for the job, or cancel its future.",
        functions=names_of(codes_of(birth.frames)),
    )


def raw_thread_leak(ident: int, stops: list[Stop], birth: Birth | None, owner: str) -> Leak:
    """Return what is known of a thread that has no ``Thread`` object."""
    diagnosis, remedy = diagnose_thread(stops)
    return Leak(
        kind="thread",
        name=f"_thread {ident}",
        owner=owner,
        created_at=_created(birth),
        waits_at=user_site(stop.site for stop in stops),
        diagnosis=diagnosis,
        remedy=remedy if diagnosis else "Tell it to end.",
        functions=names_of([*(stop.code for stop in stops), *codes_of(birth.frames if birth else ())]),
        detail="raw",
    )


def _created(birth: Birth | None) -> Any:
    return None if birth is None else created_at(birth.frames)


def _waits(found: SeenThread) -> Any:
    return user_site(stop.site for stop in found.stops)


def _functions(birth: Birth | None, found: SeenThread) -> frozenset[str]:
    made = () if birth is None else birth.frames
    return names_of([*codes_of(made), *(stop.code for stop in found.stops)])
