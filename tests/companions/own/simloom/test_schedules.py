"""Tests that simloom runs in many universes: it gives them no fixtures, so each makes its client."""

from __future__ import annotations

import asyncio
from typing import Any

import simloom
from left import KEPT, leave_thread

from pytest_mockstream import MockStreamClient

RUNS = 20


@simloom.test(runs=RUNS)
async def test_two_streams(world: Any) -> None:
    client = MockStreamClient()
    client.respond("one two")
    client.respond("three")

    async def read() -> str:
        async with client.complete_stream("hi") as stream:
            return await stream.aread()

    assert sorted(await asyncio.gather(read(), read())) == ["one two", "three"]


@simloom.test(runs=RUNS)
async def test_task_ends_soon(world: Any) -> None:
    KEPT.append(asyncio.create_task(asyncio.sleep(0.05)))


@simloom.test(runs=RUNS)
async def test_task_is_left_and_seen(world: Any) -> None:
    KEPT.append(asyncio.create_task(asyncio.sleep(3600), name="left"))


def test_leaves_a_thread_beside_them() -> None:
    leave_thread()
