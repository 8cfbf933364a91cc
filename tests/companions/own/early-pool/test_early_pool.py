"""A pool that was there before the first test gets its workers in tests, and keeps them."""

from __future__ import annotations

import asyncio
import threading

import pytest
from early_pool import POOL
from left import OVER, leave_thread


def test_first_job() -> None:
    assert POOL.submit(int, "1").result() == 1


def test_two_jobs() -> None:
    both = threading.Barrier(2, timeout=10)
    assert len([future.result() for future in [POOL.submit(both.wait), POOL.submit(both.wait)]]) == 2


@pytest.mark.asyncio
async def test_job_of_a_loop() -> None:
    assert await asyncio.get_running_loop().run_in_executor(POOL, int, "1") == 1


def test_leaves_a_thread_of_a_job() -> None:
    POOL.submit(leave_thread).result()


def test_leaves_a_job() -> None:
    POOL.submit(OVER.wait, 60)


def test_afterwards() -> None:
    assert POOL.submit(int, "1").result() == 1
