from __future__ import annotations

import asyncio
import threading

from pytest_mockstream import MockStreamClient

from .verdict import clean, leaks
from .work import KEPT, forever, until_the_end

THREADS = 8
#: There is one thread besides the main one all the time, of ``early_ticker``.


@clean(95)
def test_same_test_on_many_threads_runs_a_loop_in_each() -> None:
    asyncio.run(asyncio.sleep(0))


@leaks(95, kinds="task " * THREADS, says=r"\(tasks 0 -> 8, threads 2 -> 2\)")
def test_same_test_on_many_threads_leaves_a_task_in_each() -> None:
    async def leave() -> None:
        KEPT.append(asyncio.create_task(forever()))
        await asyncio.sleep(0)

    asyncio.run(leave())


@leaks(95, kinds="thread " * THREADS, says=r"\(tasks 0 -> 0, threads 2 -> 10\)")
def test_same_test_on_many_threads_leaves_a_thread_in_each() -> None:
    threading.Thread(target=until_the_end, daemon=True).start()


@clean(95)
def test_after_the_leaks_of_many_threads() -> None:
    pass


@clean(95)
def test_same_test_on_many_threads_reads_a_stream_in_each(mock_stream_client: MockStreamClient) -> None:
    with mock_stream_client.complete_stream("hi") as stream:
        assert stream.read() == mock_stream_client.default_text


@leaks(95, kinds="stream " * THREADS)
def test_same_test_on_many_threads_leaves_a_stream_in_each(mock_stream_client: MockStreamClient) -> None:
    KEPT.append(mock_stream_client.complete_stream("hi"))
