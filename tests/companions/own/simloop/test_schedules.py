"""Tests that simloop runs under many schedules: to pytest each is one call of one test."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import simloop
from left import KEPT, leave_thread

RUNS = 20


async def session(client: Any) -> None:
    client.respond("one two")
    client.respond("three")

    async def read() -> str:
        async with client.complete_stream("hi") as stream:
            return await stream.aread()

    assert sorted(await asyncio.gather(read(), read())) == ["one two", "three"]
    assert len(client.requests) == 2


@simloop.sim_test(seeds=RUNS)
async def test_scripts_begin_anew_in_each_run(mock_stream_client: Any) -> None:
    await session(mock_stream_client)


@simloop.sim_test(seeds=RUNS)
async def test_task_ends_soon() -> None:
    KEPT.append(asyncio.create_task(asyncio.sleep(0.05)))


@simloop.sim_test(seeds=RUNS)
async def test_task_is_left_and_seen() -> None:
    KEPT.append(asyncio.create_task(asyncio.sleep(3600), name="left"))


@simloop.sim_test(seeds=RUNS)
async def test_request_without_a_script_is_swallowed_and_seen(mock_stream_client: Any) -> None:
    mock_stream_client.respond("one")
    await mock_stream_client.acomplete("hi")
    with contextlib.suppress(Exception):
        await mock_stream_client.acomplete("hi")


def test_without_a_loop(mock_stream_client: Any) -> None:
    mock_stream_client.respond("one")
    assert mock_stream_client.complete("hi").content == "one"


def test_leaves_a_thread_beside_them() -> None:
    leave_thread()
