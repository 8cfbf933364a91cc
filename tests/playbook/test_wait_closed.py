"""Waiting until a consumer has left a stream, in the event loop that has to close it."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from pytest_mockstream import MockStreamClient, Stall, Wait


async def read_one(client: MockStreamClient, *, leave_after: float) -> None:
    """Read one chunk, and close the stream some time later."""
    async with client.complete_stream("hi") as stream:
        await anext(stream)
        await asyncio.sleep(leave_after)


async def test_waiting_lets_the_loop_close_the_stream(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("one ", Stall())
    reader = asyncio.create_task(read_one(mock_stream_client, leave_after=0.01))
    await asyncio.sleep(0)

    await mock_stream_client.requests[0].aassert_closed(within=60)

    assert mock_stream_client.requests[0].state == "closed"
    await reader


async def test_waiting_without_a_limit_ends_with_the_stream(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("one ", Wait(0.01), "two")
    stream = mock_stream_client.complete_stream("hi")
    reader = asyncio.create_task(stream.aread())
    await asyncio.sleep(0)

    await mock_stream_client.requests[0].wait_closed()

    assert mock_stream_client.requests[0].state == "exhausted"
    assert await reader == "one two"


async def test_waiting_ends_with_the_streams_own_time_out(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("one ", Stall())
    stream = mock_stream_client.complete_stream("hi", timeout=0.02)

    await mock_stream_client.requests[0].wait_closed()

    assert mock_stream_client.requests[0].state == "cancelled"
    stream.close()


async def test_stream_that_nobody_closes_is_told(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("one ", Stall())
    async with mock_stream_client.complete_stream("hi") as stream:
        await anext(stream)

        with pytest.raises(AssertionError, match="is still open"):
            await mock_stream_client.requests[0].aassert_closed(within=0.01)


async def test_blocking_the_loop_that_has_to_close_it_is_refused(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("one ", Stall())
    async with mock_stream_client.complete_stream("hi") as stream:
        await anext(stream)

        with pytest.raises(RuntimeError, match=r"write `await request\.aassert_closed\(within=1\)`"):
            mock_stream_client.requests[0].assert_closed(within=1)


async def test_wait_that_is_cancelled_leaves_the_stream_alone(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("one ", Stall())
    async with mock_stream_client.complete_stream("hi") as stream:
        await anext(stream)
        waiter = asyncio.create_task(mock_stream_client.requests[0].wait_closed())
        await asyncio.sleep(0)

        waiter.cancel()

        with contextlib.suppress(asyncio.CancelledError):
            await waiter
        assert mock_stream_client.requests[0].state == "open"
