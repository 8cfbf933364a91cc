"""Anthropic Messages, and how a test holds a stream where it wants it."""

from __future__ import annotations

import asyncio

import pytest

from pytest_mockstream import ErrorEvent, Gate, MockStreamSDK, Reasoning

anthropic = pytest.importorskip("anthropic")


class Chat:
    """The code under test: shows what has come so far."""

    def __init__(self) -> None:
        self.shown = ""

    async def ask(self, question: str) -> None:
        """Stream the answer to the screen."""
        client = anthropic.AsyncAnthropic()
        messages = [{"role": "user", "content": question}]
        async with client.messages.stream(model="claude", max_tokens=99, messages=messages) as stream:
            async for text in stream.text_stream:
                self.shown += text


async def test_answer_is_shown_as_it_comes(mock_stream_sdk: MockStreamSDK) -> None:
    gate = Gate()
    mock_stream_sdk.respond(Reasoning("Hm."), "Paris ", gate, "is lovely.")
    chat = Chat()

    async with asyncio.TaskGroup() as group:
        group.create_task(chat.ask("Tell me about Paris"))
        await gate.reached()
        shown_early = chat.shown
        gate.open()

    assert (shown_early, chat.shown) == ("Paris ", "Paris is lovely.")


async def test_cancelling_closes_the_stream(mock_stream_sdk: MockStreamSDK) -> None:
    gate = Gate()
    mock_stream_sdk.respond("Paris ", gate, "is lovely.")
    chat = Chat()

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(chat.ask("Tell me about Paris"))
        await gate.reached()
        asking.cancel()

    mock_stream_sdk.requests[0].assert_closed(after_chunk=1)


async def test_overload_in_mid_stream_is_raised(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("Paris ", ErrorEvent("Overloaded", type="overloaded_error"))

    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        await Chat().ask("Tell me about Paris")
