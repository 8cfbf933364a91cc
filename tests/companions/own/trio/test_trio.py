"""Tests of pytest-trio: their tasks end with the nursery, their threads need not."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator

import pytest
import trio
from left import OVER, leave_thread

pytestmark = pytest.mark.trio


async def test_nursery() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 0)


async def test_job_in_a_thread() -> None:
    assert await trio.to_thread.run_sync(int, "1") == 1


async def test_leaves_a_thread() -> None:
    leave_thread()


async def test_leaves_a_job_in_a_thread() -> None:
    with trio.move_on_after(0.01):
        await trio.to_thread.run_sync(OVER.wait, 60, abandon_on_cancel=True)


@pytest.fixture
async def ticker() -> AsyncIterator[threading.Event]:
    beaten = threading.Event()

    async def beat() -> None:
        while True:
            beaten.set()
            await trio.sleep(0.001)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(beat)
        yield beaten
        nursery.cancel_scope.cancel()


async def test_task_of_a_fixture(ticker: threading.Event) -> None:
    await trio.sleep(0.005)
    assert ticker.is_set()


async def test_virtual_hours(autojump_clock: object) -> None:
    await trio.sleep(36000)


async def test_leaves_a_thread_in_virtual_time(autojump_clock: object) -> None:
    await trio.sleep(36000)
    leave_thread()
