"""What Mistral's conversations say comes back as the script that says it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from decoding_laws import Asked, Written, check_cuts, check_law, read
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    HTTPError,
    KeepAlive,
    Malformed,
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

SDK = {"user-agent": "mistral-client-python/2.0"}
STREAM = Asked("/v1/conversations", {"model": "m", "inputs": "hi", "stream": True}, headers=SDK)
AGENT = Asked("/v1/conversations", {"agent_id": "ag_1", "inputs": "hi", "stream": True}, headers=SDK)
WHOLE = Asked("/v1/conversations", {"model": "m", "inputs": "hi"}, headers=SDK)
CUTS = st.lists(st.integers(0, 200), max_size=20)
_TEXT = st.text(min_size=1, max_size=12)
_CALLS = st.builds(
    ToolCall,
    st.from_regex(r"[a-z_]{1,9}", fullmatch=True),
    st.dictionaries(_TEXT, st.integers() | _TEXT, max_size=2),
    fragments=st.sampled_from([None, "whole", "word", "char", 2]),
)
SCRIPTS = st.builds(
    lambda steps, sent, said, chunking: Script(
        *steps, usage=Usage(prompt_tokens=sent, completion_tokens=said), chunking=chunking, times=None
    ),
    st.lists(st.builds(Text, _TEXT) | _CALLS, max_size=5),
    st.integers(0, 99),
    st.integers(0, 99),
    st.sampled_from(["char", "word", 3]),
)


def heard(*events: Any) -> Composed:
    """Return what is heard of events as Mistral's pages show them."""
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return read(STREAM, Written(200, {}, [body.encode()], "end"))


def heard_whole(body: Any, status: int = 200) -> Composed:
    return read(WHOLE, Written(status, {}, [json.dumps(body).encode()], "end"))


@given(script=SCRIPTS, cuts=CUTS)
def test_streams(script: Script, cuts: list[int]) -> None:
    check_law(script, STREAM, cuts)


@given(script=SCRIPTS)
def test_whole_replies(script: Script) -> None:
    check_law(script, WHOLE, chunks_are_same=False)


@pytest.mark.slow
@given(script=SCRIPTS, cuts=CUTS)
@settings(max_examples=500)
def test_many_more(script: Script, cuts: list[int]) -> None:
    check_law(script, STREAM, cuts)
    check_law(script, AGENT, cuts)
    check_law(script, WHOLE, chunks_are_same=False)


@pytest.mark.parametrize(
    "script",
    [
        Script(),
        Script(Text(["", "a", ""])),
        Script(ToolCall("f", id="same"), ToolCall("g", fragments=["", '{"b', "", '":2}'], id="same"), "x"),
        Script(ToolCall("f", "", fragments="whole"), "x", ToolCall("g", '{"a": ')),
        Script("one ", Truncate()),
        Script(ToolCall("f", {"a": 1}), Truncate(inside_frame=True)),
        Script("one ", Disconnect()),
        Script("one ", Disconnect(how="cut", inside_frame=True)),
        Script(Disconnect()),
        Script("one ", Stall()),
        Script("one ", Malformed(), "two"),
        Script("one ", KeepAlive(), "two ", KeepAlive()),
        Script("one", End(), KeepAlive(), Disconnect()),
        Script("one ", ErrorEvent("too much", type="rate_limit_error")),
        Script("one ", ErrorEvent("who are you", type="invalid_api_key")),
        Script("one ", ErrorEvent("what", type="Unheard of")),
        Script(ErrorEvent()),
        Script(HTTPError(429, message="slow down", retry_after=2)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("asked", [STREAM, AGENT], ids=["model", "agent"])
def test_steps_and_faults(script: Script, asked: Asked) -> None:
    check_law(script, asked)


def test_every_cut() -> None:
    check_cuts(Script("text ", KeepAlive(), ToolCall("f", {"a": "é"}), ErrorEvent("no")), STREAM)


@pytest.mark.parametrize(
    "script",
    [
        Script(HTTPError(404)),
        Script(HTTPError(422, type="invalid_request")),
        Script(ErrorEvent("no")),
        Script(Malformed()),
        Script("a", Truncate()),
        Script("a", Stall()),
    ],
    ids=repr,
)
def test_whole_replies_with_faults(script: Script) -> None:
    check_law(script, WHOLE, chunks_are_same=False)


@pytest.mark.parametrize(
    ("script", "finish"),
    [(Script("x", finish_reason="length"), "stop"), (Script(ToolCall("f"), finish_reason="stop"), "tool_calls")],
    ids=["length", "call"],
)
@pytest.mark.parametrize("asked", [STREAM, WHOLE], ids=["stream", "whole"])
def test_finish_reason_is_not_told(script: Script, finish: str, asked: Asked) -> None:
    assert check_law(script, asked, chunks_are_same=False).finish == finish


def test_refusal_is_text() -> None:
    assert check_law(Script(Refusal("no")), STREAM, chunks_are_same=False).steps == (Text(["no"]),)


def test_stream_is_read_as_mistral_documents_it() -> None:
    def text(content: Any) -> dict[str, Any]:
        about = {"id": "msg_1", "output_index": 0, "content_index": 0, "role": "assistant"}
        return {"type": "message.output.delta", **about, "content": content}

    def call(index: int, name: str, arguments: str) -> dict[str, Any]:
        about = {"id": f"fc_{index}", "output_index": index, "tool_call_id": f"t{index}", "confirmation_status": None}
        return {"type": "function.call.delta", **about, "name": name, "arguments": arguments}

    found = heard(
        {"type": "conversation.response.started", "conversation_id": "conv_1"},
        {"type": "tool.execution.started", "id": "te_1", "name": "web_search", "arguments": ""},
        {"type": "tool.execution.done", "id": "te_1", "name": "web_search", "info": {}},
        {"type": "agent.handoff.started", "id": "h_1", "previous_agent_id": "a"},
        text({"type": "thinking", "thinking": [{"type": "text", "text": "Well"}]}),
        text("Hi"),
        text({"type": "text", "text": " there"}),
        text({"type": "tool_reference", "tool": "web_search", "title": "t", "url": "u"}),
        call(1, "f", '{"a":'),
        call(1, "f", "1}"),
        call(2, "f", "{}"),
        {"type": "something.new", "content": 5},
        {
            "type": "conversation.response.done",
            "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12, "connectors": {"web_search": 1}},
        },
    )

    assert found.steps == (
        Text(["Hi", " there"]),
        ToolCall("f", '{"a":1}', id="t1", fragments=['{"a":', "1}"]),
        ToolCall("f", {}, id="t2", fragments="whole"),
    )
    assert (found.finish, found.usage) == ("tool_calls", Usage(prompt_tokens=5, completion_tokens=7))


@pytest.mark.parametrize(("code", "kind"), [(429, "rate_limit_error"), (500, None), (None, None)])
def test_error_in_a_stream_is_told_by_its_code(code: int | None, kind: str | None) -> None:
    error = {"type": "conversation.response.error", "message": "no", "code": code}

    assert heard(error).steps == (ErrorEvent("no", type=kind),)


def test_whole_reply_is_read_as_mistral_documents_it() -> None:
    found = heard_whole(
        {
            "object": "conversation.response",
            "conversation_id": "conv_1",
            "outputs": [
                {"type": "tool.execution", "name": "web_search", "arguments": "{}", "info": {}},
                {"type": "message.output", "content": "Hi"},
                {"type": "message.output", "content": [{"type": "text", "text": " there"}, {"type": "image_url"}]},
                {"type": "function.call", "tool_call_id": "t1", "name": "f", "arguments": {"a": 1}},
            ],
            "usage": {"prompt_tokens": 5, "completion_tokens": None},
        }
    )

    assert found.steps == (
        Text(["Hi"]),
        Text([" there"], new_block=True),
        ToolCall("f", {"a": 1}, id="t1", fragments="whole"),
    )
    assert (found.finish, found.usage) == ("tool_calls", Usage(prompt_tokens=5))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"object": "error", "message": "no", "type": "x", "code": "1"}, HTTPError(422, type="x", message="no")),
        ({"detail": [{"loc": ["inputs"]}]}, HTTPError(422, message='[{"loc": ["inputs"]}]')),
        ({"message": {"detail": []}, "type": None}, HTTPError(422, message='{"detail": []}')),
    ],
    ids=["usual", "detail", "list"],
)
def test_errors_are_read_as_mistral_sends_them(body: Any, error: HTTPError) -> None:
    assert heard_whole(body, 422).steps == (error,)
