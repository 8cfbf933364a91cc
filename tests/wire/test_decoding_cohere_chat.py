"""What Cohere says comes back as the script that says it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from decoding_laws import Asked, Written, check_cuts, check_law, read, write
from door import HELLO
from hypothesis import given, settings
from hypothesis import strategies as st
from scripts import scripts

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

CHAT = Asked("/v2/chat", {"model": "command-a", "messages": HELLO, "stream": True})
WHOLE = Asked("/v2/chat", {"model": "command-a", "messages": HELLO})
CUTS = st.lists(st.integers(0, 90), max_size=20)


def heard(*events: Any) -> Composed:
    """Return what is heard of events as Cohere's pages show them."""
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    return read(CHAT, Written(200, {}, [body.encode()], "end"))


def heard_whole(body: Any) -> Composed:
    return read(WHOLE, Written(200, {}, [json.dumps(body).encode()], "end"))


@given(script=scripts(), cuts=CUTS)
def test_chat(script: Script, cuts: list[int]) -> None:
    check_law(script, CHAT, cuts)


@given(script=scripts(), cuts=CUTS)
def test_whole_chat(script: Script, cuts: list[int]) -> None:
    check_law(script, WHOLE, cuts, chunks_are_same=False)


@pytest.mark.slow
@given(script=scripts(), cuts=CUTS)
@settings(max_examples=500)
def test_many_more_chats(script: Script, cuts: list[int]) -> None:
    check_law(script, CHAT, cuts)
    check_law(script, WHOLE, cuts, chunks_are_same=False)


SCRIPTS = [
    Script(),
    Script(Text(["", "a", ""]), usage=Usage(prompt_tokens=9, completion_tokens=2, cached_tokens=4)),
    Script("plan ", ToolCall("f", {"a": 1}), ToolCall("g", fragments=["", '{"b', '":2}']), finish_reason="tool_calls"),
    Script(ToolCall("f", {"a": 1}, id="same"), ToolCall("f", {"a": 2}, id="same"), "and ", Reasoning("so on")),
    Script("a call that ", ToolCall("f", "{not json"), finish_reason="stop"),
    Script("one ", finish_reason="TIMEOUT"),
    Script("one ", Truncate()),
    Script("one ", Truncate(inside_frame=True)),
    Script(ToolCall("f", {"a": 1}), Truncate()),
    Script("one ", Disconnect()),
    Script("one ", Disconnect(how="cut", inside_frame=True)),
    Script(Disconnect()),
    Script("one ", Stall()),
    Script("one ", Malformed(), "two"),
    Script("one ", KeepAlive(), "two ", KeepAlive()),
    Script("one ", ErrorEvent("overloaded")),
    Script("one ", ErrorEvent("too slow", type="TIMEOUT")),
    Script("one", End(), Disconnect()),
    Script("one", End(), KeepAlive(), Malformed("?")),
    Script(HTTPError(429, message="slow down", retry_after=2, headers={"x-ratelimit-limit": "9"})),
    Script(HTTPError(500)),
]


@pytest.mark.parametrize("script", SCRIPTS, ids=repr)
def test_steps_and_faults(script: Script) -> None:
    check_law(script, CHAT)


def test_every_cut() -> None:
    check_cuts(Script("plan ", KeepAlive(), ToolCall("f", {"a": "é"}), Truncate(inside_frame=True)), CHAT)


@pytest.mark.parametrize(
    "script",
    [
        # What the wire does not tell: a refusal from text, a call in one piece from one whose first fragment is empty.
        Script(Refusal("I will not.")),
        Script(ToolCall("f", {"a": 1}, fragments="whole")),
    ],
    ids=repr,
)
def test_bytes_are_the_same_where_chunks_are_not(script: Script) -> None:
    check_law(script, CHAT, chunks_are_same=False)


@pytest.mark.parametrize("script", [script for script in SCRIPTS if not script.faults], ids=repr)
def test_whole_replies(script: Script) -> None:
    check_law(script, WHOLE, chunks_are_same=False)


@pytest.mark.parametrize(
    "script",
    [
        Script(Disconnect()),
        Script(HTTPError(404)),
        Script(ErrorEvent("no")),
        Script(Malformed()),
        Script("a ", Truncate()),
        Script("a ", Stall()),
    ],
    ids=repr,
)
def test_whole_replies_with_faults(script: Script) -> None:
    check_law(script, WHOLE, chunks_are_same=False)


def test_half_of_a_body_is_not_told() -> None:
    found = read(WHOLE, write(Script("a ", Disconnect()), WHOLE))

    assert found.steps == (Disconnect(inside_frame=True),)


def test_stream_of_a_rag_chat_is_read() -> None:
    found = heard(
        {"type": "message-start", "id": "2", "delta": {"message": {"role": "assistant", "content": []}}},
        {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Em"}}}, "logprobs": None},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "perors"}}}},
        {"type": "citation-start", "index": 0, "delta": {"message": {"citations": {"start": 0, "end": 8}}}},
        {"type": "citation-end", "index": 0},
        {"type": "content-end", "index": 0},
        {"type": "something-new", "delta": {"message": {"content": {"text": "?"}}}},
        {
            "type": "message-end",
            "delta": {
                "finish_reason": "COMPLETE",
                "usage": {"billed_units": {"input_tokens": 10}, "tokens": {"input_tokens": 81.0, "output_tokens": 6.0}},
            },
        },
    )

    assert found.steps == (Text(["Em", "perors"]),)
    assert (found.finish, found.usage) == ("COMPLETE", Usage(prompt_tokens=81, completion_tokens=6))


def test_stream_that_calls_tools_is_read() -> None:
    def start(index: int, **call: Any) -> dict[str, Any]:
        return {"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": call}}}

    def more(index: int, arguments: str) -> dict[str, Any]:
        calls = {"function": {"arguments": arguments}}
        return {"type": "tool-call-delta", "index": index, "delta": {"message": {"tool_calls": calls}}}

    found = heard(
        {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I"}}},
        {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": " will"}}},
        start(0, id="f_1", type="function", function={"name": "f", "arguments": ""}),
        more(0, '{"a'),
        more(0, '":1}'),
        {"type": "tool-call-end", "index": 0},
        start(1, id="g_2", type="function", function={"name": "g", "arguments": None}),
        {"type": "tool-call-end", "index": 1},
        {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": None}},
    )

    assert found.steps == (
        Text(["I", " will"]),
        ToolCall("f", '{"a":1}', id="f_1", fragments=["", '{"a', '":1}']),
        ToolCall("g", "", id="g_2", fragments="whole"),
    )
    assert (found.finish, found.usage) == ("TOOL_CALL", None)


def test_whole_reply_is_read() -> None:
    call = {"id": "f_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    found = heard_whole(
        {
            "id": "1",
            "finish_reason": "TOOL_CALL",
            "message": {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "Well."}, {"type": "text", "text": "Hi"}],
                "tool_plan": "I will",
                "tool_calls": [call],
                "citations": [{"start": 0, "end": 2, "text": "Hi", "sources": []}],
            },
            "usage": {"billed_units": {"input_tokens": 5, "output_tokens": 2}, "cached_tokens": 9},
        }
    )

    assert found.steps == (
        Reasoning(["Well."]),
        Text(["Hi"]),
        Text(["I will"]),
        ToolCall("f", {"a": 1}, id="f_1", fragments="whole"),
    )
    assert found.usage == Usage(prompt_tokens=5, completion_tokens=2, cached_tokens=5)


def test_reply_without_content_is_empty() -> None:
    found = heard_whole({"id": "1", "finish_reason": "COMPLETE", "message": {"role": "assistant", "content": None}})

    assert (found.steps, found.finish) == ((), "COMPLETE")
