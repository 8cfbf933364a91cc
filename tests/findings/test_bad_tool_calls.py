"""Broken tool calls by name: the tool is one that the request offers, and what is broken is what the name says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_mockstream import BadToolCall, CompletedToolCall, MockStreamClient, ScriptError
from pytest_mockstream.playbook.schemas import problems_with

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "share": {"type": "number"},
        "exact": {"type": "boolean"},
        "units": {"type": "array", "items": {"type": "string"}},
        "place": {"type": ["object", "null"]},
        "key": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "anything": {},
    },
}
OPENAI = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
ANTHROPIC = {"name": "get_weather", "input_schema": SCHEMA}
GEMINI = {"functionDeclarations": [{"name": "get_weather", "parameters": SCHEMA}]}
OTHER = {"type": "function", "function": {"name": "book", "parameters": {"type": "object", "properties": {}}}}


def calls(*steps: Any, tools: list[Any] | None = None) -> tuple[CompletedToolCall, ...]:
    client = MockStreamClient()
    client.respond(*steps)
    return client.complete("Where?", tools=[OPENAI, OTHER] if tools is None else tools).tool_calls


def test_unknown_tool_is_not_among_those_that_are_offered() -> None:
    assert [call.name for call in calls(BadToolCall("unknown tool"))] == ["no_such_tool"]
    offered = {"type": "function", "function": {"name": "no_such_tool"}}
    assert [call.name for call in calls(BadToolCall("unknown tool"), tools=[offered])] == ["no_such_tool_"]
    assert [call.name for call in calls(BadToolCall("unknown tool", tool="fly"))] == ["fly"]


@pytest.mark.parametrize("tools", [[OPENAI], [ANTHROPIC], [GEMINI]], ids=["openai", "anthropic", "gemini"])
def test_arguments_that_are_no_json_begin_as_json(tools: list[Any]) -> None:
    [call] = calls(BadToolCall("not json"), tools=tools)

    assert call.name == "get_weather"
    assert call.arguments.startswith('{"city": "text", "days": 7')
    with pytest.raises(json.JSONDecodeError):
        json.loads(call.arguments)


def test_arguments_of_a_tool_without_any_are_broken_too() -> None:
    [call] = calls(BadToolCall("not json", tool="book"))

    with pytest.raises(json.JSONDecodeError):
        json.loads(call.arguments)


@pytest.mark.parametrize("tools", [[OPENAI], [ANTHROPIC], [GEMINI]], ids=["openai", "anthropic", "gemini"])
def test_every_argument_that_has_a_type_has_a_wrong_one(tools: list[Any]) -> None:
    [call] = calls(BadToolCall("wrong types"), tools=tools)

    arguments = json.loads(call.arguments)
    assert set(arguments) == set(SCHEMA["properties"]) - {"anything"}
    for name, value in arguments.items():
        assert problems_with({name: value}, SCHEMA), name


def test_two_calls_have_one_id() -> None:
    one, other = calls(BadToolCall("duplicate id", arguments={"city": "Paris"}))

    assert one == other == CompletedToolCall(id="call_1", name="get_weather", arguments='{"city": "Paris"}')


def test_it_comes_after_other_steps() -> None:
    client = MockStreamClient()
    client.respond("Let me see.", BadToolCall("unknown tool"))

    reply = client.complete("Where?", tools=[OPENAI])

    assert (reply.content, len(reply.tool_calls)) == ("Let me see.", 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BadToolCall("no json"), "BadToolCall(kind)='no json' is not known"),  # type: ignore[arg-type]
        (lambda: BadToolCall("not json", tool=""), "give the tool's name"),
        (lambda: BadToolCall("not json", arguments=[]), "give a mapping"),  # type: ignore[arg-type]
        (lambda: BadToolCall("wrong types", arguments={}), "to send those, write ToolCall"),
    ],
)
def test_value_that_is_not_legal_is_named(make: Any, message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        make()

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("call", "tools", "message"),
    [
        (BadToolCall("not json"), [], "needs a request that offers the tool; this one offers none"),
        (BadToolCall("wrong types", tool="fly"), [OPENAI], "this one offers 'get_weather'"),
        (BadToolCall("wrong types"), [OTHER], "no argument of tool 'book' can have a wrong type"),
        (BadToolCall("unknown tool", tool="book"), [OTHER], "the request offers 'book'"),
    ],
)
def test_request_that_it_does_not_fit_fails(call: BadToolCall, tools: list[Any], message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        calls(call, tools=tools)

    assert message in str(caught.value)
