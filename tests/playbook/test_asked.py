"""What a request wants of its answer, in the shape of every provider."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_mockstream.playbook.asked import Tool, Wanted, tools_of, wanted

CITY: dict[str, Any] = {"type": "object", "title": "Town", "properties": {"name": {"type": "string"}}}
OPEN_API = {"type": "OBJECT", "title": "Town", "properties": {"name": {"type": "STRING"}}, "propertyOrdering": ["name"]}
ANY_OBJECT = {"type": "object"}

TEXTS: dict[str, tuple[Any, Wanted | None]] = {
    "OpenAI chat": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "City", "schema": CITY, "strict": True}}},
        Wanted(CITY, "City"),
    ),
    "OpenAI chat, JSON mode": ({"response_format": {"type": "json_object"}}, Wanted(ANY_OBJECT)),
    "OpenAI chat, text": ({"response_format": {"type": "text"}}, None),
    "OpenAI responses": (
        {"text": {"format": {"type": "json_schema", "name": "City", "schema": CITY}}},
        Wanted(CITY, "City"),
    ),
    "OpenAI responses, text": ({"text": {"format": {"type": "text"}}}, None),
    "Anthropic": ({"output_config": {"format": {"type": "json_schema", "schema": CITY}}}, Wanted(CITY)),
    "Anthropic, effort": ({"output_config": {"effort": "low"}}, None),
    "Anthropic, before": ({"output_format": {"type": "json_schema", "schema": CITY}}, Wanted(CITY)),
    "Gemini, OpenAPI": ({"generationConfig": {"responseSchema": OPEN_API}}, Wanted(CITY)),
    "Gemini, JSON schema": ({"generationConfig": {"responseJsonSchema": CITY}}, Wanted(CITY)),
    "Gemini, JSON mode": ({"generationConfig": {"responseMimeType": "application/json"}}, Wanted(ANY_OBJECT)),
    "Ollama": ({"format": CITY}, Wanted(CITY)),
    "Ollama, JSON mode": ({"format": "json"}, Wanted(ANY_OBJECT)),
    "Ollama, text": ({"format": ""}, None),
    "Cohere": ({"response_format": {"type": "json_object", "json_schema": CITY}}, Wanted(CITY)),
    "Mistral": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "City", "schema": CITY, "strict": False}}},
        Wanted(CITY, "City"),
    ),
    "Bedrock": (
        {
            "outputConfig": {
                "textFormat": {
                    "type": "json_schema",
                    "structure": {"jsonSchema": {"schema": json.dumps(CITY), "name": "City"}},
                }
            }
        },
        Wanted(CITY, "City"),
    ),
    "nothing": ({"temperature": 0}, None),
}

OPENAI = {"type": "function", "function": {"name": "show", "parameters": CITY}}
OTHER = {"type": "function", "function": {"name": "other", "parameters": {"type": "object"}}}
GEMINI = {"functionDeclarations": [{"name": "show", "parameters": OPEN_API}, {"name": "other"}]}
BEDROCK = {"toolSpec": {"name": "show", "inputSchema": {"json": CITY}}}
RESPONSES = {"type": "function", "name": "show", "parameters": CITY}
ANTHROPIC = {"name": "show", "input_schema": CITY}
ALLOWED = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "show"}]}

FORCED: dict[str, tuple[Any, list[Any]]] = {
    "OpenAI chat": ({"tool_choice": {"type": "function", "function": {"name": "show"}}}, [OTHER, OPENAI]),
    "OpenAI chat, the only one": ({"tool_choice": "required"}, [OPENAI]),
    "OpenAI responses": ({"tool_choice": {"type": "function", "name": "show"}}, [RESPONSES]),
    "OpenAI responses, allowed": ({"tool_choice": ALLOWED}, [RESPONSES, OTHER]),
    "Anthropic": ({"tool_choice": {"type": "tool", "name": "show"}}, [ANTHROPIC, {"name": "other"}]),
    "Anthropic, the only one": ({"tool_choice": {"type": "any"}}, [ANTHROPIC]),
    "Gemini": (
        {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["show"]}}},
        [GEMINI],
    ),
    "Bedrock": ({"toolConfig": {"toolChoice": {"tool": {"name": "show"}}}}, [BEDROCK]),
    "Bedrock, the only one": ({"toolConfig": {"toolChoice": {"any": {}}}}, [BEDROCK]),
    "Mistral, the only one": ({"tool_choice": "any"}, [OPENAI]),
    "Cohere, the only one": ({"tool_choice": "REQUIRED"}, [OPENAI]),
}

FREE: dict[str, tuple[Any, list[Any]]] = {
    "nobody chooses": ({}, [OPENAI]),
    "auto": ({"tool_choice": "auto"}, [OPENAI]),
    "Anthropic, auto": ({"tool_choice": {"type": "auto"}}, [ANTHROPIC]),
    "Gemini, auto": ({"toolConfig": {"functionCallingConfig": {"mode": "AUTO"}}}, [GEMINI]),
    "Bedrock, auto": ({"toolConfig": {"toolChoice": {"auto": {}}}}, [BEDROCK]),
    "one of several": ({"tool_choice": "required"}, [OPENAI, OTHER]),
    "one that is not offered": ({"tool_choice": {"type": "tool", "name": "gone"}}, [ANTHROPIC]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_schema_of_a_text_is_found(name: str) -> None:
    params, found = TEXTS[name]

    assert wanted(params, []) == found


@pytest.mark.parametrize("name", FORCED)
def test_the_tool_that_is_forced_is_found(name: str) -> None:
    params, tools = FORCED[name]

    assert wanted(params, tools) == Wanted(CITY, "show", "show")


@pytest.mark.parametrize("name", FREE)
def test_no_tool_is_forced_that_need_not_be_called(name: str) -> None:
    assert wanted(*FREE[name]) is None


def test_names_are_those_of_the_request_and_of_the_schema() -> None:
    assert Wanted(CITY, "City").names == ("City", "Town")


@pytest.mark.parametrize(
    "tool",
    [OPENAI, RESPONSES, ANTHROPIC, BEDROCK, {"functionDeclarations": [{"name": "show", "parameters": OPEN_API}]}],
)
def test_tools_are_found_in_every_shape(tool: Any) -> None:
    assert tools_of([tool]) == [Tool("show", CITY)]


@pytest.mark.parametrize(
    "tool", [{"type": "web_search_20250305", "name": "web_search"}, {"type": "web_search"}, {"googleSearch": {}}]
)
def test_tools_that_the_provider_runs_are_left_out(tool: Any) -> None:
    assert tools_of([tool]) == []


def test_a_schema_of_gemini_becomes_a_json_schema() -> None:
    given = {
        "type": "ARRAY",
        "items": {"type": "STRING", "nullable": True, "enum": ["a"]},
        "minItems": "2",
        "nullable": False,
    }

    found = wanted({"generationConfig": {"responseSchema": given}}, [])

    item = {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]}
    assert found == Wanted({"type": "array", "items": item, "minItems": 2})


_WORDS = (
    *("response_format", "json_schema", "schema", "text", "format", "output_config", "tool_choice", "toolConfig"),
    *("functionCallingConfig", "mode", "allowedFunctionNames", "toolChoice", "tool", "any", "name", "type", "tools"),
    *("allowed_tools", "function", "generationConfig", "responseSchema", "properties", "items", "minItems", "anyOf"),
    *("functionDeclarations", "parameters", "toolSpec", "inputSchema", "json", "title", "nullable"),
)
_JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.sampled_from(["ANY", "required", *_WORDS])
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(_WORDS), _JSON), st.lists(st.dictionaries(st.sampled_from(_WORDS), _JSON)))
@example({"response_format": {"type": []}}, [])
@example({}, [{"type": []}])
def test_whatever_a_request_says_nothing_trips(params: Any, tools: Any) -> None:
    found = wanted(params, tools)

    assert found is None or (isinstance(found.names, tuple) and isinstance(found.schema, dict))
