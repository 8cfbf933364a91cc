"""Agents' loops with the real SDKs: what they send back, in whatever spelling, is found again."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from asking import NOTHING_SECRET
from google import genai

from pytest_mockstream import Reasoning, Text, ToolCall
from pytest_mockstream.doors.in_process import MockStreamSDK
from pytest_mockstream.recordings.canonical import canonical, key_of
from pytest_mockstream.recordings.matching import first_difference

CITY: Any = {"type": "object", "properties": {"city": {"type": "string"}}}
TURNS = 3


def chat_as_sdk(_door: MockStreamSDK) -> None:
    client = openai.OpenAI(api_key="made-up-1")
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
    messages: list[Any] = [{"role": "user", "content": "hi"}]
    for turn in range(TURNS):
        reply = client.chat.completions.create(model="gpt-5-2025-08-07", messages=messages, tools=[tool], temperature=0)
        said = reply.choices[0].message
        messages.append(said)
        messages += [{"role": "tool", "tool_call_id": one.id, "content": f"{turn}"} for one in said.tool_calls or []]


def chat_by_hand(_door: MockStreamSDK) -> None:
    client = openai.OpenAI(api_key="made-up-1", base_url="https://api.openai.com/v1/")
    tool: Any = {"function": {"parameters": CITY, "name": "weather"}, "type": "function"}
    messages: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    for turn in range(TURNS):
        stream = client.chat.completions.create(
            model="gpt-5", messages=messages, tools=[tool], temperature=0.0, stream=True, user="me", store=True
        )
        calls: dict[int, list[str]] = {}
        text = ""
        for chunk in stream:
            delta = chunk.choices[0].delta
            text += delta.content or ""
            for call in delta.tool_calls or []:
                known = calls.setdefault(call.index, [call.id or "", call.function.name or "", ""])  # type: ignore[union-attr]
                known[2] += call.function.arguments or ""  # type: ignore[union-attr]
        made = [
            {
                "id": one,
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(json.loads(said), indent=1)},
            }
            for one, name, said in calls.values()
        ]
        messages.append({"role": "assistant", "content": text, "tool_calls": made})
        messages += [{"role": "tool", "tool_call_id": one, "content": f"{turn}"} for one, _, _ in calls.values()]


def responses_as_sdk(_door: MockStreamSDK) -> None:
    client = openai.OpenAI(api_key="made-up-1")
    tool: Any = {"type": "function", "name": "weather", "parameters": CITY, "strict": False}
    items: list[Any] = [{"role": "user", "content": "hi"}]
    for turn in range(TURNS):
        reply = client.responses.create(model="gpt-5", input=items, tools=[tool], instructions="be brief")
        items += reply.output
        calls = [one for one in reply.output if one.type == "function_call"]
        items += [{"type": "function_call_output", "call_id": one.call_id, "output": f"{turn}"} for one in calls]


def responses_by_hand(_door: MockStreamSDK) -> None:
    client = openai.OpenAI(api_key="made-up-1")
    tool: Any = {"type": "function", "name": "weather", "parameters": CITY, "strict": False}
    items: list[Any] = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "be brief"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
    ]
    for turn in range(TURNS):
        reply = client.responses.create(model="gpt-5", input=items, tools=[tool], store=False, metadata={"a": "b"})
        for one in reply.output:
            if one.type == "reasoning":
                items.append({"type": "reasoning", "summary": [{"type": "summary_text", "text": one.summary[0].text}]})
            elif one.type == "message":
                items.append({"role": "assistant", "content": reply.output_text})
            elif one.type == "function_call":
                fields = {"call_id": one.call_id, "name": one.name, "arguments": one.arguments}
                items.append({"type": "function_call", **fields})
                items.append({"type": "function_call_output", "call_id": one.call_id, "output": f"{turn}"})


def anthropic_as_sdk(_door: MockStreamSDK) -> None:
    client = anthropic.Anthropic(api_key="made-up-1")
    tool: Any = {"name": "weather", "input_schema": CITY}
    messages: list[Any] = [{"role": "user", "content": "hi"}]
    for turn in range(TURNS):
        reply = client.messages.create(model="claude-opus-9-20991231", max_tokens=9, messages=messages, tools=[tool])
        messages.append({"role": "assistant", "content": reply.content})
        results = [
            {"type": "tool_result", "tool_use_id": one.id, "content": f"{turn}"}
            for one in reply.content
            if one.type == "tool_use"
        ]
        messages.append({"role": "user", "content": results})


def anthropic_by_hand(_door: MockStreamSDK) -> None:
    client = anthropic.Anthropic(api_key="made-up-1")
    cached = {"cache_control": {"type": "ephemeral"}}
    tool: Any = {"name": "weather", "input_schema": CITY, **cached}
    messages: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "hi", **cached}]}]
    for turn in range(TURNS):
        with client.messages.stream(
            model="claude-opus-9", max_tokens=9, messages=messages, tools=[tool], metadata={"user_id": "me"}
        ) as stream:
            reply = stream.get_final_message()
        said: list[Any] = []
        results: list[Any] = []
        for one in reply.content:
            if one.type == "thinking":
                said.append({"type": "thinking", "thinking": one.thinking, "signature": one.signature})
            elif one.type == "text":
                said.append({"type": "text", "text": one.text})
            elif one.type == "tool_use":
                said.append({"type": "tool_use", "id": one.id, "name": one.name, "input": one.input})
                content = [{"type": "text", "text": f"{turn}"}]
                results.append({"type": "tool_result", "tool_use_id": one.id, "content": content, **cached})
        messages += [{"role": "assistant", "content": said}, {"role": "user", "content": results}]


def gemini_as_sdk(_door: MockStreamSDK) -> None:
    client = genai.Client(api_key="made-up-1")
    tool: Any = {"function_declarations": [{"name": "weather", "parameters_json_schema": CITY}]}
    contents: list[Any] = ["hi"]
    for turn in range(TURNS):
        config: Any = {"tools": [tool], "temperature": 0, "system_instruction": "be brief"}
        reply = client.models.generate_content(model="gemini-2.5-pro", contents=contents, config=config)
        contents.append(reply.candidates[0].content)  # type: ignore[index]
        for call in reply.function_calls or []:
            part = genai.types.Part.from_function_response(name=call.name or "", response={"r": turn})
            contents.append(genai.types.Content(role="user", parts=[part]))


def gemini_by_hand(_door: MockStreamSDK) -> None:
    client = genai.Client(api_key="made-up-1")
    tool: Any = {"function_declarations": [{"name": "weather", "parameters_json_schema": CITY}]}
    contents: list[Any] = [{"role": "user", "parts": [{"text": "hi"}]}]
    for turn in range(TURNS):
        config: Any = {"tools": [tool], "temperature": 0.0, "system_instruction": [{"text": "be brief"}]}
        chunks = list(client.models.generate_content_stream(model="gemini-2.5-pro", contents=contents, config=config))
        parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts or []]  # type: ignore[index,union-attr]
        said: list[Any] = []
        thoughts = "".join(part.text or "" for part in parts if part.thought)
        text = "".join(part.text or "" for part in parts if not part.thought)
        said += [{"text": thoughts, "thought": True}] if thoughts else []
        said += [{"text": text}] if text else []
        calls = [part.function_call for part in parts if part.function_call]
        said += [{"function_call": {"name": one.name, "args": one.args}} for one in calls]
        contents.append({"role": "model", "parts": said})
        results = [{"function_response": {"name": one.name, "response": {"r": turn}}} for one in calls]
        contents.append({"role": "user", "parts": results})


LOOPS: dict[str, list[Callable[[MockStreamSDK], None]]] = {
    "OpenAI's chat": [chat_as_sdk, chat_by_hand],
    "OpenAI's responses": [responses_as_sdk, responses_by_hand],
    "Anthropic": [anthropic_as_sdk, anthropic_by_hand],
    "Gemini": [gemini_as_sdk, gemini_by_hand],
}


def forms_of(door: MockStreamSDK, loop: Callable[[MockStreamSDK], None], chance: random.Random) -> list[dict[str, Any]]:
    """Return what a loop asked, where each call has an id as the provider makes them."""
    asked = len(door.requests)
    for turn in range(TURNS):
        call = ToolCall("weather", {"city": "Paris", "n": turn}, id=f"call_{chance.randbytes(9).hex()}")
        thought = [Reasoning("hm", signature=chance.randbytes(30).hex())] if loop.__name__.startswith("a") else []
        door.respond(*thought, Text("let me look"), call, finish_reason="tool_calls")
    loop(door)
    return [canonical(request, NOTHING_SECRET) for request in door.requests[asked:]]


@pytest.mark.parametrize("loops", LOOPS.values(), ids=LOOPS.keys())
def test_loop_is_found_again_however_it_is_spelt(
    mock_stream_sdk: MockStreamSDK, loops: list[Callable[[MockStreamSDK], None]]
) -> None:
    chance = random.Random(5)  # noqa: S311 - made up, and the same in every run

    first, *others = [forms_of(mock_stream_sdk, loop, chance) for loop in (*loops, loops[0])]

    assert len({key_of(form) for form in first}) == TURNS
    for forms in others:
        assert [first_difference(*pair) for pair in zip(forms, first, strict=True)] == [None] * TURNS
        assert list(map(key_of, forms)) == list(map(key_of, first))
