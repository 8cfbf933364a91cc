"""One contract over all doors: what a test says about a stream does not change with the door.

The same script is read by the same code through the client, through the real SDKs in process and through the real SDKs
over the network: same chunks, same order, same outcome, same exception, same number of requests, same ledger.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import anthropic
import openai
import pytest

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    HTTPError,
    KeepAlive,
    Malformed,
    MalformedChunkError,
    MockStreamClient,
    MockStreamError,
    MockStreamSDK,
    MockStreamServer,
    ProviderError,
    Reasoning,
    Script,
    Stall,
    StreamDisconnected,
    StreamTimeout,
    ToolCall,
    Truncate,
    Wait,
)
from pytest_mockstream._base.collector import collect

MESSAGES: Any = [{"role": "user", "content": "hi"}]
CHAT = {"model": "m", "messages": MESSAGES, "stream": True}
TIMEOUT = 30.0
SHORT = 0.5  # where the reader is meant to lose patience
LONG = Wait(36_000)  # where the consumer leaves, so that nothing more is under way to it
RETRIES = 1
Reader: TypeAlias = "Callable[[str, float], AsyncIterator[str]]"

PLAIN = {
    "whole": Script("one two three"),
    "empty": Script(),
    "tool call": Script("let me see ", ToolCall("weather", {"city": "Paris"})),
    "reasoning": Script(Reasoning("hm "), "yes"),
    "unicode": Script("Grüße 世界 🌍  end"),
    "slow first byte": Script(Wait(0.02), "late"),
    "keep-alives": Script("one ", KeepAlive(), "two"),
    "byte by byte": Script("Grüße 🌍", fragment="byte"),
    "cut at random": Script("one two three", fragment="random", seed=7),
    "CRLF": Script("one two", line_ending="\r\n"),
    "comments between": Script("one two", between="comment"),
    "pings between": Script("one two", between="ping"),
    "frames doubled": Script("one two", duplicate=2),
    "length": Script("one two", finish_reason="length"),
}
FAULTS = {
    "truncated": Script("one two ", Truncate()),
    "truncated at once": Script(Truncate()),
    "truncated inside a frame": Script("one two ", Truncate(inside_frame=True)),
    "reset": Script("one two ", Disconnect()),
    "reset at once": Script(Disconnect(), times=1 + RETRIES),
    "reset inside a frame": Script("one two ", Disconnect(inside_frame=True)),
    "reset inside the first frame": Script(Disconnect(inside_frame=True)),
    "cut": Script("one two ", Disconnect(how="cut")),
    "cut at once": Script(Disconnect(how="cut"), times=1 + RETRIES),
    "cut after no silence": Script(Stall(0), Disconnect(how="cut")),
    "cut inside a frame": Script("one two ", Disconnect(how="cut", inside_frame=True)),
    "stall": Script("one two ", Stall()),
    "stall at once": Script(Stall()),
    "short stall": Script("one ", Stall(0.02), "two"),
    "garbage": Script("one ", Malformed(), LONG, "two"),
    "garbage at once": Script(Malformed("<html>"), LONG, "one"),
    "empty frame": Script("one ", Malformed(""), LONG, "two"),
    "error event": Script("one ", ErrorEvent("overloaded")),
    "error event at once": Script(ErrorEvent("overloaded", type="overloaded_error")),
    **{
        f"status {status}": Script(HTTPError(status, retry_after=0.01), times=1 + RETRIES)
        for status in (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 529)
    },
    "429 and then a stream": Script(HTTPError(429, retry_after=0.01)),
}
SCRIPTS = PLAIN | FAULTS
BYTES = {"no bytes": Script(Malformed("", framed=False), "one")}  # what a client without bytes cannot be given
READ_ON = {  # where the consumer does not leave
    (reader, "empty frame"): Script("one ", Malformed(""), "two") for reader in ("anthropic", "anthropic sync")
}


@dataclass
class Outcome:
    """All that a consumer, and the test behind it, can tell of a reading."""

    deltas: list[str] = field(default_factory=list)
    error: str = ""
    cause: str = ""
    states: list[str] = field(default_factory=list)
    chunks_sent: list[int] = field(default_factory=list)
    raised: Exception | None = field(default=None, compare=False)


def _options(base_url: str, timeout: float) -> dict[str, Any]:
    return {"base_url": base_url, "api_key": "k", "max_retries": RETRIES, "timeout": timeout}


async def read_openai(base_url: str, timeout: float) -> AsyncIterator[str]:
    async with (
        openai.AsyncOpenAI(**_options(f"{base_url}/v1", timeout)) as client,
        await client.chat.completions.create(model="m", messages=MESSAGES, stream=True) as stream,
    ):
        async for chunk in stream:
            yield chunk.model_dump_json(exclude={"id"})


async def read_responses(base_url: str, timeout: float) -> AsyncIterator[str]:
    async with (
        openai.AsyncOpenAI(**_options(f"{base_url}/v1", timeout)) as client,
        await client.responses.create(model="m", input="hi", stream=True) as stream,
    ):
        async for event in stream:
            yield event.type


async def read_anthropic(base_url: str, timeout: float) -> AsyncIterator[str]:
    async with (
        anthropic.AsyncAnthropic(**_options(base_url, timeout)) as client,
        await client.messages.create(model="m", max_tokens=100, messages=MESSAGES, stream=True) as stream,
    ):
        async for event in stream:
            yield event.model_dump_json(exclude={"message"})


async def read_openai_sync(base_url: str, timeout: float) -> AsyncIterator[str]:
    with (
        openai.OpenAI(**_options(f"{base_url}/v1", timeout)) as client,
        client.chat.completions.create(model="m", messages=MESSAGES, stream=True) as stream,
    ):
        for chunk in stream:
            yield chunk.model_dump_json(exclude={"id"})


async def read_anthropic_sync(base_url: str, timeout: float) -> AsyncIterator[str]:
    with (
        anthropic.Anthropic(**_options(base_url, timeout)) as client,
        client.messages.create(model="m", max_tokens=100, messages=MESSAGES, stream=True) as stream,
    ):
        for event in stream:
            yield event.model_dump_json(exclude={"message"})


READERS: dict[str, tuple[Reader, str]] = {
    "openai": (read_openai, "https://api.openai.com"),
    "openai sync": (read_openai_sync, "https://api.openai.com"),
    "openai responses": (read_responses, "https://api.openai.com"),
    "anthropic": (read_anthropic, "https://api.anthropic.com"),
    "anthropic sync": (read_anthropic_sync, "https://api.anthropic.com"),
}


async def outcome_of(reader: Reader, door: MockStreamSDK | MockStreamServer, script: Script, base_url: str) -> Outcome:
    door.respond(script, times=script.times)
    door.respond("the second try", times=None)
    outcome = Outcome()
    patience = _patience(script)
    try:
        async for delta in reader(base_url, patience):
            outcome.deltas.append(delta)
    except Exception as error:  # whatever it is: the doors are compared
        outcome.raised = error
        outcome.error = _class(error)
        outcome.cause = _class(error.__cause__)
    outcome.states = [request.state for request in door.requests]
    outcome.chunks_sent = [request.chunks_sent for request in door.requests]
    return outcome


def _patience(script: Script) -> float:
    return SHORT if Stall() in script.steps else TIMEOUT


def _class(error: BaseException | None) -> str:
    return "" if error is None else f"{type(error).__module__}.{type(error).__name__}"


def _marks(name: str) -> tuple[pytest.MarkDecorator, ...]:
    """Return the marks of a script: of the statuses, one that is retried and one that is not say what all say."""
    is_breadth = name.startswith("status ") and name not in {"status 400", "status 529"}
    return (pytest.mark.slow,) if is_breadth else ()


@pytest.mark.mockstream(unused="allow")
@pytest.mark.parametrize("name", [pytest.param(name, marks=_marks(name)) for name in SCRIPTS | BYTES])
@pytest.mark.parametrize("reader", READERS)
async def test_in_process_and_over_the_network_a_script_is_the_same(
    mock_stream_sdk: MockStreamSDK, mock_stream_server: MockStreamServer, reader: str, name: str
) -> None:
    script = READ_ON.get((reader, name), (SCRIPTS | BYTES)[name])
    read, host = READERS[reader]

    in_process = await outcome_of(read, mock_stream_sdk, script, host)
    over_network = await outcome_of(read, mock_stream_server, script, mock_stream_server.url)

    if in_process.error.endswith(("APITimeoutError", "ReadTimeout")):
        # That it was a timeout is known in the client only: over the network it is one more client that leaves.
        assert in_process.states == ["broken"]
        in_process.states = ["closed"]
    assert over_network == in_process


@pytest.mark.mockstream(unused="allow")
@pytest.mark.parametrize(
    "name", sorted(SCRIPTS.keys() - {"frames doubled", "429 and then a stream"})
)  # a client has no frames and does not retry
async def test_the_client_gives_what_the_network_gives(
    mock_stream_client: MockStreamClient, mock_stream_server: MockStreamServer, name: str
) -> None:
    script = SCRIPTS[name]
    from_client: list[str] = []
    mock_stream_client.respond(script)

    error: Exception | None = None
    try:
        async with mock_stream_client.complete_stream("hi", timeout=_patience(script)) as stream:
            async for chunk in stream:
                from_client.append(chunk.delta)  # noqa: PERF401 - it may break midway
    except MockStreamError as caught:
        error = caught
    over_network = await outcome_of(read_openai, mock_stream_server, script, mock_stream_server.url)

    from_network = [json.loads(frame)["choices"][0]["delta"]["content"] or "" for frame in over_network.deltas]
    assert list(filter(None, from_client)) == list(filter(None, from_network))
    assert mock_stream_client.requests[0].chunks_sent == over_network.chunks_sent[0]
    assert _kind_of(error) == _kind_of(over_network.raised)


def _chain(error: BaseException | None) -> list[str]:
    """Return what somebody sees who looks for the cause of an error."""
    return [] if error is None else [f"{_class(error)}: {error}", *_chain(error.__cause__)]


@pytest.mark.mockstream(unused="allow")
@pytest.mark.parametrize("name", [name for name in FAULTS if name.startswith(("reset", "cut", "stall", "truncated"))])
async def test_errors_of_aiohttp_are_the_same_down_to_their_causes(
    mock_stream_sdk: MockStreamSDK, mock_stream_server: MockStreamServer, name: str
) -> None:
    aiohttp = pytest.importorskip("aiohttp")

    async def caught_from(base_url: str) -> list[str]:
        timeout = aiohttp.ClientTimeout(sock_read=SHORT if name.startswith("stall") else TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            try:
                async with session.post(f"{base_url}/v1/chat/completions", json=CHAT) as answer:
                    await answer.read()
            except aiohttp.ClientError as error:
                return _chain(error)
        return []

    mock_stream_sdk.respond(FAULTS[name], times=None)
    mock_stream_server.respond(FAULTS[name], times=None)

    in_process = await caught_from("https://api.openai.com")

    assert bool(in_process) is not name.startswith("truncated")
    assert in_process == await caught_from(mock_stream_server.url)


KINDS: dict[str, tuple[type[Exception], ...]] = {
    "timeout": (StreamTimeout, openai.APITimeoutError),
    "connection lost": (StreamDisconnected, openai.APIConnectionError),
    "no JSON": (MalformedChunkError, json.JSONDecodeError),
    "error of the provider": (ProviderError, openai.APIError),
}


def _kind_of(error: Exception | None) -> str | None:
    """Say what an exception of the client or of the SDK means; the first kind counts, for some are others, too."""
    kinds = [kind for kind, classes in KINDS.items() if isinstance(error, classes)]
    return kinds[0] if kinds else None if error is None else repr(error)


def test_a_stream_that_is_garbage_collected_has_left(mock_stream_server: MockStreamServer) -> None:
    mock_stream_server.respond("one ", LONG, "two")

    def drop() -> None:
        stream = openai.OpenAI().chat.completions.create(model="m", messages=MESSAGES, stream=True)
        next(stream)

    drop()
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):  # Python's own, of the socket
        collect()

    assert mock_stream_server.requests[0].state == "closed"
