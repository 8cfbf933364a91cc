"""What Bedrock's Converse and Nova say comes back as the script that says it."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from decoding_laws import Asked, Written, check_cuts, check_law, read, write
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    HTTPError,
    KeepAlive,
    Malformed,
    Reasoning,
    Refusal,
    Script,
    Stall,
    Text,
    ToolCall,
    Truncate,
    Usage,
)
from pytest_mockstream.recordings.composer import Composed
from pytest_mockstream.script.steps import End
from pytest_mockstream.wire import Event, Writer

BODY: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": "hello there"}]}]}
STREAMS = [
    Asked("/model/eu.anthropic.claude-sonnet-4-20250514-v1%3A0/converse-stream", BODY),
    Asked("/model/us.amazon.nova-lite-v1:0/invoke-with-response-stream", BODY),
]
BODIES = [
    Asked("/model/eu.anthropic.claude-sonnet-4-20250514-v1%3A0/converse", BODY),
    Asked("/model/us.amazon.nova-lite-v1:0/invoke", BODY),
]
NAMES = ["converse", "nova"]
CUTS = st.lists(st.integers(0, 200), max_size=20)

_TEXT = st.text(min_size=1, max_size=12)
_CALLS = st.builds(
    ToolCall,
    st.from_regex(r"[a-z_]{1,9}", fullmatch=True),
    st.dictionaries(_TEXT, st.integers() | _TEXT, max_size=2),
    fragments=st.sampled_from([None, "whole", "word", "char", 2]),
)
_BORDERS = st.sampled_from([False, False, True])
_THOUGHTS = st.builds(Reasoning, _TEXT, signature=st.sampled_from([None, False, "c2ln"]), new_block=_BORDERS)
# Whatever cannot be UTF-8 is a question mark in its bytes.
_REDACTED = st.builds(Reasoning, st.text(st.characters(codec="utf-8"), min_size=1, max_size=9), redacted=st.just(True))
_USAGE = st.builds(
    lambda plain, read, written, said: Usage(
        prompt_tokens=plain + read + written, completion_tokens=said, cached_tokens=read, cache_write_tokens=written
    ),
    *[st.integers(0, 99)] * 4,
)
SCRIPTS = st.builds(
    lambda steps, usage, chunking: Script(*steps, usage=usage, chunking=chunking, times=None),
    st.lists(st.builds(Text, _TEXT, new_block=_BORDERS) | _CALLS | _THOUGHTS | _REDACTED, max_size=5),
    _USAGE,
    st.sampled_from(["char", "word", 3]),
)


def heard(*events: tuple[str, Any]) -> Composed:
    """Return what is heard of Converse's events as AWS's pages show them."""
    return _heard([Event(json.dumps(said), name) for name, said in events], 0)


def heard_of_nova(*said: Any) -> Composed:
    return _heard([Event(json.dumps(one)) for one in said], 1)


def _heard(events: list[Event], number: int) -> Composed:
    writer = Writer("aws-chunks" if number else "aws")
    return read(STREAMS[number], Written(200, {}, [writer.frame(event) for event in events], "end"))


def heard_whole(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Composed:
    return read(BODIES[0], Written(status, headers or {}, [json.dumps(body).encode()], "end"))


# The signature that a script leaves open is made up, and then the bytes say it.


@pytest.mark.parametrize("asked", STREAMS, ids=NAMES)
@given(script=SCRIPTS, cuts=CUTS)
def test_streams(asked: Asked, script: Script, cuts: list[int]) -> None:
    check_law(script, asked, cuts, items_are_same=False)


@pytest.mark.parametrize("asked", BODIES, ids=NAMES)
@given(script=SCRIPTS)
def test_whole_replies(asked: Asked, script: Script) -> None:
    check_law(script, asked, chunks_are_same=False)


@pytest.mark.slow
@given(script=SCRIPTS, cuts=CUTS)
@settings(max_examples=500)
def test_many_more(script: Script, cuts: list[int]) -> None:
    for asked in STREAMS:
        check_law(script, asked, cuts, items_are_same=False)
    for asked in BODIES:
        check_law(script, asked, chunks_are_same=False)


CASES = [
    Script(),
    Script(Text(["", "a", ""]), usage=Usage(prompt_tokens=9, cached_tokens=4, cache_write_tokens=5)),
    Script(ToolCall("f", id="tooluse_1"), ToolCall("g", fragments=["", '{"b', "", '":2}'])),
    Script(ToolCall("f", "", fragments="whole"), ToolCall("g", '{"a": '), ToolCall("g", id="tooluse_2")),
    Script(Reasoning("a", signature=False), Reasoning("b", signature=False), Reasoning([], signature="s"), "x"),
    Script(Reasoning("a b", signature="s"), Truncate()),
    Script(Reasoning("a b"), Truncate()),
    Script(Reasoning("a b"), ErrorEvent()),
    Script(Reasoning("sealed", redacted=True), Reasoning("sealed, too", redacted=True), "x"),
    Script("x", finish_reason="guardrail_intervened"),
    Script("one ", Truncate()),
    Script(ToolCall("f", {"a": 1}), Truncate(inside_frame=True)),
    Script("one ", Disconnect()),
    Script("one ", Disconnect(how="cut", inside_frame=True)),
    Script(Disconnect()),
    Script("one ", Stall()),
    Script("one ", KeepAlive(), "two ", KeepAlive()),
    Script("one", End(), KeepAlive(), Disconnect()),
    Script("one ", ErrorEvent("too much", type="ThrottlingException")),
    Script("one ", ErrorEvent("what", type="Unheard of")),
    Script(ErrorEvent()),
    Script(HTTPError(429, message="slow down", retry_after=2)),
    Script(HTTPError(400, type="ServiceQuotaExceededException")),
]


@pytest.mark.parametrize("asked", STREAMS, ids=NAMES)
@pytest.mark.parametrize("script", CASES, ids=repr)
def test_steps_and_faults(script: Script, asked: Asked) -> None:
    check_law(script, asked, items_are_same=False)


@pytest.mark.parametrize("asked", STREAMS, ids=NAMES)
def test_every_cut(asked: Asked) -> None:
    check_cuts(Script(Reasoning("so"), "text ", KeepAlive(), ToolCall("f", {"a": "é"}), ErrorEvent("no")), asked)


@pytest.mark.parametrize("asked", BODIES, ids=NAMES)
@pytest.mark.parametrize(
    "script",
    [Script(HTTPError(404)), Script(ErrorEvent("no")), Script(Malformed()), Script("a", Truncate()), Script(Stall())],
    ids=repr,
)
def test_whole_replies_with_faults(script: Script, asked: Asked) -> None:
    check_law(script, asked, chunks_are_same=False)


@pytest.mark.parametrize("asked", STREAMS, ids=NAMES)
def test_refusal_is_text(asked: Asked) -> None:
    assert check_law(Script(Refusal("I will not.")), asked, chunks_are_same=False).steps == (
        Text(["I ", "will ", "not."]),
    )


@pytest.mark.parametrize("asked", STREAMS, ids=NAMES)
def test_frame_with_a_wrong_checksum_is_malformed(asked: Asked) -> None:
    found = read(asked, write(Script("one ", Malformed(), "two"), asked))

    assert [type(step) for step in found.steps] == [Text, Malformed, Text]


def test_stream_is_read_as_aws_documents_it() -> None:
    found = heard(
        ("messageStart", {"role": "assistant", "p": "abcdef"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "Well"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "c2ln"}}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockStart", {"contentBlockIndex": 1, "start": {}}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "Hi"}, "p": "abc"}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"citation": {"title": "t"}}}),
        ("contentBlockStop", {"contentBlockIndex": 1}),
        ("contentBlockStart", {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t1", "name": "now"}}}),
        ("contentBlockStop", {"contentBlockIndex": 2}),
        ("contentBlockStart", {"contentBlockIndex": 3, "start": {"toolUse": {"toolUseId": "t2", "name": "f"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 3, "delta": {"toolUse": {"input": '{"a":'}}}),
        ("contentBlockDelta", {"contentBlockIndex": 3, "delta": {"toolUse": {"input": "1}"}}}),
        ("contentBlockStop", {"contentBlockIndex": 3}),
        ("messageStop", {"stopReason": "tool_use", "additionalModelResponseFields": None}),
        (
            "metadata",
            {
                "usage": {
                    "inputTokens": 5,
                    "outputTokens": 7,
                    "totalTokens": 24,
                    "cacheReadInputTokens": 10,
                    "cacheWriteInputTokens": 2,
                },
                "metrics": {"latencyMs": 12},
                "trace": {"guardrail": {}},
            },
        ),
        ("somethingNew", {"stopReason": 5}),
    )

    assert found.steps == (
        Reasoning(["Well"], signature="c2ln"),
        Text(["Hi"]),
        ToolCall("now", "", id="t1", fragments="whole"),
        ToolCall("f", '{"a":1}', id="t2", fragments=['{"a":', "1}"]),
    )
    assert found.finish == "tool_use"
    assert found.usage == Usage(prompt_tokens=17, completion_tokens=7, cached_tokens=10, cache_write_tokens=2)
    assert found.lost == ()


def test_stream_of_nova_is_read_as_aws_documents_it() -> None:
    found = heard_of_nova(
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"delta": {"text": "Hi"}, "contentBlockIndex": 0}},
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
        {
            "metadata": {"usage": {"inputTokens": 5, "outputTokens": 7, "cacheReadInputTokenCount": 3}, "trace": {}},
            "amazon-bedrock-invocationMetrics": {"inputTokenCount": 99, "outputTokenCount": 99},
        },
    )

    assert (found.steps, found.finish) == ((Text(["Hi"]),), "end_turn")
    assert found.usage == Usage(prompt_tokens=8, completion_tokens=7, cached_tokens=3)


def test_tokens_that_bedrock_counted_stand_in_for_those_of_nova() -> None:
    found = heard_of_nova(
        {"messageStop": {"stopReason": "end_turn"}},
        {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 9, "outputTokenCount": 4}},
    )

    assert found.usage == Usage(prompt_tokens=9, completion_tokens=4)


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (
            Event('{"message":"slow","originalStatusCode":429}', "modelStreamErrorException", kind="exception"),
            ErrorEvent("slow", type="modelStreamErrorException"),
        ),
        (Event("{}", "throttlingException", kind="exception"), ErrorEvent("{}", type="throttlingException")),
        (Event("sorry", "InternalFailure", kind="error"), ErrorEvent("sorry", type="InternalFailure")),
    ],
)
@pytest.mark.parametrize("number", [0, 1], ids=NAMES)
def test_exceptions_end_a_stream(event: Event, error: ErrorEvent, number: int) -> None:
    assert _heard([event], number).steps == (error,)


def test_whole_reply_is_read_as_aws_documents_it() -> None:
    content = [
        {"reasoningContent": {"reasoningText": {"text": "Well", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": b64encode(b"sealed").decode()}},
        {"text": "Hi"},
        {"citationsContent": {"content": [{"text": " there"}], "citations": [{"title": "t"}]}},
        {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}},
        {"image": {"format": "png", "source": {}}},
    ]
    found = heard_whole(
        {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": "tool_use",
            "usage": {"inputTokens": 5, "outputTokens": 7},
            "metrics": {"latencyMs": 1},
        }
    )

    assert found.steps == (
        Reasoning(["Well"], signature="c2ln"),
        Reasoning("sealed", redacted=True),
        Text(["Hi"]),
        Text([" there"], new_block=True),
        ToolCall("f", {"a": 1}, id="t1", fragments="whole"),
    )
    assert (found.finish, found.usage) == ("tool_use", Usage(prompt_tokens=5, completion_tokens=7))


@pytest.mark.parametrize(
    ("body", "headers", "kind"),
    [
        ({"message": "no"}, {"x-amzn-errortype": "ThrottlingException:http://internal.amazon.com/x/"}, "Throttling"),
        ({"Message": "no"}, {"x-amzn-ErrorType": "AccessDeniedException"}, "AccessDenied"),
        ({"__type": "com.amazon.coral.service#ValidationException", "message": "no"}, {}, "Validation"),
    ],
)
def test_type_of_an_error_is_in_a_header_or_in_the_body(body: Any, headers: dict[str, str], kind: str) -> None:
    assert heard_whole(body, 400, headers).steps == (HTTPError(400, type=f"{kind}Exception", message="no"),)
