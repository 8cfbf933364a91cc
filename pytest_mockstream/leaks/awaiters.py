"""Tells which task awaits another one, and whether that one ends with it, as far as asyncio notes it: from 3.14 on."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from pytest_mockstream._base.callsite import CallSite

from .stacks import Stop, stops_of_task, waiting_site

Task = asyncio.Task[Any]
_LEAVES_GROUP = asyncio.TaskGroup.__aexit__.__code__


class Awaiter(NamedTuple):
    """The one task that awaits another one.

    Attributes:
        name: its own.
        site: where it does so.
        to_cancel: the name of the task with which all of them end, down from the outermost; empty where cancelling
            the awaiter leaves the other one alone, as behind ``asyncio.shield`` and ``asyncio.wait``.
    """

    name: str
    site: CallSite | None
    to_cancel: str


def awaiter_of(task: Task) -> Awaiter | None:
    """Return the task that awaits another one; None where there is none, or several, or nobody knows."""
    first = _only_awaiter(task)
    if first is None:
        return None
    stops = stops_of_task(first)
    return Awaiter(first.get_name(), waiting_site(stops), _outermost(first) if _ends_with(task, first, stops) else "")


def _outermost(task: Task) -> str:
    seen = {task}
    while (outer := _only_awaiter(task)) is not None and outer not in seen:
        if not _ends_with(task, outer, stops_of_task(outer)):
            break
        seen.add(task := outer)
    return task.get_name()


def _only_awaiter(task: Task) -> Task | None:
    noted: Any = getattr(task, "_asyncio_awaited_by", None) or ()
    pending = [awaiter for awaiter in noted if not awaiter.done()]
    return pending[0] if len(pending) == 1 and isinstance(pending[0], asyncio.Task) else None


def _ends_with(task: Task, awaiter: Task, stops: list[Stop]) -> bool:
    """Tell whether a task is cancelled with the one that awaits it: by itself, in a group, or in ``gather``."""
    awaited = getattr(awaiter, "_fut_waiter", None)
    in_gather = type(awaited).__name__ == "_GatheringFuture"
    return awaited is task or in_gather or any(stop.code is _LEAVES_GROUP for stop in stops)
