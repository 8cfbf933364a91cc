"""Bedrock through its real SDKs, in process and over HTTP: what they read, what faults look like, how they leave."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Any

import pytest
from bedrock_talks import (
    HI,
    MODEL,
    TALKS,
    Said,
    Talk,
    aioboto3_client,
    aioboto3_converse_stream,
    boto3_client,
    outcome,
)

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    Gate,
    HTTPError,
    KeepAlive,
    Malformed,
    MockStreamSDK,
    Reasoning,
    Stall,
    Text,
    ToolCall,
    Truncate,
    Usage,
    sweep_cancellation,
    sweep_faults,
)

pytest.importorskip("boto3")
pytest.importorskip("aioboto3")
pytest.importorskip("anthropic")

DOORS = ("sdk", "server")
USAGE = Usage(prompt_tokens=2, completion_tokens=3)


@pytest.fixture
def door(request: pytest.FixtureRequest) -> Any:
    """Is the door of this name."""
    return request.getfixturevalue(f"mock_stream_{request.param}")


def cell(talk: Talk, door: str, *values: Any, slow: bool = False) -> Any:
    """Return a case of a test."""
    marks = [pytest.mark.slow] if slow else []
    return pytest.param(*values, talk, door, id="-".join([*map(str, values), str(talk), door]), marks=marks)


each_way = pytest.mark.parametrize(
    ("talk", "door"), [cell(talk, door) for door in DOORS for talk in TALKS], indirect=["door"]
)


@each_way
async def test_reply_is_read_whole(talk: Talk, door: Any) -> None:
    door.respond(Reasoning("hm hm"), "é😀 two", ToolCall("weather", {"city": "Paris"}), ToolCall("now"), usage=USAGE)

    said = await talk.ask(60, 0)

    calls = [("weather", {"city": "Paris"}), ("now", {})]
    assert said.parsed() == ("é😀 two", "hm hm", True, calls, "tool_use", (2, 3))
    (request,) = door.requests
    assert (request.provider, request.model, request.text, request.streaming) == ("bedrock", MODEL, "hi", talk.streams)
    assert request.state == "exhausted"
    assert request.chunks_sent == request.chunk_count
    assert request.headers["authorization"] == "[redacted]"


# Faults.

_CUT = {
    "urllib3": "urllib3.ProtocolError",
    "aiohttp": "aiohttp.ClientPayloadError <- aiohttp.TransferEncodingError",
    "httpx2": "httpx2.RemoteProtocolError <- httpcore2.RemoteProtocolError",
}
_RESET = _CUT | {
    "urllib3": "urllib3.ProtocolError <- builtins.ConnectionResetError",
    "httpx2": "httpx2.ReadError <- httpcore2.ReadError",
}
_CUT_AT_ONCE = {
    "urllib3": "botocore.ConnectionClosedError <- urllib3.ProtocolError",
    "aiohttp": "botocore.ConnectionClosedError <- aiohttp.ServerDisconnectedError",
    "httpx2": "anthropic.APIConnectionError <- httpx2.RemoteProtocolError",
}
_RESET_AT_ONCE = _CUT_AT_ONCE | {
    "aiohttp": "botocore.EndpointConnectionError <- aiohttp.ClientOSError",
    "httpx2": "anthropic.APIConnectionError <- httpx2.ReadError",
}
_SILENCE = {
    "urllib3": "urllib3.ReadTimeoutError <- builtins.TimeoutError",
    "aiohttp": "aiohttp.SocketTimeoutError",
    "httpx2": "httpx2.ReadTimeout <- httpcore2.ReadTimeout",
}


def _raised(by_botocore: str, by_anthropic: str) -> dict[str, str]:
    return dict.fromkeys(("urllib3", "aiohttp"), by_botocore) | {"httpx2": by_anthropic}


#: Fault -> (steps, settings of the script, what a reader of the stream gets: for each HTTP library, or for all)
FAULTS: dict[str, tuple[tuple[Any, ...], dict[str, Any], str | dict[str, str]]] = {
    "one byte at a time": (("é😀 two",), {"fragment": "byte"}, "'é😀 two' end_turn"),
    "random cuts": (("é😀 two",), {"fragment": "random", "seed": 1}, "'é😀 two' end_turn"),
    "pings between frames": (("one two",), {"between": "ping"}, "'one two' end_turn"),
    "comments between frames": (("one two",), {"between": "comment"}, "'one two' end_turn"),
    "line ends": (("one two",), {"line_ending": "\r\n"}, "'one two' end_turn"),
    "keep-alives": (("one ", KeepAlive(), "two"), {}, "'one two' end_turn"),
    "duplicates": (("one ",), {"duplicate": 1}, "'one one ' end_turn"),
    "wrong CRC": (("one ", Malformed(), "two"), {}, "botocore.ChecksumMismatch"),
    "page of HTML with status 200": (
        (Malformed("<html>busy</html>", framed=False), Truncate()),
        {},
        "botocore.ChecksumMismatch",
    ),
    "clean end in mid-stream": (("one ", Truncate()), {}, "'one ' None"),
    "clean end inside a frame": (("one ", Truncate(inside_frame=True)), {}, "'one ' None"),
    "empty body": ((Truncate(),), {}, "'' None"),
    "cut": (("one ", Disconnect(how="cut")), {}, _CUT),
    "cut inside a frame": (("one ", Disconnect(how="cut", inside_frame=True)), {}, _CUT),
    "reset": (("one ", Disconnect()), {}, _RESET),
    "cut before the status": ((Disconnect(how="cut"),), {}, _CUT_AT_ONCE),
    "reset before the status": ((Disconnect(),), {}, _RESET_AT_ONCE),
    "silence": (("one ", Stall()), {}, _SILENCE),
    "error in the stream": (
        ("one ", ErrorEvent("boom")),
        {},
        _raised("botocore.EventStreamError", "anthropic.APIStatusError"),
    ),
    "error that the service does not know": (
        ("one ", ErrorEvent("boom", type="overloaded_error")),
        {},
        _raised("botocore.EventStreamError", "anthropic.APIStatusError"),
    ),
    "400": ((HTTPError(400),), {}, _raised("botocore.ValidationException", "anthropic.BadRequestError")),
    "424": ((HTTPError(424),), {}, _raised("botocore.ModelErrorException", "anthropic.APIStatusError")),
    "429": ((HTTPError(429),), {}, _raised("botocore.ThrottlingException", "anthropic.RateLimitError")),
    "500": ((HTTPError(500),), {}, _raised("botocore.InternalServerException", "anthropic.InternalServerError")),
    "503": (
        (HTTPError(503),),
        {},
        _raised("botocore.ServiceUnavailableException", "anthropic.ServiceUnavailableError"),
    ),
}
#: What is read raw: the helper of anthropic's own looks at the end of a stream, too.
RAW = [talk for talk in TALKS if talk.streams and "helper" not in talk.name]
#: One of each kind with the others' SDKs, and all with the one whose clients are made most quickly: the rest is slow.
_OF_EACH_KIND = {"wrong CRC", "cut", "error in the stream", "429"}
_SHOWN = {("boto3 converse_stream", "server"), ("aioboto3 converse_stream", "sdk")}


def _is_slow(fault: str, talk: Talk, door: str) -> bool:
    way = talk.name, door
    return way != ("AsyncAnthropicBedrock", "sdk") and not (way in _SHOWN and fault in _OF_EACH_KIND)


def _cells() -> list[Any]:
    return [
        cell(talk, door, fault, slow=_is_slow(fault, talk, door)) for fault in FAULTS for talk in RAW for door in DOORS
    ]


@pytest.mark.parametrize(("fault", "talk", "door"), _cells(), indirect=["door"])
async def test_fault_looks_the_same_in_process_and_over_http(fault: str, talk: Talk, door: Any) -> None:
    steps, settings, expected = FAULTS[fault]
    door.respond(*steps, times=None, **settings)

    got = await outcome(talk, 0.3 if fault == "silence" else 60)

    assert got == (expected if isinstance(expected, str) else expected[talk.wire])
    assert len(door.requests) == 1


@pytest.mark.parametrize(
    ("talk", "door"), [cell(talk, door) for door in DOORS for talk in TALKS if not talk.streams], indirect=["door"]
)
async def test_error_of_a_whole_reply_has_its_type_and_message(talk: Talk, door: Any) -> None:
    door.respond(ErrorEvent("slow down", type="throttlingException"))

    with pytest.raises(Exception, match="slow down") as caught:
        await talk.ask(60, 0)

    status = getattr(caught.value, "status_code", None) or caught.value.response["ResponseMetadata"]["HTTPStatusCode"]  # type: ignore[attr-defined] # of one of two SDKs
    assert status == 429
    assert "ThrottlingException" in str(caught.value)


@pytest.mark.slow  # the SDKs sleep before they try again
@pytest.mark.parametrize(("talk", "door"), [cell(talk, door) for door in DOORS for talk in TALKS], indirect=["door"])
async def test_what_breaks_before_the_first_byte_is_tried_again(talk: Talk, door: Any) -> None:
    door.respond(HTTPError(503))
    door.respond("Paris.")

    assert await outcome(talk, retries=2) == "'Paris.' end_turn"

    assert [request.state for request in door.requests] == ["broken", "exhausted"]


def test_exception_in_a_stream_tells_its_type(mock_stream_server: Any) -> None:
    from botocore.exceptions import EventStreamError

    mock_stream_server.respond("one ", ErrorEvent("slow down", type="ThrottlingException"))

    with (
        closing(boto3_client()) as client,
        closing(client.converse_stream(modelId=MODEL, messages=HI)["stream"]) as stream,
        pytest.raises(EventStreamError) as caught,
    ):
        list(stream)

    assert caught.value.response["Error"] == {"Code": "throttlingException", "Message": "slow down"}


# Leaving.


async def test_chunks_come_one_by_one(mock_stream_sdk: MockStreamSDK) -> None:
    gate = Gate()
    mock_stream_sdk.respond("Paris ", gate, "is lovely.")
    said = Said()

    async def ask() -> None:
        async with aioboto3_client() as client:
            stream = (await client.converse_stream(modelId=MODEL, messages=HI))["stream"]
            with closing(stream):
                async for event in stream:
                    said.add(event)

    async with asyncio.TaskGroup() as group:
        group.create_task(ask())
        await gate.reached()
        early = said.text
        gate.open()

    assert (early, said.text) == ("Paris ", "Paris is lovely.")


@pytest.mark.parametrize("door", DOORS, indirect=True)
async def test_event_stream_of_aioboto3_that_is_closed_early_is_closed(door: Any) -> None:
    door.respond(Text(list("abcdefgh")), Stall())

    async with aioboto3_client() as client:
        stream = (await client.converse_stream(modelId=MODEL, messages=HI))["stream"]
        (request,) = door.requests
        with closing(stream):
            async for event in stream:
                if "contentBlockDelta" in event:
                    break
            with pytest.raises(AssertionError, match="is still open"):
                request.assert_closed()

    await request.aassert_closed(within=60)
    assert request.state == "closed"


async def test_event_stream_that_is_open_is_told_with_its_remedy(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("one ", Stall())

    async with aioboto3_client() as client:
        with closing((await client.converse_stream(modelId=MODEL, messages=HI))["stream"]):
            (request,) = mock_stream_sdk.requests
            with pytest.raises(AssertionError, match="With aioboto3, close the event stream in a `finally`"):
                request.assert_closed()


@pytest.mark.parametrize(("talk", "door"), [cell(TALKS[0], door) for door in DOORS], indirect=["door"])
def test_event_stream_of_boto3_that_is_closed_early_is_closed(talk: Talk, door: Any) -> None:
    door.respond(Text(list("abcdefgh")), Stall())

    with (
        closing(boto3_client()) as client,
        closing(client.converse_stream(modelId=MODEL, messages=HI)["stream"]) as stream,
    ):
        next(event for event in stream if "contentBlockDelta" in event)

    (request,) = door.requests
    request.assert_closed(within=60)
    assert request.state == "closed"


async def test_task_that_is_cancelled_closes_its_stream(mock_stream_sdk: MockStreamSDK) -> None:
    gate = Gate()
    mock_stream_sdk.respond("one ", gate, "two")

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(aioboto3_converse_stream(60, 0))
        await gate.reached()
        asking.cancel()

    mock_stream_sdk.requests[0].assert_closed(after_chunk=1)


@pytest.mark.slow
async def test_sweeps_go_through_every_chunk(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("one ", "two", times=None)

    async def ask() -> str:
        said = await aioboto3_converse_stream(60, 0)
        if said.finish is None:
            raise RuntimeError("the stream ended too early")
        return said.text

    cancelled = await sweep_cancellation(ask)
    broken = await sweep_faults(ask, mock_stream_sdk, faults=[Truncate, Disconnect, ErrorEvent, Malformed])

    assert cancelled.points > 3
    assert broken.points == 4 * 3
    assert broken.steady


# What is recorded.


@pytest.mark.parametrize("door", DOORS, indirect=True)
async def test_no_credential_of_aws_is_shown(door: Any) -> None:
    secret, token, key = (
        "wJalrXUtnFEMIbPxRfiCYzZzZEXAMPLEKEYabcde",
        "FQoGZXIvYXdzEXAMPLEtoken1234567890",
        "ASIAIOSFODNN7EXAMPLE",
    )
    made: dict[str, Any] = {"aws_access_key_id": key, "aws_secret_access_key": secret, "aws_session_token": token}

    async with aioboto3_client(**made) as client:
        await client.converse(modelId=MODEL, messages=HI)

    (request,) = door.requests
    assert request.headers["authorization"] == request.headers["x-amz-security-token"] == "[redacted]"
    assert request.raw_headers["x-amz-security-token"] == token
    signature = request.raw_headers["authorization"].rpartition("Signature=")[2]
    shown = repr(door.requests) + repr(request.headers) + str(request)
    assert not [one for one in (secret, token, key, signature) if one in shown]


@pytest.mark.mockstream(unused="allow")
def test_script_is_chosen_by_provider(mock_stream_server: Any) -> None:
    mock_stream_server.when(provider="openai").respond("no", times=None)
    mock_stream_server.when(provider="bedrock").respond("yes")

    with closing(boto3_client()) as client:
        assert Said.of_converse(client.converse(modelId=MODEL, messages=HI)).text == "yes"


def test_tokens_are_counted(mock_stream_server: Any) -> None:
    with closing(boto3_client()) as client:
        counted = client.count_tokens(modelId=MODEL, input={"converse": {"messages": HI}})

    assert counted["inputTokens"] == 1
