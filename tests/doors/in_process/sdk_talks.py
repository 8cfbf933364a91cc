"""One way each to ask every SDK that is installed; what it says, or what it raises, as text."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

#: What litellm makes pydantic warn of.
LITELLM_WARNS = [
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Items? '.*' on TypedDict class:UserWarning"),
]
MESSAGES: Any = [{"role": "user", "content": "hi"}]


@dataclass(frozen=True)
class Said:
    """What a consumer made of a stream."""

    text: str = ""
    finish: str | None = None


@dataclass(frozen=True)
class Talk:
    """One SDK.

    Attributes:
        name: of the SDK, and of its API.
        ask: asks "hi" with a read timeout of 5 s and no retries, and reads to the end.
        wire: the HTTP library that carries it.
        wraps: whether it makes errors of its own of those of its HTTP library, once a stream has begun.
    """

    name: str
    ask: Callable[[], Awaitable[Said]]
    wire: str
    wraps: bool = True

    def __str__(self) -> str:
        return self.name


def is_installed(*modules: str) -> bool:
    """Tell whether modules can be imported, without importing them."""
    try:
        return all(module in sys.modules or importlib.util.find_spec(module) is not None for module in modules)
    except ModuleNotFoundError:  # not even the package that the module would be in
        return False


async def openai_chat(max_retries: int = 0) -> Said:
    import openai

    async with openai.AsyncOpenAI(timeout=5, max_retries=max_retries) as client:
        text, finish = "", None
        async with await client.chat.completions.create(model="gpt-5", messages=MESSAGES, stream=True) as stream:
            async for chunk in stream:
                text += chunk.choices[0].delta.content or ""
                finish = chunk.choices[0].finish_reason
        return Said(text, finish)


async def openai_responses() -> Said:
    import openai

    async with openai.AsyncOpenAI(timeout=5, max_retries=0) as client:
        text, finish = "", None
        async with await client.responses.create(model="gpt-5", input="hi", stream=True) as stream:
            async for event in stream:
                if event.type == "response.output_text.delta":
                    text += event.delta
                elif event.type == "response.completed":
                    finish = "completed"
                elif event.type == "error":
                    finish = "error event"
        return Said(text, finish)


async def openai_responses_helper() -> Said:
    import openai

    async with (
        openai.AsyncOpenAI(timeout=5, max_retries=0) as client,
        client.responses.stream(model="gpt-5", input="hi") as stream,
    ):
        final = await stream.get_final_response()
    return Said(final.output_text, final.status)


async def anthropic_messages(max_retries: int = 0) -> Said:
    import anthropic

    async with anthropic.AsyncAnthropic(timeout=5, max_retries=max_retries) as client:
        text, finish = "", None
        async with await client.messages.create(model="claude", messages=MESSAGES, max_tokens=9, stream=True) as stream:
            async for event in stream:
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    text += event.delta.text
                elif event.type == "message_delta":
                    finish = event.delta.stop_reason
        return Said(text, finish)


async def anthropic_helper() -> Said:
    import anthropic

    async with (
        anthropic.AsyncAnthropic(timeout=5, max_retries=0) as client,
        client.messages.stream(model="claude", messages=MESSAGES, max_tokens=9) as stream,
    ):
        final = await stream.get_final_message()
    return Said("".join(block.text for block in final.content if block.type == "text"), final.stop_reason)


async def google() -> Said:
    from google import genai
    from google.genai import types

    client = genai.Client(http_options=types.HttpOptions(timeout=5000))
    async with client.aio as asyncly:
        text, finish = "", None
        async for chunk in await asyncly.models.generate_content_stream(model="gemini", contents="hi"):
            text += chunk.text or ""
            reason = chunk.candidates[0].finish_reason if chunk.candidates else None
            finish = reason.value if reason else None
        return Said(text, finish)


async def google_sync() -> Said:
    from google import genai
    from google.genai import types

    with genai.Client(http_options=types.HttpOptions(timeout=5000)) as client:
        text, finish = "", None
        for chunk in client.models.generate_content_stream(model="gemini", contents="hi"):
            text += chunk.text or ""
            reason = chunk.candidates[0].finish_reason if chunk.candidates else None
            finish = reason.value if reason else None
        return Said(text, finish)


async def ollama_chat() -> Said:
    import ollama

    text, finish = "", None
    parts: AsyncIterator[Any] = await ollama.AsyncClient(timeout=5).chat(model="llama", messages=MESSAGES, stream=True)
    async for part in parts:
        text += part.message.content or ""
        finish = part.done_reason
    return Said(text, finish)


async def litellm_chat() -> Said:
    import litellm

    text, finish = "", None
    stream: Any = await litellm.acompletion(
        "openai/gpt-5", messages=MESSAGES, stream=True, timeout=5, num_retries=0, max_retries=0
    )
    async for chunk in stream:
        text += chunk.choices[0].delta.content or ""
        finish = chunk.choices[0].finish_reason or finish
    return Said(text, finish)


async def litellm_anthropic() -> Said:
    import litellm

    text, finish = "", None
    stream: Any = await litellm.acompletion(
        "anthropic/claude-3-5-sonnet-latest", messages=MESSAGES, stream=True, timeout=5, num_retries=0, max_retries=0
    )
    async for chunk in stream:
        text += chunk.choices[0].delta.content or ""
        finish = chunk.choices[0].finish_reason or finish
    return Said(text, finish)


def _talks() -> list[Talk]:
    talks = []
    if is_installed("openai"):
        version = tuple(map(int, importlib.metadata.version("openai").split(".")[:2]))
        wire, wraps = "httpx2" if version >= (3,) else "httpx", version >= (3, 14)
        talks += [
            Talk("openai chat", openai_chat, wire, wraps),
            Talk("openai responses", openai_responses, wire, wraps),
            Talk("openai responses helper", openai_responses_helper, wire, wraps),
        ]
    if is_installed("anthropic"):
        talks += [
            Talk("anthropic", anthropic_messages, "httpx2"),
            Talk("anthropic helper", anthropic_helper, "httpx2"),
        ]
    if is_installed("google.genai"):
        talks += [Talk("google-genai", google, "aiohttp"), Talk("google-genai sync", google_sync, "httpx2")]
    if is_installed("ollama"):
        talks += [Talk("ollama", ollama_chat, "httpx")]
    if is_installed("litellm"):
        talks += [
            Talk("litellm openai", litellm_chat, "aiohttp"),
            Talk("litellm anthropic", litellm_anthropic, "aiohttp"),
        ]
    return talks


TALKS = _talks()
#: Those that try again by themselves, with the number of times that they do as its argument.
RETRYING = {
    name: ask for name, ask in (("openai", openai_chat), ("anthropic", anthropic_messages)) if is_installed(name)
}
each_talk = pytest.mark.parametrize("talk", TALKS, ids=str)


async def outcome(talk: Talk) -> str:
    """Ask, and return in one line what the consumer got, or the exception and its cause."""
    try:
        said = await talk.ask()
    except Exception as error:
        cause = error.__cause__ or (error.__context__ if not error.__suppress_context__ else None)
        names = [_name(error)] + ([_name(cause)] if cause is not None else [])
        return " <- ".join(names)
    return f"{said.text!r} {said.finish}"


def _name(error: BaseException) -> str:
    kind = type(error)
    return f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
