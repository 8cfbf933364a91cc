"""What is particular to one format: its words for the end, signatures, refusals, usage."""

from __future__ import annotations

import json
from typing import Any

import pytest
from decoders import decode_ndjson, decode_sse
from door import HELLO, Door

from pytest_mockstream import Reasoning, Refusal, Script, ToolCall
from pytest_mockstream.wire import ENDPOINTS, WireFormat, provider_of

BODY: dict[str, Any] = {"model": "m", "messages": HELLO, "input": "hi", "contents": [{}]}
GEMINI = "/v1/models/m:streamGenerateContent"


def finish_of_chat(body: bytes) -> str:
    return str(json.loads(decode_sse(body)[-2].data)["choices"][0]["finish_reason"])


def finish_of_responses(body: bytes) -> str:
    response = json.loads(decode_sse(body)[-1].data)["response"]
    why = response["incomplete_details"]
    return f"{response['status']}: {why['reason']}" if why else str(response["status"])


def finish_of_anthropic(body: bytes) -> str:
    return str(json.loads(decode_sse(body)[-2].data)["delta"]["stop_reason"])


def finish_of_gemini(body: bytes) -> str:
    return str(json.loads(body)[-1]["candidates"][0]["finishReason"])


def finish_of_ollama(body: bytes) -> str:
    return str(decode_ndjson(body)[-1]["done_reason"])


@pytest.mark.parametrize(
    ("path", "read", "said"),
    [
        (
            "/v1/chat/completions",
            finish_of_chat,
            ["stop", "length", "tool_calls", "content_filter", "function_call"],
        ),
        (
            "/v1/responses",
            finish_of_responses,
            ["completed", "incomplete: max_output_tokens", "completed", "incomplete: content_filter", "completed"],
        ),
        ("/v1/messages", finish_of_anthropic, ["end_turn", "max_tokens", "tool_use", "refusal", "tool_use"]),
        (GEMINI, finish_of_gemini, ["STOP", "MAX_TOKENS", "STOP", "SAFETY", "STOP"]),
        ("/api/chat", finish_of_ollama, ["stop", "length", "stop", None, "stop"]),
    ],
)
def test_openai_s_words_for_the_end_are_put_in_the_provider_s(path: str, read: Any, said: list[str | None]) -> None:
    for word, own in zip(["stop", "length", "tool_calls", "content_filter", "function_call"], said, strict=True):
        if own is not None:
            body = Door(Script("a", finish_reason=word)).body(path, BODY | ({} if path == GEMINI else {"stream": True}))
            assert read(body) == own


@pytest.mark.parametrize(
    "wire", [pytest.param(e, id=f"{e.name} {e.shown}") for e in ENDPOINTS if isinstance(e, WireFormat)]
)
def test_provider_s_own_words_for_the_end_are_its_own(wire: WireFormat) -> None:
    assert {wire.finish_reasons[own] for own in wire.finish_reasons.values()} == set(wire.finish_reasons.values())


def test_sequence_that_stopped_anthropic_is_the_first_that_was_asked_for() -> None:
    door = Door(Script("a", finish_reason="stop_sequence"))

    message = door.anthropic().messages.create(model="m", max_tokens=9, messages=HELLO, stop_sequences=["END", "FIN"])

    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")


@pytest.mark.parametrize("stream", [True, False])
def test_refusal_has_a_field_in_openai_s_formats(stream: bool) -> None:
    door = Door(Script("so ", Refusal("I will not"), times=None))

    if stream:
        with door.openai().chat.completions.stream(model="m", messages=HELLO) as chat:
            message: Any = chat.get_final_completion().choices[0].message
        with door.openai().responses.stream(model="m", input="hi") as responses:
            item: Any = responses.get_final_response().output[0]
    else:
        message = door.openai().chat.completions.create(model="m", messages=HELLO).choices[0].message
        item = door.openai().responses.create(model="m", input="hi").output[0]

    assert (message.content, message.refusal) == ("so ", "I will not")
    assert [(part.type, getattr(part, part.type.removeprefix("output_"))) for part in item.content] == [
        ("output_text", "so "),
        ("refusal", "I will not"),
    ]


@pytest.mark.parametrize("stream", [True, False])
def test_refusal_of_anthropic_is_text_that_stops_with_refusal(stream: bool) -> None:
    client = Door(Script("so ", Refusal("I will not"))).anthropic()

    if stream:
        with client.messages.stream(model="m", max_tokens=9, messages=HELLO) as messages:
            message: Any = messages.get_final_message()
    else:
        message = client.messages.create(model="m", max_tokens=9, messages=HELLO)

    assert [block.text for block in message.content] == ["so I will not"]
    assert message.stop_reason == "refusal"


@pytest.mark.parametrize("path", [GEMINI, "/v1/models/m:generateContent"])
def test_gemini_signs_what_follows_a_thought_and_only_that(path: str) -> None:
    replies = json.loads(Door(Script(Reasoning("hm"), ToolCall("a"), "b")).body(path, {"contents": [{}]}))

    parts = [
        part
        for reply in (replies if isinstance(replies, list) else [replies])
        for part in reply["candidates"][0]["content"]["parts"]
    ]

    assert ["thoughtSignature" in part for part in parts][:3] == [False, True, False]


def test_usage_of_chat_comes_only_where_it_is_asked_for() -> None:
    silent, told = (
        decode_sse(Door(Script("a")).body("/v1/chat/completions", _streamed() | options))
        for options in ({}, {"stream_options": {"include_usage": True}})
    )

    assert all("usage" not in json.loads(event.data) for event in silent[:-1])
    assert [bool(json.loads(event.data)["usage"]) for event in told[:-1]] == [False, False, False, True]


def test_thinking_of_anthropic_is_signed_before_its_block_ends() -> None:
    events = decode_sse(Door(Script(Reasoning("so"), "a")).body("/v1/messages", _streamed()))

    kinds = [json.loads(event.data).get("delta", {}).get("type") or event.name for event in events]

    assert kinds == [
        "message_start",
        "content_block_start",
        "thinking_delta",
        "signature_delta",
        "content_block_stop",
        "content_block_start",
        "text_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_each_block_of_anthropic_has_a_number_of_its_own() -> None:
    events = decode_sse(Door(Script("a b ", ToolCall("t"), "c d")).body("/v1/messages", _streamed()))

    said = [json.loads(event.data) for event in events if event.name == "content_block_delta"]

    assert [(one["index"], one["delta"]["type"]) for one in said] == [
        (0, "text_delta"),
        (0, "text_delta"),
        (1, "input_json_delta"),
        (1, "input_json_delta"),
        (2, "text_delta"),
        (2, "text_delta"),
    ]


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("API.OpenAI.com.", "openai"),
        ("evilapi.openai.com", None),
        ("api.openai.com.evil.org", None),
        ("me.openai.azure.com", "azure"),
        ("us-east5-aiplatform.googleapis.com", "vertex"),
        ("aiplatform.eu.rep.googleapis.com", "vertex"),
        ("us-east5-aiplatform.mtls.googleapis.com", "vertex"),
        ("bedrock-runtime.eu-central-1.amazonaws.com", "bedrock"),
        ("bedrock-runtime-fips.us-gov-west-1.api.aws", "bedrock"),
        ("bedrock.eu-central-1.amazonaws.com", "bedrock"),
        ("s3.eu-central-1.amazonaws.com", None),
        ("oauth2.googleapis.com", None),
        ("localhost", None),
    ],
)
def test_host_is_known_by_its_whole_name(host: str, provider: str | None) -> None:
    assert provider_of(host) == provider


def _streamed() -> dict[str, Any]:
    return {"model": "m", "messages": HELLO, "stream": True}
