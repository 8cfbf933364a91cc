"""A planted task and a planted thread: the check proves at the start that it sees them.

What is proved, on this interpreter and with whatever has replaced parts of it: a task that a loop creates is noted at
birth, with its owner and the line that made it, and is found pending afterwards; closing its loop is noticed before
that ends the task, and it is found there, too; a thread is noted at birth, with its owner, and is missed by the glance
that lets clean tests go. These are the records that every verdict goes by, and that depend on private names. Not
proved: what the judge makes of such records, which is our own code alone and the same everywhere. Where
this fails, the proof that the judge itself gives counts; see ``proof``.

PYTEST_DONT_REWRITE: it has no asserts, and every run loads it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .births import BIRTHS, TaskBirth, birth_of
from .interpreter import ACTIVE
from .owner import Owner
from .scope import Scope, is_quiet
from .watch import LeakWatch

NAME = "mockstream canary"


def sees(watch: LeakWatch) -> dict[str, bool]:
    """Return which kinds of leaks a watch that was started can see, as far as a glance tells."""
    return {"tasks": _is_noted(watch, _notes_task), "threads": _is_noted(watch, _notes_thread)}


def _is_noted(watch: LeakWatch, look: Callable[[LeakWatch, Scope], bool]) -> bool:
    scope = Scope(Owner("test"), grace=0.0)
    watch.open(scope)
    try:
        with suppress(Exception):  # what the interpreter refuses cannot be seen
            return look(watch, scope)
        return False
    finally:
        watch.probe = None
        watch.close()


def _notes_task(watch: LeakWatch, scope: Scope) -> bool:
    if asyncio._get_running_loop() is not None:
        return False  # this session runs within a loop of somebody's: the long proof plants in a thread
    at_close: list[TaskBirth] = []
    watch.probe = lambda loop: at_close.extend(BIRTHS.pending_on(loop))
    with asyncio.Runner(loop_factory=named_loop) as runner:  # with a factory it leaves the current event loop alone
        task, noted = runner.run(_plant(scope))
    for birth in at_close:
        birth.report(fails=False)  # to a session around this one it is none of its tests'
    return noted and any(birth() is task for birth in at_close)


async def _plant(scope: Scope) -> tuple[asyncio.Task[Any], bool]:
    task = asyncio.get_running_loop().create_task(never(), name=NAME)
    births = [birth for birth in BIRTHS.pending_since(scope.mark) if birth() is task]
    return task, any(birth.frames and birth.owner is scope.owner for birth in births)


def named_loop() -> asyncio.AbstractEventLoop:
    """Return a loop whose tasks all have a name: without, they would take the numbers of the tests' own tasks."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(lambda loop, coro, **options: asyncio.Task(coro, loop=loop, **{"name": NAME, **options}))
    return loop


async def never() -> Any:
    """Wait for what does not come."""
    await asyncio.get_running_loop().create_future()


def _notes_thread(watch: LeakWatch, scope: Scope) -> bool:
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name=NAME, daemon=True)
    thread.start()
    try:
        birth = birth_of(thread)
        is_recorded = ACTIVE.get(thread.ident or 0) is thread and not is_quiet(scope)
        return is_recorded and birth is not None and birth.owner is scope.owner and birth.serial > scope.mark
    finally:
        over.set()
        thread.join()
