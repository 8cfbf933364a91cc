from __future__ import annotations

import asyncio
import threading
import unittest

from .verdict import clean, leaks
from .work import KEPT, forever, until_the_end


class TestAsync(unittest.IsolatedAsyncioTestCase):
    @leaks(38, kinds="task")
    async def test_task_is_left(self) -> None:
        KEPT.append(asyncio.create_task(forever()))

    @clean(38)
    async def test_task_is_awaited(self) -> None:
        await asyncio.create_task(asyncio.sleep(0))

    @clean(38)
    async def test_task_is_cancelled_by_the_last_statement(self) -> None:
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        task.cancel()


class TestAsyncSetUp(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.pump = asyncio.create_task(forever())

    async def asyncTearDown(self) -> None:
        self.pump.cancel()

    @clean(38)
    async def test_tear_down_stops_what_set_up_started(self) -> None:
        pass


class TestSync(unittest.TestCase):
    @leaks(92, kinds="thread")
    def test_thread_is_left(self) -> None:
        threading.Thread(target=until_the_end, daemon=True).start()

    @clean(92)
    def test_thread_is_joined(self) -> None:
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()

    @leaks(58, kinds="thread")
    def test_thread_is_left_by_a_subtest(self) -> None:
        for number in range(2):
            with self.subTest(number=number):
                if number:
                    threading.Thread(target=until_the_end, daemon=True).start()

    @clean(58)
    def test_thread_of_a_subtest_is_joined(self) -> None:
        for number in range(2):
            with self.subTest(number=number):
                thread = threading.Thread(target=int)
                thread.start()
                thread.join()
