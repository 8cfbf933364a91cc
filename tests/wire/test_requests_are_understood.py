"""What the SDKs send is recorded in one shape, whoever sends it; what makes no sense is refused and said."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from door import HELLO, Door
from google.genai import errors, types

from pytest_mockstream import HTTPError, Script, ScriptError, ToolCall, UnexpectedRequestError
from pytest_mockstream.playbook.queued import Condition
from pytest_mockstream.wire import endpoints_at

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
CALLED = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}]


def ask_chat(door: Door) -> None:
    messages: Any = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "how is "}, {"type": "text", "text": "Paris"}]},
        {"role": "assistant", "content": "", "tool_calls": CALLED},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    door.openai().chat.completions.create(model="m", messages=messages, tools=tools, temperature=0.5)


def ask_responses(door: Door) -> None:
    items: Any = [
        {"role": "user", "content": [{"type": "input_text", "text": "how is Paris"}]},
        {"type": "reasoning", "id": "r1", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Paris"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
    ]
    tools: Any = [{"type": "function", "name": "weather", "parameters": WEATHER, "strict": True}]
    door.openai().responses.create(model="m", instructions="be brief", input=items, tools=tools, temperature=0.5)


def ask_anthropic(door: Door) -> None:
    messages: Any = [
        {"role": "user", "content": "how is Paris"},
        {"role": "assistant", "content": [_block("tool_use", id="c1", name="weather", input={"city": "Paris"})]},
        {"role": "user", "content": [_block("tool_result", tool_use_id="c1", content=[_block("text", text="sunny")])]},
    ]
    tools: Any = [{"name": "weather", "input_schema": WEATHER}]
    door.anthropic().messages.create(
        model="m", max_tokens=9, system="be brief", messages=messages, tools=tools, extra_body={"temperature": 0.5}
    )


def _block(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def ask_gemini(door: Door) -> None:
    contents: Any = [
        types.Content(role="user", parts=[types.Part(text="how is Paris")]),
        types.Content(role="model", parts=[types.Part.from_function_call(name="weather", args={"city": "Paris"})]),
        types.Content(role="user", parts=[types.Part.from_function_response(name="weather", response={"r": "sunny"})]),
    ]
    declared = types.FunctionDeclaration(name="weather", parameters_json_schema=WEATHER)
    config = types.GenerateContentConfig(
        system_instruction="be brief", tools=[types.Tool(function_declarations=[declared])], temperature=0.5
    )
    door.gemini().models.generate_content(model="m", contents=contents, config=config)


def ask_ollama(door: Door) -> None:
    messages: Any = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "how is Paris"},
        {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Paris"}}}]},
        {"role": "tool", "content": "sunny", "tool_name": "weather"},
    ]
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    door.ollama().chat("m", messages, tools=tools, options={"temperature": 0.5})


@pytest.mark.parametrize(
    ("ask", "provider", "path"),
    [
        (ask_chat, "openai", "/v1/chat/completions"),
        (ask_responses, "openai", "/v1/responses"),
        (ask_anthropic, "anthropic", "/v1/messages"),
        (ask_gemini, "gemini", "/v1/models/m:generateContent"),
        (ask_ollama, "ollama", "/api/chat"),
    ],
)
def test_conversation_with_a_tool_is_recorded_alike(ask: Callable[[Door], None], provider: str, path: str) -> None:
    door = Door()

    ask(door)

    request = door.request
    assert (request.provider, request.path, request.model, request.streaming) == (provider, path, "m", False)
    assert request.text == "how is Paris"
    assert request.tool_names == ["weather"]
    assert "sunny" in request.tool_results[0]
    assert len(request.tool_results) == 1
    assert request.turn == 2
    roles = [message["role"] for message in request.messages]
    assert [role for place, role in enumerate(roles) if roles[place - 1 : place] != [role]] == [
        "system",
        "user",
        "assistant",
        "tool",
    ]
    assert "0.5" in json.dumps(request.params)


def test_gemini_in_the_spelling_of_protocol_buffers_is_recorded_alike() -> None:
    door, in_json = Door(), Door()
    call, result = (
        {"name": "weather", "args": {"in_city": "Paris"}},
        {"name": "weather", "response": {"it_is": "sunny"}},
    )
    declared = [{"name": "weather", "parameters": WEATHER}]
    url = "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent"

    def body(call_name: str, result_name: str, declared_name: str, signature_name: str) -> dict[str, Any]:
        asked = {"role": "user", "parts": [{"text": "how is Paris"}]}
        called = {"role": "model", "parts": [{call_name: call, signature_name: "c2ln"}]}
        answered = {"role": "user", "parts": [{result_name: result}]}
        return {"contents": [asked, called, answered], "tools": [{declared_name: declared}]}

    door.ask("POST", url, {}, body("function_call", "function_response", "function_declarations", "thought_signature"))
    in_json.ask("POST", url, {}, body("functionCall", "functionResponse", "functionDeclarations", "thoughtSignature"))

    assert door.request.messages == in_json.request.messages
    assert door.request.tool_results == ['{"it_is": "sunny"}']
    assert door.request.tool_names == ["weather"]


@pytest.mark.parametrize("ask", [ask_chat, ask_responses, ask_anthropic, ask_gemini, ask_ollama])
def test_script_is_chosen_by_turn_tool_and_tool_result(ask: Callable[[Door], None]) -> None:
    door = Door()
    for number, condition in enumerate(
        [
            Condition(turn=1),
            Condition(tool="other"),
            Condition(tool_result_contains="rain"),
            Condition(turn=2, tool="weather", tool_result_contains="sunny"),
        ]
    ):
        door.playbook.queue(Script(f"script {number}"), condition)

    ask(door)

    with pytest.raises(AssertionError, match="script 0") as caught:
        door.playbook.verify()
    assert "script 3" not in str(caught.value)


@pytest.mark.parametrize("ask", [ask_chat, ask_responses, ask_anthropic, ask_gemini, ask_ollama])
def test_no_credential_is_left_in_the_record(ask: Callable[[Door], None]) -> None:
    door = Door()

    ask(door)

    request = door.request
    assert "secret" not in repr(door.playbook.requests) + str(request)
    assert "secret" not in repr((request.headers, request.params, request.tools, request.path))


def test_credential_in_query_tool_or_parameter_is_not_recorded() -> None:
    door = Door()
    tool = {"type": "mcp", "server_label": "x", "authorization": "s3cr3t", "headers": {"X-Api-Key": "s3cr3t"}}
    body = {"model": "m", "input": "hi", "tools": [tool], "extra": [{"api_key": "s3cr3t"}]}

    door.ask("POST", "https://me:s3cr3t@api.openai.com/v1/responses?key=s3cr3t", {"Authorization": "s3cr3t"}, body)

    assert "s3cr3t" not in repr(door.request)
    assert repr(door.request.tools[0]["authorization"]) == "'[redacted]'"
    assert door.request.headers == {"authorization": "[redacted]"}


def test_credential_is_in_no_message_about_a_request_that_makes_no_sense() -> None:
    door = Door()

    door.ask("POST", "https://me:s3cr3t@host/v1/nothing?key=s3cr3t", {"Authorization": "s3cr3t"}, b"s3cr3t")
    door.ask("POST", "https://me:s3cr3t@host/v1/messages?key=s3cr3t", {"Authorization": "s3cr3t"}, b"s3cr3t")

    assert len(door.playbook.unexpected) == 2
    assert "s3cr3t" not in repr(door.playbook.unexpected) + repr(door.playbook.requests)


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1/chat/completions", "openai"),
        ("https://x.openai.azure.com/openai/deployments/dep/chat/completions?api-version=1", "azure"),
        ("https://api.groq.com/openai/v1/chat/completions", "groq"),
        ("https://openrouter.ai/api/v1/chat/completions", "openrouter"),
        ("http://localhost:8000/gateway/v1/chat/completions/", "openai"),
        ("https://api.anthropic.com/v1/messages", "anthropic"),
        ("http://localhost:8000/anthropic/v1/messages", "anthropic"),
        ("https://generativelanguage.googleapis.com/v1beta/models/m:generateContent", "gemini"),
        ("https://generativelanguage.googleapis.com/v1/models/m%3AgenerateContent", "gemini"),
        (
            "https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/m:generateContent",
            "vertex",
        ),
        (
            "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict",
            "vertex",
        ),
        ("http://127.0.0.1:11434/api/chat", "ollama"),
        ("https://evil.com/api.openai.com/v1/chat/completions", "openai"),
    ],
)
def test_path_tells_the_format_and_host_the_provider(url: str, provider: str) -> None:
    door = Door()
    body = {"model": "m", "messages": HELLO, "contents": [{"parts": [{"text": "hi"}]}]}

    answered = door.ask("POST", url, {}, body)

    assert (answered.status, door.request.provider) == (200, provider)
    assert door.request.model in {"m", "dep"}


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/v1/complete", {}, 404, "nothing is known of this path"),
        ("/v1/chat/completions", b"{", 400, "its body of 1 bytes is not JSON"),
        ("/v1/chat/completions", [1], 400, "its body must be a JSON object, but it is a JSON list"),
        ("/v1/chat/completions", {"messages": HELLO}, 400, "'model' must be text and not empty, but it is missing"),
        ("/v1/chat/completions", {"model": "m", "messages": []}, 400, "'messages' must not be empty"),
        ("/v1/chat/completions", {"model": "m", "messages": HELLO, "n": 2.5}, 400, "'n' must be a whole number from 1"),
        ("/v1/responses", {"model": "m"}, 400, "'input' must be text or a list of items"),
        ("/v1/messages", {"model": 3, "messages": HELLO}, 400, "'model' must be text and not empty, but it is 3"),
        ("/v1/messages", {"model": "m", "messages": HELLO, "stream": "yes"}, 400, "'stream' must be true or false"),
        ("/v1/models/m:generateContent?alt=sse", {"contents": [{}]}, 400, "':generateContent' does not stream"),
        ("/v1/models/m:generateContent", {"contents": [{}], "stream": True}, 400, "there is no field 'stream'"),
        ("/v1/models/m:streamGenerateContent?alt=xml", {"contents": [{}]}, 400, "'alt' must be 'sse' or 'json'"),
        ("/v1/embeddings", {"model": "m", "input": "x", "stream": True}, 400, "this endpoint does not stream"),
        ("/v1/embeddings", {"model": "m", "input": []}, 400, "'input' must be text, or a list of texts"),
        ("/api/embed", {"input": "x"}, 400, "'model' must be text"),
        ("/api/chat", {}, 400, "'model' must be text"),
        ("/v1/chat/completions", {"model": "m", "messages": [{"content": [None]}]}, 400, "of a type that no SDK sends"),
        ("/v1/models/m:generateContent", {"contents": [{"parts": 1}]}, 400, "of a type that no SDK sends"),
        (
            "/v1/chat/completions",
            {"model": "m", "messages": HELLO, "tools": [{"function": "f"}]},
            400,
            "of a type that no SDK sends",
        ),
        (
            "/v1/models/m:generateContent",
            {"contents": [{}], "tools": [{"functionDeclarations": ["f"]}]},
            400,
            "of a type that no SDK sends",
        ),
        ("/v1/embeddings", {"model": "m", "input": "x", "dimensions": 10**30}, 400, "numbers, of at most 6291456"),
        ("/v1/embeddings", {"model": "m", "input": ["x"] * 10_000}, 400, "10000 vectors with 7680000 numbers"),
        ("/api/embed", {"model": "m", "input": ["x"] * 10_000}, 400, "10000 vectors with 7680000 numbers"),
        (
            "/v1beta/models/m:batchEmbedContents",
            {"requests": [{"content": {"parts": [{"text": "x"}]}, "outputDimensionality": 2**40}]},
            400,
            "1 vectors with 1099511627776 numbers, of at most 6291456",
        ),
    ],
)
def test_request_that_makes_no_sense_is_refused_and_said(path: str, body: Any, status: int, said: str) -> None:
    door = Door()

    answered = door.post(path, body)

    assert answered.status == status
    with pytest.raises(UnexpectedRequestError) as caught:
        door.playbook.verify()
    assert said in str(caught.value)
    assert f"POST {path.partition('?')[0]}" in str(caught.value)
    assert door.playbook.requests == [answered.request]


def test_wrong_method_is_refused_with_the_right_one() -> None:
    door = Door()

    answered = door.ask("GET", "https://api.openai.com/v1/chat/completions")

    assert answered.status == 405
    assert "asked with POST" in str(answered.error)


def test_refusal_lists_what_can_be_scripted() -> None:
    message = str(Door().post("/v1/nothing", {}).error)

    assert "POST …/chat/completions" in message
    assert "POST …/api/generate" in message
    assert "GET" not in message


@pytest.mark.parametrize(
    ("script", "path", "said"),
    [
        (Script(ToolCall("a"), ToolCall("b")), "/api/generate", "Ollama generate cannot express"),
        (Script(ToolCall("a", "{")), "/api/chat", "are not JSON"),
        (Script(ToolCall("a", "[" * 100_000)), "/api/chat", "are not JSON"),
        (Script(ToolCall("a", "[1]")), "/v1/models/m:streamGenerateContent", "are not a JSON object"),
        (Script(ToolCall("a", "{")), "/v1/messages", "only its stream can send that"),
        (Script("x", finish_reason="bored"), "/v1/chat/completions", "give 'stop' or 'length' or 'tool_calls'"),
        (Script("x", finish_reason="end_turn"), "/v1/chat/completions", "is not a finish reason of OpenAI"),
        (Script("x", finish_reason="content_filter"), "/api/chat", "is not a finish reason of Ollama chat"),
    ],
)
def test_script_that_a_format_cannot_express_fails_the_test(script: Script, path: str, said: str) -> None:
    door = Door(script)

    answered = door.post(path, {"model": "m", "messages": HELLO, "contents": [{}]})

    assert answered.status == 400
    with pytest.raises(ScriptError) as caught:
        door.playbook.verify()
    assert said in str(caught.value)


def test_provider_s_own_word_for_a_finish_reason_is_legal() -> None:
    message = (
        Door(Script("x", finish_reason="pause_turn"))
        .anthropic()
        .messages.create(model="m", max_tokens=9, messages=HELLO)
    )

    assert message.stop_reason == "pause_turn"


def test_request_that_no_script_is_left_for_is_refused_in_the_provider_s_shape() -> None:
    door = Door(Script("once"))
    door.post("/v1/messages", {"model": "m", "messages": HELLO})

    with pytest.raises(anthropic.BadRequestError, match="no script left for /v1/messages"):
        door.anthropic().messages.create(model="m", max_tokens=9, messages=HELLO)

    assert isinstance(door.playbook.unexpected[0], UnexpectedRequestError)


def test_embeddings_and_model_lists_take_no_script_away_and_come_before_one() -> None:
    door = Door()
    client = door.openai()

    client.embeddings.create(model="text-embedding-3-small", input="hi")
    client.models.list()
    door.playbook.queue(Script("still here"), Condition())
    completion = client.chat.completions.create(model="m", messages=HELLO)

    assert completion.choices[0].message.content == "still here"
    assert [request.state for request in door.playbook.requests] == ["exhausted"] * 3


def test_same_text_has_the_same_vector_and_shared_words_bring_texts_together() -> None:
    client = Door().openai()

    data = client.embeddings.create(model="m", input=["a red car", "a red car", "a red bus", "no shared words"]).data

    one, same, near, far = (item.embedding for item in data)
    assert one == same
    assert _cosine(one, near) > 0.5 > 0.1 > _cosine(one, far)


def _cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_http_error_is_the_openai_exception(status: int, error: type[openai.APIStatusError], stream: bool) -> None:
    door = Door(Script(HTTPError(status, message="sorry"), times=None))

    with pytest.raises(error) as caught:
        door.openai().chat.completions.create(model="m", messages=HELLO, stream=stream)

    assert caught.value.message.startswith(f"Error code: {status} - ")  # older versions go on with the whole body
    assert "sorry" in caught.value.message
    assert (caught.value.request_id, door.request.state) == ("req_1", "broken")


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, anthropic.AuthenticationError), (429, anthropic.RateLimitError), (529, anthropic.OverloadedError)],
)
def test_http_error_is_the_anthropic_exception(status: int, error: type[anthropic.APIStatusError]) -> None:
    door = Door(Script(HTTPError(status, message="sorry")))

    with pytest.raises(error, match="sorry") as caught:
        door.anthropic().messages.create(model="m", max_tokens=9, messages=HELLO)

    assert caught.value.request_id == "req_1"


def test_http_error_is_the_gemini_exception() -> None:
    door = Door(Script(HTTPError(429, message="sorry")))

    with pytest.raises(errors.ClientError) as caught:
        door.gemini().models.generate_content(model="m", contents="hi")

    assert (caught.value.code, caught.value.status, caught.value.message) == (429, "RESOURCE_EXHAUSTED", "sorry")


def test_one_path_leads_to_another_endpoint_by_header_and_by_host() -> None:
    path = "/v1/audio/transcriptions"

    by_sdk = [endpoints_at(path, {"user-agent": agent})[0][0].name for agent in ("mistral-client-python/2", "OpenAI/3")]
    by_host = [endpoints_at(path, {}, provider)[0][0].name for provider in ("mistral", "openai")]

    assert by_sdk == by_host == ["Mistral Transcriptions", "OpenAI Transcriptions"]
