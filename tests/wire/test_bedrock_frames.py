"""Bedrock's bytes fit botocore's model of the service, and what a model says in them the model's own."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from aws_models import faults, faults_of_stream, messages, service
from door import Door
from hypothesis import given, settings
from pydantic import TypeAdapter
from scripts import expected, scripts
from test_frames_fit_sdk_models import unknown_fields

from pytest_mockstream import (
    ErrorEvent,
    HTTPError,
    KeepAlive,
    Malformed,
    Reasoning,
    Refusal,
    Script,
    ScriptError,
    Text,
    ToolCall,
    Usage,
)
from pytest_mockstream.wire.blocks import SIGNATURE

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": "hello there"}]}]}
CONVERSE = "/model/eu.anthropic.claude-sonnet-4-20250514-v1%3A0/converse"
STREAM = f"{CONVERSE}-stream"
CLAUDE = "/model/anthropic.claude-3-haiku-20240307-v1:0/invoke"
CLAUDE_ASK = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "hello there"}],
}
NOVA = "/model/us.amazon.nova-lite-v1:0/invoke"
ON = "-with-response-stream"
EVERYTHING = Script(Reasoning("so be it"), "text ", Refusal("no"), ToolCall("a", {"b": 1}), ToolCall("c"), times=None)
USAGE = Usage(prompt_tokens=2, completion_tokens=3)
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
METRICS = "amazon-bedrock-invocationMetrics"


def chunks(body: bytes) -> list[Any]:
    """Return what the model says in the chunks of a stream of InvokeModel."""
    assert list(faults_of_stream(body, "ResponseStream")) == []
    return [json.loads(base64.b64decode(said["bytes"])) for _, _, said in messages(body)]


def joined(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the events of Converse together, as its consumers do."""
    blocks: dict[int, dict[str, Any]] = {}
    told: dict[str, Any] = {}
    for event in events:
        ((name, said),) = event.items()
        index = said.get("contentBlockIndex", -1)
        if name == "contentBlockStart":
            blocks[index] = {"name": said["start"]["toolUse"]["name"], "input": ""}
        elif name == "contentBlockDelta":
            ((kind, delta),) = said["delta"].items()
            block = blocks.setdefault(index, {"kind": kind, "text": "", "signature": ""})
            if kind == "toolUse":
                block["input"] += delta["input"]
            else:
                ((part, text),) = ({"text": delta} if kind == "text" else delta).items()
                block[part] += text
        elif name != "contentBlockStop":
            told |= said
    return told | {"blocks": list(blocks.values())}


@settings(max_examples=25)
@given(script=scripts())
def test_every_frame_of_converse_is_an_event_of_the_service(script: Script) -> None:
    body = Door(script).body(STREAM, ASK)

    assert list(faults_of_stream(body, "ConverseStreamOutput")) == []
    told = joined([{name: said} for _, name, said in messages(body)])
    blocks, usage = told["blocks"], told["usage"]
    said = expected(script, told["stopReason"])
    assert "".join(block["text"] for block in blocks if block.get("kind") == "text") == said.text
    assert "".join(block["text"] for block in blocks if block.get("kind") == "reasoningContent") == said.reasoning
    assert all(block["signature"] for block in blocks if block.get("kind") == "reasoningContent")
    assert tuple((block["name"], json.loads(block["input"])) for block in blocks if "name" in block) == said.calls
    assert script.usage is not None
    assert usage["inputTokens"], usage["outputTokens"] == (script.usage.prompt_tokens, script.usage.completion_tokens)


@settings(max_examples=25)
@given(script=scripts())
def test_every_chunk_of_anthropic_by_way_of_bedrock_is_an_event_of_the_sdk(script: Script) -> None:
    said = chunks(Door(script).body(CLAUDE + ON, CLAUDE_ASK))

    events = [EVENT.validate_python(one) for one in said]

    assert {field for event in events for field in unknown_fields(event)} == {f".{METRICS}"}
    assert METRICS in said[-1]


def test_stream_of_nova_has_the_events_of_converse_in_its_chunks() -> None:
    script = Script(Reasoning("so be it"), "text ", ToolCall("a", {"b": 1}), times=2)

    chunked = chunks(Door(script).body(NOVA + ON, ASK))
    events = [{name: said} for _, name, said in messages(Door(script).body(STREAM, ASK))]

    assert chunked[:-1] == events[:-1]
    assert METRICS in chunked[-1]
    assert chunked[-1]["metadata"]["usage"] == events[-1]["metadata"]["usage"]


@pytest.mark.parametrize("finish", ["stop", "length", "tool_calls", "content_filter", "guardrail_intervened"])
def test_whole_body_of_converse_fits_the_service(finish: str) -> None:
    script = Script(*EVERYTHING.steps, finish_reason=finish)

    whole = json.loads(Door(script).body(CONVERSE, ASK))

    assert list(faults(whole, service().shape_for("ConverseResponse"), "")) == []
    reasoning, text, first, second = whole["output"]["message"]["content"]
    assert reasoning["reasoningContent"]["reasoningText"]["text"] == "so be it"
    assert text == {"text": "text no"}
    assert [call["toolUse"]["input"] for call in (first, second)] == [{"b": 1}, {}]


SEALED = Script(
    Reasoning("a b", signature="s1"),
    Reasoning("c", signature="s2"),
    Reasoning("d", signature=False),
    Reasoning("xyz", redacted=True),
    Reasoning("", signature="s3"),
    Reasoning("e"),
    "f",
    times=None,
)


def test_reasoning_is_signed_redacted_and_repeated_in_the_stream() -> None:
    body = Door(SEALED).body(STREAM, ASK)

    assert list(faults_of_stream(body, "ConverseStreamOutput")) == []
    blocks: dict[int, list[Any]] = {}
    stopped: list[int] = []
    for _, name, said in messages(body):
        if name == "contentBlockDelta":
            blocks.setdefault(said["contentBlockIndex"], []).append(said["delta"].get("reasoningContent"))
        elif name == "contentBlockStop":
            stopped.append(said["contentBlockIndex"])
    assert list(blocks.values()) == [
        [{"text": "a "}, {"text": "b"}, {"signature": "s1"}],
        [{"text": "c"}, {"signature": "s2"}],
        [{"text": "d"}],
        [{"redactedContent": base64.b64encode(b"xyz").decode()}],
        [{"text": ""}, {"signature": "s3"}],
        [{"text": "e"}, {"signature": SIGNATURE}],
        [None],
    ]
    assert stopped == list(blocks) == list(range(7))


@pytest.mark.parametrize("path", [CONVERSE, NOVA])
def test_reasoning_is_signed_redacted_and_repeated_where_nothing_is_streamed(path: str) -> None:
    whole = json.loads(Door(SEALED).body(path, ASK))

    assert path == NOVA or list(faults(whole, service().shape_for("ConverseResponse"), "")) == []
    *sealed, text = whole["output"]["message"]["content"]
    assert [block["reasoningContent"] for block in sealed] == [
        {"reasoningText": {"text": "a b", "signature": "s1"}},
        {"reasoningText": {"text": "c", "signature": "s2"}},
        {"reasoningText": {"text": "d"}},
        {"redactedContent": base64.b64encode(b"xyz").decode()},
        {"reasoningText": {"text": "", "signature": "s3"}},
        {"reasoningText": {"text": "e", "signature": SIGNATURE}},
    ]
    assert text == {"text": "f"}


def test_whole_body_of_anthropic_by_way_of_bedrock_fits_the_sdk() -> None:
    whole = Message.model_validate_json(Door(EVERYTHING).body(CLAUDE, CLAUDE_ASK))

    assert list(unknown_fields(whole)) == []
    assert [block.type for block in whole.content] == ["thinking", "text", "tool_use", "tool_use"]


@pytest.mark.parametrize("kind", [None, "ThrottlingException", "throttlingException", "validationException"])
def test_error_inside_a_stream_is_an_exception_of_the_service(kind: str | None) -> None:
    script = Script("so far ", ErrorEvent("no more", type=kind), times=None)

    for path, ask, stream in ((STREAM, ASK, "ConverseStreamOutput"), (CLAUDE + ON, CLAUDE_ASK, "ResponseStream")):
        body = Door(script).body(path, ask)

        assert list(faults_of_stream(body, stream)) == []
        name = "modelStreamErrorException" if kind is None else kind[0].lower() + kind[1:]
        assert messages(body)[-1] == ("exception", name, {"message": "no more"})


def test_error_inside_a_stream_that_the_service_does_not_know_is_one_without_a_type() -> None:
    body = Door(Script("so far ", ErrorEvent("no more", type="overloaded_error"))).body(STREAM, ASK)

    assert messages(body)[-1] == ("error", "overloaded_error", "no more")


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        (HTTPError(400), 400, "ValidationException"),
        (HTTPError(403), 403, "AccessDeniedException"),
        (HTTPError(404), 404, "ResourceNotFoundException"),
        (HTTPError(408), 408, "ModelTimeoutException"),
        (HTTPError(418), 418, "ValidationException"),
        (HTTPError(424), 424, "ModelErrorException"),
        (HTTPError(429), 429, "ThrottlingException"),
        (HTTPError(500), 500, "InternalServerException"),
        (HTTPError(503), 503, "ServiceUnavailableException"),
        (HTTPError(599), 599, "InternalServerException"),
        (ErrorEvent("busy"), 500, "InternalServerException"),
        (ErrorEvent("busy", type="throttlingException"), 429, "ThrottlingException"),
        (ErrorEvent("busy", type="ModelNotReadyException"), 429, "ModelNotReadyException"),
        (ErrorEvent("busy", type="ServiceQuotaExceededException"), 400, "ServiceQuotaExceededException"),
    ],
)
def test_http_error_has_its_type_in_header_and_body(fault: Any, status: int, kind: str) -> None:
    answered = Door(Script(fault)).ask("POST", f"https://localhost{CONVERSE}", {}, ASK)

    assert (answered.status, answered.headers["x-amzn-errortype"]) == (status, kind)
    body = json.loads(Door(Script(fault)).body(CONVERSE, ASK))
    assert body == {"__type": kind, "message": fault.message}


@pytest.mark.parametrize("kind", ["a\r\nset-cookie: b", "zuviel\u00e9"])
def test_type_that_is_no_header_stands_in_the_body_alone(kind: str) -> None:
    script = Script(ErrorEvent("no more", type=kind), times=None)

    answered = Door(script).ask("POST", f"https://localhost{CONVERSE}", {}, ASK)

    assert "x-amzn-errortype" not in answered.headers
    assert json.loads(Door(script).body(CONVERSE, ASK))["__type"] == kind


def test_every_error_that_the_operations_have_has_its_status() -> None:
    from pytest_mockstream.wire.formats.bedrock import CONVERSE

    operations = ("Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream", "CountTokens")
    shapes = {shape for name in operations for shape in service().operation_model(name).error_shapes}

    known = {shape.name: shape.metadata["error"]["httpStatusCode"] for shape in shapes}
    assert {name: CONVERSE.error_status.get(name) for name in known} == known


def test_answer_carries_the_headers_of_aws() -> None:
    def headers(path: str, ask: Any) -> dict[str, str]:
        return Door(Script("a b", usage=USAGE)).ask("POST", f"https://localhost{path}", {}, ask).headers

    counted = {"x-amzn-bedrock-input-token-count": "2", "x-amzn-bedrock-output-token-count": "3"}
    assert headers(CLAUDE, CLAUDE_ASK).items() >= counted.items()
    assert headers(CLAUDE + ON, CLAUDE_ASK)["x-amzn-bedrock-content-type"] == "application/json"
    assert headers(CLAUDE + ON, CLAUDE_ASK)["content-type"] == "application/vnd.amazon.eventstream"
    assert not counted.keys() & headers(CONVERSE, ASK).keys()
    assert all("x-amzn-requestid" in headers(path, ASK) for path in (CONVERSE, STREAM))


def test_counted_tokens_of_an_answer_are_those_of_the_default_usage() -> None:
    headers = Door(Script("a b c")).ask("POST", f"https://localhost{CLAUDE}", {}, CLAUDE_ASK).headers

    assert headers["x-amzn-bedrock-input-token-count"] == "2"
    assert headers["x-amzn-bedrock-output-token-count"] == "3"


@pytest.mark.parametrize("path", [STREAM, CLAUDE + ON])
@pytest.mark.parametrize("options", [{}, {"between": "ping"}, {"between": "comment"}])
def test_keep_alives_are_messages_that_are_passed_over(path: str, options: dict[str, Any]) -> None:
    ask = CLAUDE_ASK if path != STREAM else ASK
    body = Door(Script(KeepAlive(), "a ", KeepAlive(), "b", **options)).body(path, ask)
    plain = Door(Script("a ", "b")).body(path, ask)

    def said(body: bytes) -> list[Any]:
        return [one for one in messages(body) if one.name != "keepAlive" and not _is_ping(one)]

    assert len(messages(body)) > len(messages(plain))
    assert said(body) == said(plain)


def _is_ping(one: Any) -> bool:
    return one.name == "chunk" and bool(json.loads(base64.b64decode(one.said["bytes"])) == {"type": "ping"})


def test_duplicated_messages_come_twice() -> None:
    names = [name for _, name, _ in messages(Door(Script(Text(["a"]), duplicate=1)).body(STREAM, ASK))]

    assert names[::2] == names[1::2] != []


def test_garbage_is_a_message_with_a_wrong_crc_and_the_stream_goes_on() -> None:
    whole, plain = (Door(Script("one ", *garbage, "two")).body(STREAM, ASK) for garbage in ([Malformed("{")], []))

    sound: list[bytes] = []
    broken: list[bytes] = []
    for one in _split(whole):
        (sound if int.from_bytes(one[-4:]) == zlib.crc32(one[:-4]) else broken).append(one)

    assert b"".join(sound) == plain
    (garbage,) = broken
    assert garbage[-5:-4] == b"{"


def _split(body: bytes) -> Iterator[bytes]:
    """Yield the messages of a stream by their lengths."""
    while body:
        length = int.from_bytes(body[:4])
        yield body[:length]
        body = body[length:]


@pytest.mark.parametrize("path", [CONVERSE, CLAUDE, NOVA])
def test_broken_arguments_can_be_streamed_only(path: str) -> None:
    ask = CLAUDE_ASK if path == CLAUDE else ASK
    script = Script(ToolCall("a", "{broken"), times=None)
    whole, streamed = Door(script), Door(script)
    in_stream = path + ("-stream" if path == CONVERSE else ON)

    assert whole.post(path, ask).status == 400
    assert streamed.post(in_stream, ask).status == 200
    with pytest.raises(ScriptError, match="only its stream can send that"):
        whole.playbook.verify()
