"""A chat back end that takes its client as an argument, and the tests a team would write for it."""

from __future__ import annotations

import asyncio

import pytest

from pytest_mockstream import ErrorEvent, Gate, HTTPError, MockStreamClient, ProviderError, Truncate, Wait


class Truncated(Exception):
    """The model's reply broke off."""


async def reply(llm: MockStreamClient, question: str, *, patience: float = 5) -> str:
    """Return the model's reply, or fail: a reply without a finish reason is not whole."""
    parts = []
    finish_reason = None
    async with asyncio.timeout(patience), llm.complete_stream(question) as stream:
        async for chunk in stream:
            parts.append(chunk.delta)
            finish_reason = chunk.finish_reason
    if finish_reason is None:
        raise Truncated("".join(parts))
    return "".join(parts)


async def test_reply(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("Paris is ", Wait("5ms"), "lovely.")

    assert await reply(mock_stream_client, "Tell me about Paris") == "Paris is lovely."


async def test_truncated_reply_is_no_success(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("Paris is", Truncate())

    with pytest.raises(Truncated, match="Paris is"):
        await reply(mock_stream_client, "Tell me about Paris")


@pytest.mark.parametrize("fault", [HTTPError(529), ErrorEvent("overloaded")])
async def test_provider_errors_come_through(
    mock_stream_client: MockStreamClient, fault: HTTPError | ErrorEvent
) -> None:
    mock_stream_client.respond(fault)

    with pytest.raises(ProviderError):
        await reply(mock_stream_client, "hi")


async def test_impatient_user_leaves_nothing_open(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("Once ", Gate(), "upon a time")

    with pytest.raises(TimeoutError):
        await reply(mock_stream_client, "Tell me a story", patience=0.01)

    mock_stream_client.requests[0].assert_closed(after_chunk=1)


@pytest.mark.mockstream(producer="background")
async def test_impatient_user_stops_the_producer(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("Once ", Gate(), "upon a time")

    with pytest.raises(TimeoutError):
        await reply(mock_stream_client, "Tell me a story", patience=0.01)

    assert asyncio.all_tasks() == {asyncio.current_task()}
