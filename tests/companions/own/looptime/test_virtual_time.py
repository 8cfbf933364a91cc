"""Tests in the virtual time of looptime: hours pass while a test runs, and none while what it left is judged."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from left import KEPT, leave_task, leave_thread

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_hours(looptime: Any) -> None:
    await asyncio.sleep(36000)
    assert looptime == 36000


async def test_task_is_awaited() -> None:
    await asyncio.create_task(asyncio.sleep(36000))


async def test_task_is_cancelled() -> None:
    task = asyncio.create_task(asyncio.sleep(36000))
    await asyncio.sleep(3600)
    task.cancel()


async def test_leaves_a_task() -> None:
    leave_task()


async def test_leaves_a_task_after_hours() -> None:
    await asyncio.sleep(36000)
    leave_task()


async def test_leaves_a_task_that_sleeps_for_hours() -> None:
    KEPT.append(asyncio.create_task(asyncio.sleep(36000)))


async def test_leaves_a_task_that_sleeps_on() -> None:
    KEPT.append(asyncio.create_task(asyncio.sleep(5)))


async def test_leaves_a_task_that_polls() -> None:
    async def poll() -> None:
        while True:  # noqa: ASYNC110 - as heartbeats do
            await asyncio.sleep(30)

    KEPT.append(asyncio.create_task(poll()))
    await asyncio.sleep(100)


async def test_task_ends_soon() -> None:
    KEPT.append(asyncio.create_task(asyncio.sleep(0.05)))


async def test_task_ends_soon_after_weeks() -> None:
    await asyncio.sleep(3.6e6)
    KEPT.append(asyncio.create_task(asyncio.sleep(0.05)))


async def test_leaves_a_thread() -> None:
    await asyncio.sleep(36000)
    leave_thread()


async def test_stream_of_hours(mock_stream_client: Any) -> None:
    mock_stream_client.respond("one two three", delay=3600)
    async with mock_stream_client.complete_stream("Count!") as stream:
        assert await stream.aread() == "one two three"


async def test_leaves_a_stream_of_hours(mock_stream_client: Any) -> None:
    mock_stream_client.respond("one two three", delay=3600)
    stream = mock_stream_client.complete_stream("Count!")
    KEPT.append(stream)
    async for _ in stream:
        break


@pytest.mark.looptime(False)
async def test_leaves_a_task_in_real_time() -> None:
    leave_task()
