"""Whatever a script says, however its bytes are cut, Cohere's SDK reads exactly that."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import cohere
import httpx
import pytest
from decoders import decode_sse
from door import HELLO, Door
from hypothesis import given, settings
from scripts import Reading, expected, scripts

from pytest_mockstream import Script, ToolCall

# Cohere's SDK asks so when a client is made; on Python 3.14.
pytestmark = pytest.mark.filterwarnings("ignore:'asyncio.iscoroutinefunction' is deprecated:DeprecationWarning")

BODY = {"model": "command-a", "messages": HELLO, "stream": True}


def client(door: Door) -> cohere.ClientV2:
    transport = httpx.MockTransport(door._httpx_response)
    return cohere.ClientV2(api_key="co-secret", httpx_client=httpx.Client(transport=transport))


def said_by(script: Script) -> Reading:
    said = expected(script, "TOOL_CALL" if any(isinstance(step, ToolCall) for step in script.steps) else "COMPLETE")
    assert said.usage is not None
    return Reading(said.text, said.reasoning, said.calls, said.finish, (*said.usage[:2], 0))


def of_events(events: Iterable[Any]) -> Reading:
    text, thought, names, arguments = "", "", [], []
    finish, usage = None, None
    for event in events:
        message: Any = getattr(getattr(event, "delta", None), "message", None)
        match event.type:
            case "content-delta":
                text, thought = text + (message.content.text or ""), thought + (message.content.thinking or "")
            case "tool-plan-delta":
                text += message.tool_plan
            case "tool-call-start":
                names.append(message.tool_calls.function.name)
                arguments.append("")
            case "tool-call-delta":
                arguments[event.index] += message.tool_calls.function.arguments
            case "message-end":
                finish, tokens = event.delta.finish_reason, event.delta.usage.tokens
                usage = (int(tokens.input_tokens), int(tokens.output_tokens), 0)
    calls = tuple(zip(names, map(json.loads, arguments), strict=True))
    return Reading(text, thought, calls, finish, usage)


def of_reply(reply: Any) -> Reading:
    parts, tokens = reply.message.content or [], reply.usage.tokens
    text = "".join(part.text for part in parts if part.type == "text") + (reply.message.tool_plan or "")
    thought = "".join(part.thinking for part in parts if part.type == "thinking")
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in reply.message.tool_calls or []]
    usage = (int(tokens.input_tokens), int(tokens.output_tokens), 0)
    return Reading(text, thought, tuple(calls), reply.finish_reason, usage)


@given(script=scripts())
@settings(max_examples=10)
def test_sdk_reads_a_stream_exactly(script: Script) -> None:
    door = Door(script)

    reading = of_events(client(door).chat_stream(model="command-a", messages=HELLO))

    assert reading == said_by(script)
    assert (door.request.state, door.request.chunks_sent) == ("exhausted", script.chunk_count)


@given(script=scripts())
@settings(max_examples=10)
def test_sdk_reads_a_whole_reply_exactly(script: Script) -> None:
    door = Door(script)

    assert of_reply(client(door).chat(model="command-a", messages=HELLO)) == said_by(script)


@given(script=scripts())
@settings(max_examples=10)
def test_parts_are_opened_and_closed_in_turn(script: Script) -> None:
    events = decode_sse(Door(script).body("/v2/chat", BODY))

    assert events[-1].data == "[DONE]"
    told = [json.loads(event.data) for event in events[:-1]]
    assert [event["type"] for event in told] == [event.name for event in events[:-1]]
    assert (told[0]["type"], told[-1]["type"]) == ("message-start", "message-end")
    opened: list[tuple[str, int]] = []
    for event in told[1:-1]:
        kind, _, what = event["type"].rpartition("-")
        if what == "start":
            assert opened == []
            opened.append((kind, event["index"]))
        elif what == "end":
            assert opened.pop() == (kind, event["index"])
        elif kind != "tool-plan":
            assert opened == [(kind, event["index"])]
    assert opened == []
