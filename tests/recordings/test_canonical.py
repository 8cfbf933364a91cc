"""Which requests are the same for a recording, and which are not."""

from __future__ import annotations

import json
import random
import re
import string
import subprocess
import sys
from base64 import b64encode, urlsafe_b64encode
from typing import Any

import pytest
from asking import ANTHROPIC, BEDROCK, CHAT, GEMINI, NOTHING_SECRET, OLLAMA, RESPONSES, form_of, request_of
from hypothesis import given
from hypothesis import strategies as st

from pytest_mockstream import MockStreamClient
from pytest_mockstream.recordings.canonical import canonical, key_of
from pytest_mockstream.recordings.scrub import Scrubber

HI = [{"role": "user", "content": "hi"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
PIXELS = bytes(range(256)) * 8


def chat(*messages: Any, **params: Any) -> dict[str, Any]:
    return form_of(CHAT, {"model": "gpt-5", "messages": list(messages) or HI, **params})


def test_form_is_readable() -> None:
    called = {"id": "call_8fQ", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    body = {
        "model": "gpt-5-2025-08-07",
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "be brief"}]},
            {"role": "user", "content": "how is Paris?"},
            {"role": "assistant", "content": None, "tool_calls": [called], "refusal": None, "annotations": []},
            {"role": "tool", "tool_call_id": "call_8fQ", "content": "sunny"},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": CITY, "strict": None}}],
        "temperature": 1.0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "user": "u1",
    }

    assert form_of(CHAT, body) == {
        "provider": "openai",
        "model": "gpt-5",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "how is Paris?"},
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": {"city": "Paris"}},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        ],
        "tools": [{"name": "weather", "parameters": CITY}],
        "params": {"temperature": 1},
    }


# Two spellings of one request.

SPELLINGS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "one text, as a list": (
        CHAT,
        {"model": "m", "messages": HI},
        {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
    ),
    "order of keys, numbers and what says nothing": (
        CHAT,
        {"model": "m", "messages": HI, "temperature": 0, "top_p": 1, "max_tokens": 5},
        {"max_completion_tokens": 5, "top_p": 1.0, "temperature": 0.0, "stop": None, "messages": HI, "model": "m"},
    ),
    "arguments with and without spaces": (
        CHAT,
        {
            "model": "m",
            "messages": [
                {
                    "role": "assistant",
                    "tool_calls": [
                        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a":1,"b":2}'}}
                    ],
                }
            ],
        },
        {
            "model": "m",
            "messages": [
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {"id": "b", "type": "function", "function": {"name": "f", "arguments": '{"b": 2, "a": 1.0}'}}
                    ],
                }
            ],
        },
    ),
    "OpenAI's responses": (
        RESPONSES,
        {"model": "m", "instructions": "be brief", "input": "hi"},
        {
            "model": "m",
            "input": [
                {"role": "developer", "content": "be brief"},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            ],
            "store": False,
            "prompt_cache_key": "k",
            "safety_identifier": "s",
        },
    ),
    "an answer that is sent back whole, and what is made of it": (
        RESPONSES,
        {
            "model": "m",
            "input": [
                {"role": "user", "content": "hi"},
                {
                    "type": "message",
                    "id": "msg_1a",
                    "role": "assistant",
                    "status": "completed",
                    "content": [{"type": "output_text", "text": "yes?", "annotations": [], "logprobs": []}],
                },
                {
                    "type": "function_call",
                    "id": "fc_1a",
                    "status": "completed",
                    "call_id": "call_x",
                    "name": "f",
                    "arguments": "{}",
                },
                {"type": "function_call_output", "call_id": "call_x", "output": "3"},
            ],
        },
        {
            "model": "m",
            "input": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "yes?"},
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": ""},
                {"type": "function_call_output", "call_id": "c1", "output": "3"},
            ],
        },
    ),
    "Anthropic": (
        ANTHROPIC,
        {"model": "claude-sonnet-4-20250514", "max_tokens": 9, "system": "be brief", "messages": HI},
        {
            "model": "claude-sonnet-4",
            "max_tokens": 9,
            "system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]}
            ],
            "metadata": {"user_id": "u1"},
            "service_tier": "auto",
        },
    ),
    "Gemini, both spellings": (
        GEMINI,
        {
            "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
            "systemInstruction": {"parts": [{"text": "be brief"}]},
            "generationConfig": {"maxOutputTokens": 5, "topP": 1},
        },
        {
            "contents": {"parts": {"text": "hi"}},
            "system_instruction": {"role": "user", "parts": [{"text": "be brief"}]},
            "generation_config": {"max_output_tokens": 5, "top_p": 1.0},
            "labels": {"team": "a"},
        },
    ),
    "Bedrock": (
        BEDROCK,
        {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
        {
            "messages": [{"role": "user", "content": [{"text": "hi"}, {"cachePoint": {"type": "default"}}]}],
            "requestMetadata": {"a": "b"},
            "inferenceConfig": {"stopSequences": []},
        },
    ),
    "Ollama": (
        OLLAMA,
        {"model": "llama3.2", "messages": HI},
        {"model": "llama3.2:latest", "messages": HI, "stream": False, "keep_alive": "5m", "tools": [], "options": None},
    ),
    "order of tools": (
        CHAT,
        {"model": "m", "messages": HI, "tools": [{"type": "function", "function": {"name": name}} for name in "ab"]},
        {"model": "m", "messages": HI, "tools": [{"type": "function", "function": {"name": name}} for name in "ba"]},
    ),
    "one image in two alphabets": (
        CHAT,
        {
            "model": "m",
            "messages": [{"role": "user", "content": [{"type": "image", "data": b64encode(PIXELS).decode()}]}],
        },
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": [{"type": "image", "data": urlsafe_b64encode(PIXELS).decode().rstrip("=")}]}
            ],
        },
    ),
}


@pytest.mark.parametrize(("url", "one", "other"), SPELLINGS.values(), ids=SPELLINGS.keys())
def test_spelling_of_a_request_does_not_matter(url: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    assert form_of(url, one) == form_of(url, other)


TOOL_OF_EACH: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (
        CHAT,
        {"model": "m", "messages": HI, "tools": [{"type": "function", "function": {"name": "f", "parameters": CITY}}]},
    ),
    "responses": (
        RESPONSES,
        {"model": "m", "input": "hi", "tools": [{"type": "function", "name": "f", "parameters": CITY}]},
    ),
    "Anthropic": (
        ANTHROPIC,
        {"model": "m", "max_tokens": 9, "messages": HI, "tools": [{"name": "f", "input_schema": CITY}]},
    ),
    "Gemini": (
        GEMINI,
        {
            "contents": [{"parts": [{"text": "hi"}]}],
            "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": CITY}]}],
        },
    ),
    "Bedrock": (
        BEDROCK,
        {
            "messages": [{"role": "user", "content": [{"text": "hi"}]}],
            "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": CITY}}}]},
        },
    ),
}


@pytest.mark.parametrize(("url", "body"), TOOL_OF_EACH.values(), ids=TOOL_OF_EACH.keys())
def test_tool_looks_the_same_in_every_format(url: str, body: dict[str, Any]) -> None:
    form = form_of(url, body)

    assert form["tools"] == [{"name": "f", "parameters": CITY}]
    assert form["messages"] == [{"role": "user", "content": "hi"}]
    assert "tools" not in form.get("params", {})


def test_tools_that_a_provider_runs_stand_beside_those_of_others() -> None:
    tools = [{"functionDeclarations": [{"name": "f"}], "googleSearch": {}}, {"codeExecution": {}}]

    form = form_of(GEMINI, {"contents": [{"parts": [{"text": "hi"}]}], "tools": tools})

    assert form["tools"] == [
        {"code_execution": {}},
        {"google_search": {}},
        {"name": "f", "parameters": {"type": "object", "properties": {}}},
    ]


DIFFERENT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "text": (chat(), chat({"role": "user", "content": "ho"})),
    "role": (chat(), chat({"role": "system", "content": "hi"})),
    "order of messages": (chat(*HI, {"role": "user", "content": "x"}), chat({"role": "user", "content": "x"}, *HI)),
    "two texts and one": (
        chat({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
        chat({"role": "user", "content": "ab"}),
    ),
    "sampling": (chat(temperature=0.5), chat(temperature=0.6)),
    "a flag and a number": (chat(n=1), chat(n=2)),
    "tools": (chat(), chat(tools=[{"type": "function", "function": {"name": "f"}}])),
    "schema": (chat(response_format={"type": "json_object"}), chat()),
    "model": (chat(), chat(model="gpt-5-mini")),
    "image": (
        chat({"role": "user", "content": [{"type": "image", "data": b64encode(PIXELS).decode()}]}),
        chat({"role": "user", "content": [{"type": "image", "data": b64encode(PIXELS[::-1]).decode()}]}),
    ),
}


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_changes_the_answer_changes_the_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert key_of(one) != key_of(other)


def test_what_belongs_to_which_call_counts() -> None:
    def results(*ids: str) -> list[Any]:
        calls = [{"id": one, "type": "function", "function": {"name": "f", "arguments": "{}"}} for one in ("x", "y")]
        said = [{"role": "tool", "tool_call_id": one, "content": str(n)} for n, one in enumerate(ids)]
        return [{"role": "assistant", "tool_calls": calls}, *said]

    assert key_of(chat(*results("x", "y"))) != key_of(chat(*results("y", "x")))


def test_request_without_messages_is_told_by_its_endpoint() -> None:
    form = form_of("https://api.openai.com/v1/embeddings?x=1", {"model": "text-embedding-3-small", "input": ["a"]})

    assert form == {
        "provider": "openai",
        "model": "text-embedding-3-small",
        "endpoint": "POST /v1/embeddings",
        "params": {"input": ["a"]},
    }


@pytest.mark.parametrize("name", ["resp_68abf00d12", "resp_3"])
def test_id_in_a_path_is_numbered(name: str) -> None:
    form = form_of(f"https://api.openai.com/v1/responses/{name}", None, method="GET")

    assert form["endpoint"] == "GET /v1/responses/id_1"


def test_client_object_is_asked_in_the_same_form() -> None:
    client = MockStreamClient()
    client.chat(HI, temperature=1.0)

    form = canonical(client.requests[0], NOTHING_SECRET)

    assert form["messages"] == HI
    assert form["params"] == {"temperature": 1}


def test_secret_does_not_change_the_key() -> None:
    def form(secret: str) -> dict[str, Any]:
        body = {"model": "m", "messages": [{"role": "user", "content": f"my key is {secret}."}]}
        return canonical(request_of(CHAT, body), Scrubber({"MY_KEY": secret}))

    assert form("sesame-open-1")["messages"] == [{"role": "user", "content": "my key is [redacted]."}]
    assert form("sesame-open-1") == form("another-word-2")


def test_credential_in_a_header_is_taken_out_of_the_body() -> None:
    form = form_of(
        CHAT,
        {"model": "m", "messages": [{"role": "user", "content": "I am sesame-open-1"}]},
        {"x-api-key": "sesame-open-1"},
    )

    assert form["messages"] == [{"role": "user", "content": "I am [redacted]"}]


# An agent's loop, twice, with ids as the provider makes them.


def _random_id(chance: random.Random, prefix: str) -> str:
    return prefix + "".join(chance.choices(string.ascii_letters + string.digits, k=24))


def openai_turn(chance: random.Random, turn: int) -> list[Any]:
    ids = [_random_id(chance, "call_") for _ in range(2)]
    calls = [{"id": one, "type": "function", "function": {"name": "f", "arguments": f'{{"n": {turn}}}'}} for one in ids]
    return [
        {"role": "assistant", "content": None, "tool_calls": calls},
        *({"role": "tool", "tool_call_id": one, "content": f"{turn}.{place}"} for place, one in enumerate(ids)),
    ]


def responses_turn(chance: random.Random, turn: int) -> list[Any]:
    call = _random_id(chance, "call_")
    return [
        {
            "type": "reasoning",
            "id": _random_id(chance, "rs_"),
            "summary": [],
            "encrypted_content": _random_id(chance, ""),
        },
        {
            "type": "function_call",
            "id": _random_id(chance, "fc_"),
            "call_id": call,
            "name": "f",
            "arguments": f"[{turn}]",
        },
        {"type": "function_call_output", "call_id": call, "output": str(turn)},
        {
            "type": "mcp_call",
            "id": _random_id(chance, "mcp_"),
            "server_label": "docs",
            "name": "f",
            "arguments": f'{{"n":{turn}}}',
            "output": str(turn),
        },
        {"type": "item_reference", "id": _random_id(chance, "msg_")},
    ]


def anthropic_turn(chance: random.Random, turn: int) -> list[Any]:
    call, search, asked = (_random_id(chance, kind) for kind in ("toolu_", "srvtoolu_", "mcptoolu_"))
    found = {"type": "web_search_result", "url": "https://a.example", "encrypted_content": _random_id(chance, "")}
    return [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": _random_id(chance, "")},
                {"type": "server_tool_use", "id": search, "name": "web_search", "input": {"id": turn}},
                {"type": "web_search_tool_result", "tool_use_id": search, "content": [found]},
                {"type": "mcp_tool_use", "id": asked, "server_name": "docs", "name": "f", "input": {"n": turn}},
                {"type": "mcp_tool_result", "tool_use_id": asked, "is_error": False, "content": []},
                {"type": "tool_use", "id": call, "name": "f", "input": {"n": turn}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": str(turn)}]},
    ]


def gemini_turn(chance: random.Random, turn: int) -> list[Any]:
    call = _random_id(chance, "")
    return [
        {
            "role": "model",
            "parts": [
                {
                    "functionCall": {"id": call, "name": "f", "args": {"n": turn}},
                    "thoughtSignature": _random_id(chance, ""),
                }
            ],
        },
        {"role": "user", "parts": [{"functionResponse": {"id": call, "name": "f", "response": {"r": turn}}}]},
    ]


def bedrock_turn(chance: random.Random, turn: int) -> list[Any]:
    call = _random_id(chance, "tooluse_")
    return [
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": call, "name": "f", "input": {"n": turn}}}]},
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": call, "content": [{"text": str(turn)}], "status": "success"}}],
        },
    ]


LOOPS: dict[str, tuple[str, Any, Any, Any]] = {
    "chat": (CHAT, openai_turn, "messages", {"model": "m"}),
    "responses": (RESPONSES, responses_turn, "input", {"model": "m"}),
    "Anthropic": (ANTHROPIC, anthropic_turn, "messages", {"model": "m", "max_tokens": 9}),
    "Gemini": (GEMINI, gemini_turn, "contents", {}),
    "Bedrock": (BEDROCK, bedrock_turn, "messages", {}),
}
FIRST: dict[str, Any] = {
    "contents": {"role": "user", "parts": [{"text": "hi"}]},
    BEDROCK: {"role": "user", "content": [{"text": "hi"}]},
}


@pytest.mark.parametrize(("url", "turn", "field", "rest"), LOOPS.values(), ids=LOOPS.keys())
def test_ids_of_a_loop_do_not_change_its_keys(url: str, turn: Any, field: str, rest: Any) -> None:
    def keys(seed: int) -> list[str]:
        chance = random.Random(seed)  # noqa: S311 - made up, and the same in every run
        said, keys = [FIRST.get(field, FIRST.get(url, HI[0]))], []
        for number in range(3):
            keys.append(key_of(form_of(url, {**rest, field: said})))
            said += turn(chance, number)
        return keys

    first, second = keys(1), keys(2)

    assert first == second
    assert len(set(first)) == 3


def test_reference_to_what_a_provider_keeps_is_numbered() -> None:
    forms = [
        form_of(RESPONSES, {"model": "m", "input": "hi", "previous_response_id": one}) for one in ("resp_1a", "resp_2")
    ]

    assert forms[0]["params"] == {"previous_response_id": "response_1"}
    assert forms[0] == forms[1]


def test_what_people_name_id_is_theirs() -> None:
    used = {
        "type": "tool_use",
        "id": "toolu_1",
        "name": "f",
        "input": {"id": "order-7", "user_id": "u", "status": None},
    }

    form = form_of(ANTHROPIC, {"model": "m", "max_tokens": 9, "messages": [{"role": "assistant", "content": [used]}]})

    (call,) = form["messages"][0]["tool_calls"]
    assert call["function"]["arguments"] == {"id": "order-7", "user_id": "u", "status": None}


# The key.

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        names = list(value)
        chance.shuffle(names)
        return {name: shuffled(value[name], chance) for name in names}
    return [shuffled(one, chance) for one in value] if isinstance(value, list) else value


@given(JSON, st.randoms(use_true_random=False))
def test_key_is_free_of_the_order_of_keys(value: Any, chance: random.Random) -> None:
    assert key_of(value) == key_of(shuffled(value, chance))


@given(JSON)
def test_key_is_the_same_after_a_file(value: Any) -> None:
    key = key_of(value)

    assert re.fullmatch("[0-9a-f]{16}", key)
    assert key == key_of(json.loads(json.dumps(value)))


def test_key_is_the_same_everywhere() -> None:
    form = chat({"role": "user", "content": "größer als 1e16? 😀"}, temperature=0.1)
    start = "import json; from pytest_mockstream.recordings.canonical import key_of"
    code = f"{start}; print(key_of(json.loads({json.dumps(form)!r})))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    assert key_of(form) == other == "75cc398f5b9994c6"


def test_whole_number_is_no_other_than_the_float() -> None:
    assert key_of({"a": 1}) == key_of({"a": 1.0})
    assert key_of({"a": 1}) != key_of({"a": True})
    assert key_of({"a": 1e300}) == key_of({"a": 1e300})
