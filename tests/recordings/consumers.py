"""The real SDKs, asked for one text each: what their users get of it, chunk by chunk, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import anthropic
import httpx
import ollama
import openai
from google import genai

KEY = "made-up-1"
#: Seconds that a client waits for more; the second for texts that begin with "silence".
_TIMEOUTS = (60.0, 0.3)
#: Google's SDK makes such a class for each asynchronous client.
DISCOURAGED = "ignore:Inheritance class AiohttpClientSession from ClientSession:DeprecationWarning"
#: Made anew for each answer, or of the connection that it came on.
_VOLATILE = {
    "id",
    "container_id",
    "created",
    "created_at",
    "completed_at",
    "item_id",
    "response_id",
    "sdk_http_response",
    "sequence_number",
    "obfuscation",
    "call_id",
    "tool_use_id",
}


class Outcome(NamedTuple):
    """What a consumer got.

    Attributes:
        chunks: as JSON, without what is never the same twice; one for a reply that is whole.
        error: the exception with its causes, the status and what the provider said; None if there was none.
    """

    chunks: list[Any]
    error: str | None


@dataclass(frozen=True, kw_only=True)
class Consumer:
    """An SDK and one of the formats that it reads.

    Attributes:
        provider: who is asked.
        client: makes a client of a base URL and a timeout in seconds.
        aclient: makes an asynchronous one.
        ask: asks a client of either kind, for a text, streamed or not.
    """

    provider: str
    client: Callable[[str, float], Any]
    aclient: Callable[[str, float], Any]
    ask: Callable[[Any, str, bool], Any]

    def asked(self, url: str, texts: Iterable[str], *, streamed: bool) -> dict[str, Outcome]:
        """Ask for each text, one after the other, and return what came of it."""
        clients = {timeout: self.client(url, timeout) for timeout in _TIMEOUTS}
        found = {text: _outcome(self.ask, clients[_timeout(text)], text, streamed) for text in texts}
        for client in clients.values():
            if hasattr(client, "close"):
                client.close()
        return found

    def asked_async(self, url: str, texts: Iterable[str], *, streamed: bool) -> dict[str, Outcome]:
        """Do as ``asked`` with the asynchronous client."""

        async def run() -> dict[str, Outcome]:
            clients = {timeout: self.aclient(url, timeout) for timeout in _TIMEOUTS}
            found = {text: await _aoutcome(self.ask, clients[_timeout(text)], text, streamed) for text in texts}
            for client in clients.values():
                if hasattr(client, "close"):
                    await client.close()
            return found

        return asyncio.run(run())


def _timeout(text: str) -> float:
    return _TIMEOUTS[text.startswith("silence")]


def _outcome(ask: Callable[[Any, str, bool], Any], client: Any, text: str, streamed: bool) -> Outcome:
    chunks: list[Any] = []
    try:
        reply = ask(client, text, streamed)
        for chunk in reply if streamed else [reply]:
            chunks.append(_plain(chunk))  # noqa: PERF401 - those before an error count
    except Warning:  # of the SDK's own, which the tests turn into errors
        raise
    except Exception as error:
        return Outcome(chunks, _said(error))
    return Outcome(chunks, None)


async def _aoutcome(ask: Callable[[Any, str, bool], Any], client: Any, text: str, streamed: bool) -> Outcome:
    chunks: list[Any] = []
    try:
        reply: Any = await ask(client, text, streamed)
        stream: AsyncIterator[Any] = reply if streamed else _only(reply)
        async for chunk in stream:
            chunks.append(_plain(chunk))  # noqa: PERF401 - those before an error count
    except Warning:  # of the SDK's own, which the tests turn into errors
        raise
    except Exception as error:
        return Outcome(chunks, _said(error))
    return Outcome(chunks, None)


async def _only(reply: Any) -> AsyncIterator[Any]:
    yield reply


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump(mode="json", exclude_none=True))
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items() if name not in _VOLATILE and "_duration" not in name}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _said(error: BaseException | None) -> str:
    """Return the classes of an exception and of what caused it, and all that a program may look at.

    What comes from below the HTTP library, of the socket and its parser, is left out: in process there are none.
    """
    told: list[str] = []
    while error is not None:
        package = type(error).__module__.partition(".")[0]
        name = f"{package}.{type(error).__name__}"
        if told and package in {"anyio", "builtins", "h11"}:
            break
        status = getattr(error, "status_code", getattr(error, "code", None))
        kind = getattr(error, "type", None)
        response = getattr(error, "response", None)
        after = response.headers.get("retry-after") if isinstance(response, httpx.Response) else None
        message = getattr(error, "message", None) if status is not None else None
        parts = [str(one) for one in (status, kind, after, message) if isinstance(one, str | int) and str(one)]
        told.append(" ".join((name, *parts)))
        error = error.__cause__
    return " <- ".join(told)


def differences(found: Mapping[str, Outcome], live: Mapping[str, Outcome]) -> dict[str, str]:
    """Return for each text where what was got first differs from what was got live."""
    told = {}
    for text, (chunks, error) in live.items():
        mine = found[text]
        pairs = [*zip(mine.chunks, chunks, strict=False), (mine.error, error), (len(mine.chunks), len(chunks))]
        if (where := next((place for place, (one, other) in enumerate(pairs) if one != other), None)) is not None:
            told[text] = "{}\n{}\n{}".format(where, *pairs[where])
    return told


# The SDKs.


def _chat(client: Any, text: str, streamed: bool) -> Any:
    messages = [{"role": "user", "content": text}]
    more: Any = {"stream": True, "stream_options": {"include_usage": True}} if streamed else {}
    return client.chat.completions.create(model="gpt-5", messages=messages, **more)


def _responses(client: Any, text: str, streamed: bool) -> Any:
    return client.responses.create(model="gpt-5", input=text, stream=streamed)


def _messages(client: Any, text: str, streamed: bool) -> Any:
    messages = [{"role": "user", "content": text}]
    return client.messages.create(model="claude", max_tokens=99, messages=messages, stream=streamed)


def _gemini(client: Any, text: str, streamed: bool) -> Any:
    models = client.models
    ask = models.generate_content_stream if streamed else models.generate_content
    return ask(model="gemini-2.5-pro", contents=text)


def _ollama(client: Any, text: str, streamed: bool) -> Any:
    return client.chat(model="llama3.2", messages=[{"role": "user", "content": text}], stream=streamed)


def _genai(url: str, timeout: float) -> Any:
    options = genai.types.HttpOptions(base_url=url, api_version="v1beta", timeout=int(timeout * 1000))
    return genai.Client(api_key=KEY, http_options=options)


class _GenaiAsync:
    """The asynchronous half of Google's client, which is closed by another name."""

    def __init__(self, url: str, timeout: float) -> None:
        self._client = _genai(url, timeout).aio
        self.models = self._client.models

    async def close(self) -> None:
        await self._client.aclose()


_OPENAI: Any = {
    "provider": "openai",
    "client": lambda url, timeout: openai.OpenAI(api_key=KEY, base_url=url, max_retries=0, timeout=timeout),
    "aclient": lambda url, timeout: openai.AsyncOpenAI(api_key=KEY, base_url=url, max_retries=0, timeout=timeout),
}
CONSUMERS: dict[str, Consumer] = {
    "chat": Consumer(**_OPENAI, ask=_chat),
    "responses": Consumer(**_OPENAI, ask=_responses),
    "anthropic": Consumer(
        provider="anthropic",
        client=lambda url, timeout: anthropic.Anthropic(api_key=KEY, base_url=url, max_retries=0, timeout=timeout),
        aclient=lambda url, timeout: anthropic.AsyncAnthropic(
            api_key=KEY, base_url=url, max_retries=0, timeout=timeout
        ),
        ask=_messages,
    ),
    "gemini": Consumer(provider="gemini", client=_genai, aclient=_GenaiAsync, ask=_gemini),
    "ollama": Consumer(
        provider="ollama",
        client=lambda url, timeout: ollama.Client(host=url, timeout=timeout),
        aclient=lambda url, timeout: ollama.AsyncClient(host=url, timeout=timeout),
        ask=_ollama,
    ),
}
