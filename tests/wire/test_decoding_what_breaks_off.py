"""What had begun when a stream broke off is in the script, wherever between two frames that was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from decoding_laws import Asked, Written, read, script_of, write
from door import HELLO

from pytest_mockstream import Disconnect, ErrorEvent, Malformed, Reasoning, Script, Stall, Text, ToolCall, Truncate

_CHAT: dict[str, Any] = {"model": "m", "messages": HELLO, "stream": True}
_CONVERSE: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": "hello there"}]}]}
ASKED = {
    "anthropic": Asked("/v1/messages", _CHAT | {"max_tokens": 9}),
    "converse": Asked("/model/anthropic.claude-3/converse-stream", _CONVERSE),
    "nova": Asked("/model/amazon.nova-lite-v1:0/invoke-with-response-stream", _CONVERSE),
    "responses": Asked("/v1/responses", {"model": "m", "input": "hi", "stream": True}),
    "chat": Asked("/v1/chat/completions", _CHAT),
    "cohere": Asked("/v2/chat", _CHAT),
    "perplexity": Asked("/chat/completions", _CHAT, "api.perplexity.ai"),
}
CALL = ToolCall("weather", {"city": "Paris"}, id="call_a")
SCRIPT = Script(Reasoning("hm, yes"), "one ", CALL, ToolCall("time", id="call_b"), Text("two"))


def _name_of(frame: bytes) -> str | None:
    return next((name for name in ("weather", "time") if f'"{name}"'.encode() in frame), None)


@pytest.mark.parametrize("name", [name for name in ASKED if name != "nova"])  # its frames are Base64
def test_call_is_there_as_soon_as_its_name_came(name: str) -> None:
    frames = write(SCRIPT, ASKED[name]).pieces

    for count in range(len(frames)):
        steps = read(ASKED[name], Written(200, {}, frames[:count], "cut")).steps
        if isinstance(steps[-1], Disconnect):  # else the stream has ended
            called = {step.name for step in steps if isinstance(step, ToolCall)}
            assert called == {found for frame in frames[:count] if (found := _name_of(frame))}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("ending", ["end", "reset"])
def test_stream_that_breaks_off_comes_back_as_its_script(name: str, ending: Any) -> None:
    frames = write(SCRIPT, ASKED[name]).pieces

    for count in range(1, len(frames)):
        script = script_of(read(ASKED[name], Written(200, {}, frames[:count], ending)))
        if isinstance(script.steps[-1], Disconnect | Truncate | Stall):
            again = script_of(read(ASKED[name], write(script, ASKED[name])))
            assert _without_signatures(again) == _without_signatures(script)


def _without_signatures(script: Script) -> list[Any]:
    """Return the steps of a script; reasoning that breaks off has no signature, and one that is over has one."""
    return [Reasoning(step.content) if isinstance(step, Reasoning) else step for step in script.steps]


@pytest.mark.parametrize("name", ["anthropic", "converse", "responses"])
def test_call_that_an_error_breaks_off_is_there(name: str) -> None:
    asked = ASKED[name]
    frames = write(Script(CALL), asked).pieces
    begun = next(count for count, frame in enumerate(frames) if _name_of(frame))
    error = write(Script(CALL, ErrorEvent("no")), asked).pieces[-1]

    steps = read(asked, Written(200, {}, [*frames[: begun + 1], error], "end")).steps

    assert [type(step) for step in steps] == [ToolCall, ErrorEvent]


def test_half_of_a_mark_is_text() -> None:
    asked = ASKED["perplexity"]
    frames = write(Script(Text(["a <th", "x"])), asked).pieces

    assert read(asked, Written(200, {}, frames[:1], "cut")).steps[:-1] == (Text(["a ", "<th"]),)


@pytest.mark.parametrize("kind", ["tool_use", 5, ["text"], None])
def test_malformed_start_of_a_block_is_that_frame_and_no_more(kind: object) -> None:
    asked = ASKED["anthropic"]
    error = write(Script("hi", ErrorEvent("no")), asked).pieces[-1]
    start = {"type": "content_block_start", "index": 0, "content_block": {"type": kind}}
    frames = [write(Script("hi"), asked).pieces[0], b"data: " + json.dumps(start).encode() + b"\n\n"]

    for pieces, ending in ((frames, Disconnect), ([*frames, error], ErrorEvent)):
        steps = read(asked, Written(200, {}, pieces, "cut")).steps
        assert [type(step) for step in steps if not isinstance(step, Malformed)] == [ending]


@pytest.mark.parametrize("item", [{}, {"type": ["function_call"]}, 5])
def test_malformed_item_breaks_no_reply(item: object) -> None:
    begun = {"type": "response.output_item.added", "output_index": 0, "item": item}

    steps = read(ASKED["responses"], Written(200, {}, [b"data: " + json.dumps(begun).encode() + b"\n\n"], "cut")).steps

    assert [type(step) for step in steps] == [Disconnect]
