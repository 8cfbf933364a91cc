"""A test with a timeout of its own, and one that it ends."""

from __future__ import annotations

import asyncio
import threading

import pytest
from left import leave_task


@pytest.mark.timeout(60)
def test_in_time() -> None:
    threading.Event().wait(0.001)


@pytest.mark.timeout(60, func_only=True)
@pytest.mark.asyncio
async def test_in_time_beside_a_loop() -> None:
    await asyncio.sleep(0)


@pytest.mark.timeout(60)
@pytest.mark.asyncio
async def test_leaves_a_task_in_time() -> None:
    leave_task()
