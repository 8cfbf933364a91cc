"""The fault table, cell by cell: what each fault of a script looks like to the consumer of each SDK.

A cell is what the consumer got (text and finish reason), or the exception and its cause. ``{http}`` stands for the HTTP
library that carries the SDK.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import virtual
from sdk_talks import LITELLM_WARNS, RETRYING, TALKS, Talk, outcome

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    HTTPError,
    KeepAlive,
    Malformed,
    MockStreamSDK,
    Stall,
    Truncate,
)

# google-genai makes a class of its own from aiohttp's session.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
    *LITELLM_WARNS,
]

#: openai before 3.14 (`Talk.wraps`), which lets the errors of its HTTP library through once a stream has begun
BARE_OPENAI = ("bare openai",)
OPENAI = ("openai chat", "openai responses", "openai responses helper")
ANTHROPIC = ("anthropic", "anthropic helper")
GOOGLE = ("google-genai", "google-genai sync")
LITELLM = ("litellm openai", "litellm anthropic")

_UNKNOWN = "google.UnknownApiResponseError <- json.JSONDecodeError"
_LITELLM_BROKEN = "litellm.MidStreamFallbackError <- "

#: fault -> (steps, settings of the script, SDKs -> outcome; the SDKs named first count)
TABLE: dict[str, tuple[tuple[Any, ...], dict[str, Any], dict[tuple[str, ...], str]]] = {
    "one byte at a time": (("é😀 two",), {"fragment": "byte"}, {(): "'é😀 two' {stop}"}),
    "random cuts": (("é😀 two",), {"fragment": "random"}, {(): "'é😀 two' {stop}"}),
    "line ends CR LF": (("é😀 two",), {"line_ending": "\r\n"}, {(): "'é😀 two' {stop}"}),
    "pings between frames": (("one two",), {"between": "ping"}, {(): "'one two' {stop}"}),
    "keep-alives": (("one ", KeepAlive(), "two"), {}, {(): "'one two' {stop}"}),
    "comments between frames": (
        ("one two",),
        {"between": "comment"},
        {GOOGLE: _UNKNOWN, ("ollama",): "json.JSONDecodeError", (): "'one two' {stop}"},
    ),
    "empty data": (
        ("one ", Malformed(""), "two"),
        {},
        {
            ("litellm openai",): _LITELLM_BROKEN + "json.JSONDecodeError",
            ("litellm anthropic",): "'one two' {stop}",
            ANTHROPIC: "'one two' {stop}",
            GOOGLE: _UNKNOWN,
            (): "json.JSONDecodeError",
        },
    ),
    "malformed JSON": (
        ("one ", Malformed()),
        {},
        {
            ("litellm openai",): _LITELLM_BROKEN + "json.JSONDecodeError",
            ("litellm anthropic",): _LITELLM_BROKEN + "builtins.StopAsyncIteration",
            GOOGLE: _UNKNOWN,
            (): "json.JSONDecodeError",
        },
    ),
    "clean end in mid-stream": (
        ("one ", Truncate()),
        {},
        {
            LITELLM: _LITELLM_BROKEN + "builtins.StopAsyncIteration",
            ("openai responses helper",): "builtins.RuntimeError",
            (): "'one ' None",
        },
    ),
    "clean end inside a frame": (
        ("one ", Truncate(inside_frame=True)),
        {},
        {
            LITELLM: _LITELLM_BROKEN + "builtins.StopAsyncIteration",
            ("openai responses helper",): "builtins.RuntimeError",
            GOOGLE: _UNKNOWN,
            ("ollama",): "json.JSONDecodeError",
            (): "'one ' None",
        },
    ),
    "empty body": (
        (Truncate(),),
        {},
        {
            LITELLM: "'' {stop}",
            ("openai responses helper",): "builtins.RuntimeError",
            ("anthropic helper",): "builtins.AssertionError",
            (): "'' None",
        },
    ),
    "page of HTML with status 200": (
        (Malformed("<html>busy</html>", framed=False), Truncate()),
        {},
        {
            ("openai responses helper",): "builtins.RuntimeError",
            ("anthropic helper",): "builtins.AssertionError",
            GOOGLE: _UNKNOWN,
            ("ollama",): "json.JSONDecodeError",
            LITELLM: "'' {stop}",
            (): "'' None",
        },
    ),
    "error of JSON with status 200": (
        (Malformed('{"error": {"message": "busy"}}', framed=False), Truncate()),
        {},
        {
            ("openai responses helper",): "builtins.RuntimeError",
            ("anthropic helper",): "builtins.AssertionError",
            (*GOOGLE, "ollama"): "builtins.TypeError",
            LITELLM: "'' {stop}",
            (): "'' None",
        },
    ),
    "cut": (
        ("one ", Disconnect(how="cut")),
        {},
        {
            LITELLM: _LITELLM_BROKEN + "httpx.ReadError",
            BARE_OPENAI: "{http}.RemoteProtocolError <- {core}.RemoteProtocolError",
            OPENAI: "openai.APIConnectionError <- {http}.RemoteProtocolError",
            ("google-genai",): "aiohttp.ClientPayloadError <- aiohttp.TransferEncodingError",
            (): "{http}.RemoteProtocolError <- {core}.RemoteProtocolError",
        },
    ),
    "reset": (
        ("one ", Disconnect()),
        {},
        {
            LITELLM: _LITELLM_BROKEN + "httpx.ReadError",
            BARE_OPENAI: "{http}.ReadError <- {core}.ReadError",
            OPENAI: "openai.APIConnectionError <- {http}.ReadError",
            ("google-genai",): "aiohttp.ClientPayloadError <- aiohttp.TransferEncodingError",
            (): "{http}.ReadError <- {core}.ReadError",
        },
    ),
    "cut before the status": (
        (Disconnect(how="cut"),),
        {},
        {
            ("litellm openai",): "litellm.InternalServerError <- litellm.OpenAIError",
            ("litellm anthropic",): "litellm.InternalServerError <- litellm.AnthropicError",
            OPENAI: "openai.APIConnectionError <- {http}.RemoteProtocolError",
            ANTHROPIC: "anthropic.APIConnectionError <- {http}.RemoteProtocolError",
            ("google-genai",): "aiohttp.ServerDisconnectedError <- aiohttp.ServerDisconnectedError",
            (): "{http}.RemoteProtocolError <- {core}.RemoteProtocolError",
        },
    ),
    "reset before the status": (
        (Disconnect(),),
        {},
        {
            ("litellm openai",): "litellm.InternalServerError <- litellm.OpenAIError",
            ("litellm anthropic",): "litellm.InternalServerError <- litellm.AnthropicError",
            OPENAI: "openai.APIConnectionError <- {http}.ReadError",
            ANTHROPIC: "anthropic.APIConnectionError <- {http}.ReadError",
            ("google-genai",): "aiohttp.ClientOSError <- builtins.ConnectionResetError",
            (): "{http}.ReadError <- {core}.ReadError",
        },
    ),
    "error event": (
        ("one ", ErrorEvent("boom")),
        {},
        {
            ("litellm openai",): _LITELLM_BROKEN + "openai.APIError",
            ("litellm anthropic",): _LITELLM_BROKEN + "litellm.AnthropicError",
            ("openai chat",): "openai.APIError",
            ("openai responses",): "'one ' error event",
            ("openai responses helper",): "builtins.RuntimeError",
            ANTHROPIC: "anthropic.APIStatusError",
            GOOGLE: "google.ServerError",
            ("ollama",): "ollama.ResponseError",
        },
    ),
    "silence": (
        ("one ", Stall()),
        {},
        {
            LITELLM: _LITELLM_BROKEN + "httpx.ReadTimeout",
            BARE_OPENAI: "{http}.ReadTimeout <- {core}.ReadTimeout",
            OPENAI: "openai.APITimeoutError <- {http}.ReadTimeout",
            ("google-genai",): "builtins.TimeoutError <- asyncio.CancelledError",
            (): "{http}.ReadTimeout <- {core}.ReadTimeout",
        },
    ),
    "429": (
        (HTTPError(429),),
        {},
        {
            ("litellm openai",): "litellm.RateLimitError <- litellm.OpenAIError",
            ("litellm anthropic",): "litellm.RateLimitError <- litellm.AnthropicError",
            OPENAI: "openai.RateLimitError",
            ANTHROPIC: "anthropic.RateLimitError",
            GOOGLE: "google.ClientError",
            ("ollama",): "ollama.ResponseError",
        },
    ),
    "500": (
        (HTTPError(500),),
        {},
        {
            ("litellm openai",): "litellm.InternalServerError <- litellm.OpenAIError",
            ("litellm anthropic",): "litellm.InternalServerError <- litellm.AnthropicError",
            OPENAI: "openai.InternalServerError",
            ANTHROPIC: "anthropic.InternalServerError",
            GOOGLE: "google.ServerError",
            ("ollama",): "ollama.ResponseError",
        },
    ),
    "529": (
        (HTTPError(529),),
        {},
        {
            ("litellm openai",): "litellm.APIError <- litellm.OpenAIError",
            ("litellm anthropic",): "litellm.InternalServerError <- litellm.AnthropicError",
            OPENAI: "openai.InternalServerError",
            ANTHROPIC: "anthropic.OverloadedError",
            GOOGLE: "google.ServerError",
            ("ollama",): "ollama.ResponseError",
        },
    ),
}
_STOP = {
    "openai responses": "completed",
    "openai responses helper": "completed",
    "anthropic": "end_turn",
    "anthropic helper": "end_turn",
    "google-genai": "STOP",
    "google-genai sync": "STOP",
}
#: A sync consumer waits in real time.
_WAITS = {("silence", "google-genai sync")}


def _cells() -> list[Any]:
    return [
        pytest.param(fault, talk, id=f"{fault}-{talk}")
        for fault in TABLE
        for talk in TALKS
        if (fault, talk.name) not in _WAITS
    ]


def _expected(fault: str, talk: Talk) -> str:
    cells = TABLE[fault][2]
    names = {talk.name} | (set() if talk.wraps else set(BARE_OPENAI))
    cell = next(cell for sdks, cell in cells.items() if names.intersection(sdks) or not sdks)
    core = talk.wire.replace("httpx", "httpcore")
    return cell.format(http=talk.wire, core=core, stop=_STOP.get(talk.name, "stop"))


@pytest.mark.parametrize(("fault", "talk"), _cells())
def test_fault_looks_as_in_the_table(fault: str, talk: Talk, mock_stream_sdk: MockStreamSDK) -> None:
    steps, settings, _ = TABLE[fault]
    mock_stream_sdk.respond(*steps, times=None, **settings)

    got = virtual.run(outcome(talk))

    assert got == _expected(fault, talk)


#: One fault of each kind, and what the ledger says of it unless the SDK decides otherwise.
_STATES = {
    "line ends CR LF": "exhausted",
    "malformed JSON": "closed",  # garbage breaks the consumer, not the stream
    "clean end in mid-stream": "broken",
    "reset": "broken",
    "error event": "broken",
    "silence": "broken",
    "429": "broken",
}
_OTHER_STATES = {
    ("malformed JSON", "litellm openai"): "exhausted",  # so does it here
    ("malformed JSON", "litellm anthropic"): "exhausted",
    ("malformed JSON", "google-genai"): "exhausted",  # aiohttp reads on to the end, which is near
    ("silence", "google-genai"): "closed",  # its timeout is for the whole request: it cancels itself
}


@pytest.mark.parametrize(("fault", "talk"), [cell for cell in _cells() if cell.values[0] in _STATES])
def test_ledger_knows_how_each_stream_ended(fault: str, talk: Talk, mock_stream_sdk: MockStreamSDK) -> None:
    steps, settings, _ = TABLE[fault]
    mock_stream_sdk.respond(*steps, times=None, **settings)

    virtual.run(outcome(talk))

    expected = _OTHER_STATES.get((fault, talk.name), _STATES[fault])
    assert {request.state for request in mock_stream_sdk.requests} == {expected}


@pytest.mark.parametrize("sdk", RETRYING)
@pytest.mark.parametrize(
    ("fault", "requests"),
    [
        ("429", 3),
        ("500", 3),
        ("529", 3),
        ("reset before the status", 3),
        ("cut before the status", 3),
        ("reset", 1),
        ("cut", 1),
        ("silence", 1),
        ("error event", 1),
        ("malformed JSON", 1),
        ("clean end in mid-stream", 1),
        ("error of JSON with status 200", 1),
    ],
)
def test_only_what_breaks_before_the_first_byte_is_tried_again(
    fault: str, requests: int, sdk: str, mock_stream_sdk: MockStreamSDK
) -> None:
    steps, settings, _ = TABLE[fault]
    mock_stream_sdk.respond(*steps, times=None, **settings)

    async def ask() -> None:
        with contextlib.suppress(Exception):
            await RETRYING[sdk](max_retries=2)

    virtual.run(ask())

    assert len(mock_stream_sdk.requests) == requests
    assert {request.state for request in mock_stream_sdk.requests} <= {"broken", "closed"}
