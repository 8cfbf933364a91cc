"""The loop is uvloop's, also where a test runs it itself."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from left import leave_task


@pytest.mark.asyncio
async def test_loop() -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)


def test_runs_a_loop_to_its_end() -> None:
    uvloop.run(asyncio.sleep(0))


def test_leaves_a_task_of_a_loop_that_it_runs() -> None:
    async def main() -> None:
        leave_task()

    uvloop.run(main())
