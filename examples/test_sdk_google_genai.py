"""Google Gemini: async it goes through aiohttp where that is installed, sync through httpx2."""

from __future__ import annotations

import pytest

from pytest_mockstream import Disconnect, MockStreamSDK

genai = pytest.importorskip("google.genai")
# google-genai derives a class from aiohttp's session, which aiohttp advises against.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


async def answer(question: str) -> str:
    """The code under test."""
    async with genai.Client().aio as client:
        stream = await client.models.generate_content_stream(model="gemini-2.5-flash", contents=question)
        return "".join([chunk.text async for chunk in stream])


async def test_answer_is_what_the_model_streams(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("Paris is lovely.")

    assert await answer("Tell me about Paris") == "Paris is lovely."


async def test_broken_connection_is_raised(mock_stream_sdk: MockStreamSDK) -> None:
    aiohttp = pytest.importorskip("aiohttp")
    mock_stream_sdk.respond("Paris is ", Disconnect())

    with pytest.raises(aiohttp.ClientPayloadError):
        await answer("Tell me about Paris")


def test_sync(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("Paris is lovely.")

    with genai.Client() as client:
        reply = client.models.generate_content(model="gemini-2.5-flash", contents="Tell me about Paris")

    assert reply.text == "Paris is lovely."
