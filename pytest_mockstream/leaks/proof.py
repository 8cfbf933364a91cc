"""The long proof that leaks are seen, for where the canary's short one fails: the judge has to find what was planted.

It plants, looks, and ends what it planted. Whatever goes wrong meanwhile means that nothing is seen.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial

from .births import BIRTHS
from .blame import blame
from .canary import NAME, named_loop, never
from .judge import task_suspects
from .judge_threads import thread_suspects
from .owner import Owner
from .scope import Policy, Scope, is_quiet
from .values import Leak
from .watch import LeakWatch


def finds(watch: LeakWatch) -> dict[str, bool]:
    """Return which kinds of leaks a watch that was started can see."""
    return {"tasks": _told(watch, _sees_task), "threads": _told(watch, _sees_thread)}


def _told(watch: LeakWatch, look: Callable[[Scope], bool]) -> bool:
    scope = Scope(Owner("test"), grace=0.0, policy=Policy(fails=_never_fails))
    watch.open(scope)
    try:
        return look(scope)  # what the interpreter refuses cannot be seen
    except Exception:
        return False
    finally:
        watch.close()


def _never_fails(leak: Leak) -> bool:
    return False


def _sees_task(scope: Scope) -> bool:
    """Tell whether a task is seen on a loop, and again when that is closed."""
    if asyncio._get_running_loop() is None:
        seen = _plant_task(scope)
    else:  # this session runs within a loop of somebody's
        found: list[bool] = []
        thread = threading.Thread(target=lambda: found.append(_plant_task(scope)))
        thread.start()
        thread.join()
        seen = found == [True]
    return seen and any(leak.name == NAME for leak in scope.leaks)


def _plant_task(scope: Scope) -> bool:
    with asyncio.Runner(loop_factory=named_loop) as runner:  # with a factory it leaves the current event loop alone
        return runner.run(_look_for_task(scope))


async def _look_for_task(scope: Scope) -> bool:
    task = asyncio.get_running_loop().create_task(never(), name=NAME)
    seen = task_suspects(scope, BIRTHS.pending_since(scope.mark), partial(blame, scope))
    return any(suspect is task and birth.frames for birth, suspect, _ in seen)


def _sees_thread(scope: Scope) -> bool:
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name=NAME, daemon=True)
    thread.start()
    try:
        seen = [] if is_quiet(scope) else thread_suspects(scope)
        return any(found.thread is thread and found.birth for found, _ in seen)
    finally:
        over.set()
        thread.join()
