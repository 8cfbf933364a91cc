"""One way each to ask Vertex AI through every SDK, streamed and whole; what it says, or what it raises."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from google.auth.credentials import Credentials
from outcomes import outcome_of

CLAUDE = "claude-sonnet-4@20250514"
GEMINI = "gemini-2.5-flash"
HI: Any = [{"role": "user", "content": "hi"}]
WHERE: Any = {"project": "my-project", "location": "europe-west4"}


class FakeCredentials(Credentials):
    """Credentials that a test gives; they are valid, and never renewed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # google-auth's
        self.token = "token-of-the-test"  # noqa: S105 - of nobody
        self.expiry = datetime.datetime(2999, 1, 1)

    def refresh(self, request: Any) -> None:
        raise AssertionError("they are valid")


@dataclass
class Said:
    """What a consumer made of a reply."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    finish: str | None = None
    usage: tuple[int, int] | None = None

    def add_gemini(self, reply: Any) -> None:
        """Take a reply of Gemini, or a part of one."""
        candidate = reply.candidates[0]
        self.finish = candidate.finish_reason.name if candidate.finish_reason else None
        for part in candidate.content.parts:
            if part.function_call:
                self.calls.append((part.function_call.name, part.function_call.args))
            elif part.thought:
                self.reasoning += part.text
            else:
                self.text += part.text or ""
        told = reply.usage_metadata
        self.usage = told.prompt_token_count, (told.candidates_token_count or 0) + (told.thoughts_token_count or 0)

    @classmethod
    def of_message(cls, message: Any) -> Said:
        """Read a whole message of Anthropic's."""
        said = cls(finish=message.stop_reason, usage=(message.usage.input_tokens, message.usage.output_tokens))
        for block in message.content:
            said.text += getattr(block, "text", "")
            said.reasoning += getattr(block, "thinking", "")
            if block.type == "tool_use":
                said.calls.append((block.name, block.input))
        return said


Given = Any  # credentials, or None


@dataclass(frozen=True)
class Talk:
    """One way to ask.

    Attributes:
        name: of the SDK and its call.
        ask: asks "hi" with credentials or None.
        wire: the HTTP library that carries it.
        streams: whether the reply is streamed.
        refreshes: whether it renews the credentials that it finds itself, by way of requests.
        called: the provider's word for a stop to call tools.
    """

    name: str
    ask: Callable[[Given], Awaitable[Said]]
    wire: str
    streams: bool = True
    refreshes: bool = False
    called: str = "STOP"

    def __str__(self) -> str:
        return self.name


def genai_client(credentials: Given) -> Any:
    from google import genai

    return genai.Client(vertexai=True, credentials=credentials, **WHERE)


async def genai_sync(credentials: Given) -> Said:
    said = Said()
    with genai_client(credentials) as client:
        for reply in client.models.generate_content_stream(model=GEMINI, contents="hi"):
            said.add_gemini(reply)
    return said


async def genai_whole(credentials: Given) -> Said:
    said = Said()
    with genai_client(credentials) as client:
        said.add_gemini(client.models.generate_content(model=GEMINI, contents="hi"))
    return said


async def genai_async(credentials: Given) -> Said:
    said = Said()
    async with genai_client(credentials).aio as client:
        async for reply in await client.models.generate_content_stream(model=GEMINI, contents="hi"):
            said.add_gemini(reply)
    return said


def _for_anthropic(credentials: Given) -> Any:
    return {
        "project_id": WHERE["project"],
        "region": WHERE["location"],
        "credentials": credentials,
        "max_retries": 0,
    }


async def anthropic_sync(credentials: Given) -> Said:
    import anthropic

    said = Said()
    with (
        anthropic.AnthropicVertex(**_for_anthropic(credentials)) as client,
        client.messages.create(model=CLAUDE, messages=HI, max_tokens=9, stream=True) as stream,
    ):
        for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                said.text += event.delta.text
            elif event.type == "message_delta":
                said.finish = event.delta.stop_reason
    return said


async def anthropic_async_helper(credentials: Given) -> Said:
    import anthropic

    async with (
        anthropic.AsyncAnthropicVertex(**_for_anthropic(credentials)) as client,
        client.messages.stream(model=CLAUDE, messages=HI, max_tokens=9) as stream,
    ):
        return Said.of_message(await stream.get_final_message())


async def anthropic_whole(credentials: Given) -> Said:
    import anthropic

    with anthropic.AnthropicVertex(**_for_anthropic(credentials)) as client:
        return Said.of_message(client.messages.create(model=CLAUDE, messages=HI, max_tokens=9))


TALKS = (
    Talk("google-genai", genai_sync, "httpx2"),
    Talk("google-genai whole", genai_whole, "httpx2", streams=False),
    Talk("google-genai async", genai_async, "aiohttp"),
    Talk("AsyncAnthropicVertex helper", anthropic_async_helper, "httpx2", refreshes=True, called="tool_use"),
    Talk("AnthropicVertex whole", anthropic_whole, "httpx2", refreshes=True, streams=False, called="tool_use"),
)
RAW = (*(talk for talk in TALKS[:3] if talk.streams), Talk("AnthropicVertex", anthropic_sync, "httpx2"))


async def outcome(talk: Talk) -> str:
    """Ask, and return in one line what the consumer got, or the exception and its cause."""
    return await outcome_of(talk.ask(FakeCredentials()))
