"""litellm, whatever provider it speaks for: OpenAI through httpx and aiohttp, Anthropic through aiohttp."""

from __future__ import annotations

import pytest

from pytest_mockstream import HTTPError, MockStreamSDK

litellm = pytest.importorskip("litellm")
# What litellm makes pydantic warn of.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Items? '.*' on TypedDict class:UserWarning"),
]


async def answer(model: str, question: str) -> str:
    """The code under test."""
    messages = [{"role": "user", "content": question}]
    stream = await litellm.acompletion(model, messages=messages, stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


@pytest.mark.parametrize("model", ["openai/gpt-4o", "anthropic/claude-3-5-sonnet-latest", "ollama_chat/llama3.2"])
async def test_answer_is_what_the_model_streams(mock_stream_sdk: MockStreamSDK, model: str) -> None:
    mock_stream_sdk.respond("Paris is lovely.")

    assert await answer(model, "Tell me about Paris") == "Paris is lovely."
    assert mock_stream_sdk.requests[0].provider == model.partition("/")[0].removesuffix("_chat")


async def test_rate_limit_is_raised(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond(HTTPError(429), times=None)

    with pytest.raises(litellm.RateLimitError):
        await answer("anthropic/claude-3-5-sonnet-latest", "Tell me about Paris")
