"""Tests of anyio's own plugin, on both of its backends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from left import leave_task, leave_thread

pytestmark = pytest.mark.anyio


async def test_group() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 0)


async def test_job_in_a_thread() -> None:
    assert await anyio.to_thread.run_sync(int, "1") == 1


async def test_leaves_a_thread() -> None:
    leave_thread()


async def test_leaves_a_thread_of_a_job() -> None:
    await anyio.to_thread.run_sync(leave_thread)


@pytest.fixture
async def value() -> AsyncIterator[int]:
    await anyio.lowlevel.checkpoint()
    yield 1
    await anyio.lowlevel.checkpoint()


async def test_value_of_a_fixture(value: int) -> None:
    assert value == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_leaves_a_task() -> None:
    leave_task()
    await asyncio.sleep(0)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_after_a_task_was_left() -> None:
    await asyncio.sleep(0)
