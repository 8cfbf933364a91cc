from __future__ import annotations

import asyncio
import threading

from .verdict import clean, leaks
from .work import KEPT, forever, until_the_end


@clean(95)
def test_same_test_on_many_threads_runs_a_loop_in_each() -> None:
    asyncio.run(asyncio.sleep(0))


@leaks(95, kinds="task task")
def test_same_test_on_many_threads_leaves_a_task_in_each() -> None:
    async def leave() -> None:
        KEPT.append(asyncio.create_task(forever()))
        await asyncio.sleep(0)

    asyncio.run(leave())


@leaks(95, kinds="thread thread")
def test_same_test_on_many_threads_leaves_a_thread_in_each() -> None:
    threading.Thread(target=until_the_end, daemon=True).start()


@clean(95)
def test_after_the_leaks_of_many_threads() -> None:
    pass
