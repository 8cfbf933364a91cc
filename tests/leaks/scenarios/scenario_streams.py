from __future__ import annotations

import gc

import pytest

from pytest_mockstream import MockStreamClient, UnclosedStreamWarning

from .verdict import clean, leaks
from .work import KEPT

pytestmark = pytest.mark.asyncio

TEXT = "Paris is lovely in the spring."
WARNS = UnclosedStreamWarning.__name__


@clean(72, warns=WARNS)
async def test_stream_is_dropped_unread(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.complete_stream("hi")


@leaks(72, kinds="stream", at="complete_stream(")
async def test_stream_is_kept_unread(mock_stream_client: MockStreamClient) -> None:
    KEPT.append(mock_stream_client.complete_stream("hi"))


@leaks(72, kinds="stream", at="complete_stream(")
async def test_stream_with_a_background_producer_is_kept_unread(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond(TEXT, delay=3600)
    KEPT.append(mock_stream_client.complete_stream("hi", producer="background"))


@clean(72)
async def test_stream_is_closed_unread(mock_stream_client: MockStreamClient) -> None:
    stream = mock_stream_client.complete_stream("hi")
    KEPT.append(stream)
    await stream.aclose()


@clean(72)
async def test_stream_with_a_background_producer_is_closed_unread(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond(TEXT, delay=3600)
    stream = mock_stream_client.complete_stream("hi", producer="background")
    KEPT.append(stream)
    await stream.aclose()


@clean(73)
async def test_stream_is_read_to_its_end_and_not_closed(mock_stream_client: MockStreamClient) -> None:
    stream = mock_stream_client.complete_stream("hi")
    KEPT.append(stream)
    await stream.aread()


@leaks(73, kinds="stream")
async def test_stream_is_read_to_its_last_but_one_chunk(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond(TEXT, chunking="word")
    stream = mock_stream_client.complete_stream("hi")
    KEPT.append(stream)
    for _ in TEXT.split():
        await anext(stream)


@clean(74, warns=WARNS)
async def test_stream_is_left_by_break_and_dropped(mock_stream_client: MockStreamClient) -> None:
    async for _ in mock_stream_client.complete_stream("hi"):
        break


@leaks(74, kinds="stream")
async def test_stream_is_left_by_break_and_kept(mock_stream_client: MockStreamClient) -> None:
    stream = mock_stream_client.complete_stream("hi")
    KEPT.append(stream)
    async for _ in stream:
        break


@leaks(74, kinds="stream")
async def test_stream_is_left_by_break_and_kept_by_a_cycle_only(mock_stream_client: MockStreamClient) -> None:
    stream = mock_stream_client.complete_stream("hi")
    ring: list[object] = [stream]
    ring.append(ring)
    async for _ in stream:
        break


@leaks(74, kinds="stream", outcomes=("failed",))
async def test_stream_is_left_by_a_failure_and_kept_by_its_traceback(mock_stream_client: MockStreamClient) -> None:
    stream = mock_stream_client.complete_stream("hi")
    async for chunk in stream:
        assert chunk.delta == "never"


@clean(74, warns=WARNS)
async def test_stream_kept_by_a_cycle_is_collected_by_the_test(mock_stream_client: MockStreamClient) -> None:
    stream = mock_stream_client.complete_stream("hi")
    ring: list[object] = [stream]
    ring.append(ring)
    del stream, ring
    gc.collect()


@clean(74)
async def test_stream_is_left_by_break_and_closed(mock_stream_client: MockStreamClient) -> None:
    async with mock_stream_client.complete_stream("hi") as stream:
        KEPT.append(stream)
        async for _ in stream:
            break


@leaks(77, kinds="stream", at="second = ")
async def test_one_of_two_streams_is_left_open(mock_stream_client: MockStreamClient) -> None:
    first = mock_stream_client.complete_stream("hi")
    second = mock_stream_client.complete_stream("hi")
    KEPT.extend([first, second])
    await first.aclose()


@clean(77)
async def test_both_streams_are_closed(mock_stream_client: MockStreamClient) -> None:
    async with (
        mock_stream_client.complete_stream("hi") as first,
        mock_stream_client.complete_stream("hi") as second,
    ):
        KEPT.extend([first, second])
