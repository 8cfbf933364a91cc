"""The real SDKs, each reduced to one way of asking: what comes, event by event, as text.

One set of clients asks one door; it is made once, since making one takes longer than asking.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import aiohttp
import anthropic
import httpx
import ollama
import openai
from google import genai
from google.genai.types import HttpOptions, HttpRetryOptions

PROMPT = "hello there"
HELLO: Any = [{"role": "user", "content": PROMPT}]
CHAT = {"model": "m", "messages": HELLO, "stream": True}
_USAGE: Any = {"include_usage": True}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a door is: the base URL of each SDK."""

    openai: str
    anthropic: str
    gemini: str
    ollama: str

    @classmethod
    def server(cls, url: str) -> Place:
        """Return where the server is."""
        return cls(f"{url}/v1", url, url, url)


#: Where the door in process is: everywhere.
IN_PROCESS = Place(
    "https://api.openai.com/v1",
    "https://api.anthropic.com",
    "https://generativelanguage.googleapis.com",
    "http://localhost:11434",
)


def _options(base_url: str, timeout: float) -> dict[str, Any]:
    return {"base_url": base_url, "api_key": "k", "max_retries": 0, "timeout": timeout}


def _gemini(place: Place, timeout: float) -> genai.Client:
    options = HttpOptions(
        base_url=place.gemini,
        timeout=int(timeout * 1000),
        retry_options=HttpRetryOptions(attempts=1),
        client_args={"verify": False},
        async_client_args={"verify": False},
    )
    return genai.Client(api_key="k", http_options=options)


class SyncClients:
    """A sync client of each SDK, made when it is first used."""

    def __init__(self, place: Place, timeout: float) -> None:
        self._place = place
        self._timeout = timeout
        self._opened = ExitStack()

    def close(self) -> None:
        """Close every client."""
        self._opened.close()

    # Without `verify=False`, a client reads all certificates of the machine, which takes longer than a round.

    @cached_property
    def chat(self) -> openai.OpenAI:
        """OpenAI's."""
        http = openai.DefaultHttpxClient(verify=False)
        return self._opened.enter_context(
            openai.OpenAI(**_options(self._place.openai, self._timeout), http_client=http)
        )

    @cached_property
    def anthropic(self) -> anthropic.Anthropic:
        """Anthropic's."""
        http = anthropic.DefaultHttpxClient(verify=False)
        return self._opened.enter_context(
            anthropic.Anthropic(**_options(self._place.anthropic, self._timeout), http_client=http)
        )

    @cached_property
    def gemini(self) -> genai.Client:
        """Google's."""
        return self._opened.enter_context(_gemini(self._place, self._timeout))

    @cached_property
    def ollama(self) -> ollama.Client:
        """Ollama's."""
        made = ollama.Client(host=self._place.ollama, timeout=self._timeout, trust_env=False, verify=False)
        self._opened.callback(made._client.close)
        return made

    @cached_property
    def httpx(self) -> httpx.Client:
        """None, but the HTTP library alone."""
        made = httpx.Client(base_url=self._place.openai, timeout=self._timeout, trust_env=False, verify=False)
        return self._opened.enter_context(made)

    def stream(self, kind: str) -> Any:
        """Open a stream: something to iterate over and to close."""
        match kind:
            case "chat":
                return self.chat.chat.completions.create(model="m", messages=HELLO, stream=True, stream_options=_USAGE)
            case "responses":
                return self.chat.responses.create(model="m", input=PROMPT, stream=True)
            case "anthropic":
                return self.anthropic.messages.create(model="m", max_tokens=9, messages=HELLO, stream=True)
            case "gemini":
                return self.gemini.models.generate_content_stream(model="m", contents=PROMPT)
            case "ollama":
                return self.ollama.chat("m", HELLO, stream=True)
            case "generate":
                return self.ollama.generate("m", PROMPT, stream=True)
        return self._lines()

    def _lines(self) -> Iterator[str]:
        with self.httpx.stream("POST", "/chat/completions", json=CHAT) as response:
            response.raise_for_status()
            yield from response.iter_lines()

    def whole(self, kind: str) -> Any:
        """Return a reply that is not streamed."""
        match kind:
            case "chat":
                return self.chat.chat.completions.create(model="m", messages=HELLO)
            case "responses":
                return self.chat.responses.create(model="m", input=PROMPT)
            case "anthropic":
                return self.anthropic.messages.create(model="m", max_tokens=9, messages=HELLO)
            case "gemini":
                return self.gemini.models.generate_content(model="m", contents=PROMPT)
            case "ollama":
                return self.ollama.chat("m", HELLO)
            case "generate":
                return self.ollama.generate("m", PROMPT)
        response = self.httpx.post("/chat/completions", json=CHAT | {"stream": False})
        return response.raise_for_status().text


class AsyncClients:
    """An async client of each SDK, made when it is first used, in the loop that closes it."""

    def __init__(self, place: Place, timeout: float) -> None:
        self._place = place
        self._timeout = timeout
        self._to_close: list[Callable[[], Awaitable[None]]] = []

    async def close(self) -> None:
        """Close every client."""
        for close in self._to_close:
            await close()

    def _closed_by(self, close: Callable[[], Awaitable[None]]) -> None:
        self._to_close.append(close)

    @cached_property
    def chat(self) -> openai.AsyncOpenAI:
        """OpenAI's."""
        http = openai.DefaultAsyncHttpxClient(verify=False)
        made = openai.AsyncOpenAI(**_options(self._place.openai, self._timeout), http_client=http)
        self._closed_by(made.close)
        return made

    @cached_property
    def anthropic(self) -> anthropic.AsyncAnthropic:
        """Anthropic's."""
        http = anthropic.DefaultAsyncHttpxClient(verify=False)
        made = anthropic.AsyncAnthropic(**_options(self._place.anthropic, self._timeout), http_client=http)
        self._closed_by(made.close)
        return made

    @cached_property
    def gemini(self) -> genai.Client:
        """Google's, which is sync and async in one."""
        made = _gemini(self._place, self._timeout)

        async def close() -> None:
            await made.aio.aclose()
            made.close()

        self._closed_by(close)
        return made

    @cached_property
    def ollama(self) -> ollama.AsyncClient:
        """Ollama's."""
        made = ollama.AsyncClient(host=self._place.ollama, timeout=self._timeout, trust_env=False, verify=False)
        self._closed_by(made._client.aclose)
        return made

    @cached_property
    def httpx(self) -> httpx.AsyncClient:
        """None, but the HTTP library alone."""
        made = httpx.AsyncClient(base_url=self._place.openai, timeout=self._timeout, trust_env=False, verify=False)
        self._closed_by(made.aclose)
        return made

    @cached_property
    def aiohttp(self) -> aiohttp.ClientSession:
        """The other HTTP library."""
        made = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(sock_read=self._timeout))
        self._closed_by(made.close)
        return made

    async def stream(self, kind: str) -> Any:
        """Open a stream: something to iterate over and to close."""
        match kind:
            case "chat":
                return await self.chat.chat.completions.create(
                    model="m", messages=HELLO, stream=True, stream_options=_USAGE
                )
            case "responses":
                return await self.chat.responses.create(model="m", input=PROMPT, stream=True)
            case "anthropic":
                return await self.anthropic.messages.create(model="m", max_tokens=9, messages=HELLO, stream=True)
            case "gemini":
                return await self.gemini.aio.models.generate_content_stream(model="m", contents=PROMPT)
            case "ollama":
                return await self.ollama.chat("m", HELLO, stream=True)
            case "generate":
                return await self.ollama.generate("m", PROMPT, stream=True)
            case "aiohttp":
                return self._aiohttp_lines()
        return self._lines()

    async def _lines(self) -> AsyncIterator[str]:
        async with self.httpx.stream("POST", "/chat/completions", json=CHAT) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                yield line

    async def _aiohttp_lines(self) -> AsyncIterator[str]:
        async with self.aiohttp.post(f"{self._place.openai}/chat/completions", json=CHAT) as response:
            response.raise_for_status()
            async for line in response.content:
                yield line.decode()


KINDS = ("chat", "responses", "anthropic", "gemini", "ollama", "generate", "httpx")
ASYNC_KINDS = (*KINDS, "aiohttp")


def shown(event: Any) -> str:
    """Return an event as text, without what depends on how it came."""
    if isinstance(event, str):
        return event
    data = event.model_dump(mode="json", exclude={"sdk_http_response"})
    return f"{type(event).__name__} {json.dumps(data, sort_keys=True, default=str)}"
