"""How each SDK opens a stream, and how it is closed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sdk_talks import MESSAGES, is_installed


async def _nothing() -> None:
    """Stand in for a client that its SDK keeps to itself."""


@dataclass
class Opened:
    """A stream of an SDK, asked and not read yet.

    Attributes:
        stream: what ``async for`` or ``for`` reads.
        client: what it came from.
        close: closes the stream as its SDK would have it, if there is a way.
        close_client: closes the client.
    """

    stream: Any
    client: Any
    close: Callable[[], Any]
    close_client: Callable[[], Any] = _nothing


async def openai_chat() -> Opened:
    import openai

    client = openai.AsyncOpenAI()
    stream = await client.chat.completions.create(model="gpt-5", messages=MESSAGES, stream=True)
    return Opened(stream, client, stream.close, client.close)


async def openai_helper() -> Opened:
    import openai

    client = openai.AsyncOpenAI()
    stream = await client.chat.completions.stream(model="gpt-5", messages=MESSAGES).__aenter__()
    return Opened(stream, client, stream.close, client.close)


async def openai_responses() -> Opened:
    import openai

    client = openai.AsyncOpenAI()
    stream = await client.responses.create(model="gpt-5", input="hi", stream=True)
    return Opened(stream, client, stream.close, client.close)


async def anthropic_raw() -> Opened:
    import anthropic

    client = anthropic.AsyncAnthropic()
    stream = await client.messages.create(model="claude", messages=MESSAGES, max_tokens=9, stream=True)
    return Opened(stream, client, stream.close, client.close)


async def anthropic_helper() -> Opened:
    import anthropic

    client = anthropic.AsyncAnthropic()
    stream = await client.messages.stream(model="claude", messages=MESSAGES, max_tokens=9).__aenter__()
    return Opened(stream, client, stream.close, client.close)


async def google() -> Opened:
    from google import genai

    client = genai.Client()
    stream: Any = await client.aio.models.generate_content_stream(model="gemini", contents="hi")
    return Opened(stream, client, stream.aclose, client.aio.aclose)


async def ollama_chat() -> Opened:
    import ollama

    client = ollama.AsyncClient()
    stream: Any = await client.chat(model="llama", messages=MESSAGES, stream=True)
    return Opened(stream, client, stream.aclose, client.close)


async def langchain() -> Opened:
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="gpt-5")
    stream: Any = model.astream("hi")
    return Opened(stream, model, stream.aclose)


async def litellm_chat() -> Opened:
    import litellm

    stream: Any = await litellm.acompletion("openai/gpt-5", messages=MESSAGES, stream=True)
    return Opened(stream, None, stream.aclose)


def openai_sync() -> Opened:
    import openai

    client = openai.OpenAI()
    stream = client.chat.completions.create(model="gpt-5", messages=MESSAGES, stream=True)
    return Opened(stream, client, stream.close, client.close)


def anthropic_sync() -> Opened:
    import anthropic

    client = anthropic.Anthropic()
    stream = client.messages.create(model="claude", messages=MESSAGES, max_tokens=9, stream=True)
    return Opened(stream, client, stream.close, client.close)


def ollama_sync() -> Opened:
    import ollama

    client = ollama.Client()
    stream: Any = client.chat(model="llama", messages=MESSAGES, stream=True)
    return Opened(stream, client, stream.close, client.close)


ASYNC: dict[str, Callable[[], Awaitable[Opened]]] = {}
SYNC: dict[str, Callable[[], Opened]] = {}
if is_installed("openai"):
    ASYNC |= {"openai chat": openai_chat, "openai helper": openai_helper, "openai responses": openai_responses}
    SYNC |= {"openai chat": openai_sync}
if is_installed("anthropic"):
    ASYNC |= {"anthropic raw": anthropic_raw, "anthropic helper": anthropic_helper}
    SYNC |= {"anthropic raw": anthropic_sync}
if is_installed("google.genai"):
    ASYNC |= {"google-genai": google}
if is_installed("ollama"):
    ASYNC |= {"ollama": ollama_chat}
    SYNC |= {"ollama": ollama_sync}
if is_installed("langchain_openai"):
    ASYNC |= {"langchain": langchain}
if is_installed("litellm"):
    ASYNC |= {"litellm": litellm_chat}
