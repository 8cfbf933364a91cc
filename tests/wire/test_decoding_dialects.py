"""Chats are read as providers document them, and as their servers are known to send them.

OpenAI: https://platform.openai.com/docs/api-reference/chat-streaming; the others as ``dialects`` says, by provider.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from decoding_laws import Written, read
from test_decoding_openai_chat import asked

from pytest_mockstream import (
    Citation,
    ErrorEvent,
    HTTPError,
    Image,
    KeepAlive,
    Malformed,
    Reasoning,
    Refusal,
    Text,
    Together,
    ToolCall,
    Truncate,
    Usage,
)
from pytest_mockstream.recordings.composer import Composed


def delta(finish: str | None = None, /, **fields: Any) -> dict[str, Any]:
    """Return a frame with one choice."""
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def fragment(index: int | None, arguments: Any = "", **named: Any) -> dict[str, Any]:
    """Return a fragment of a tool call; ``name`` goes to its function."""
    function = {"arguments": arguments} | ({"name": named.pop("name")} if "name" in named else {})
    return named | ({} if index is None else {"index": index}) | {"function": function}


def heard(*frames: Any, provider: str = "openai") -> Composed:
    """Return what is heard of a stream; a frame that is text is sent as it is."""
    written = [frame if isinstance(frame, str) else f"data: {json.dumps(frame)}\n\n" for frame in frames]
    return read(asked(provider), Written(200, {}, [text.encode() for text in written], "end"))


def whole(provider: str = "openai", /, status: int = 200, **body: Any) -> Composed:
    """Return what is heard of a body."""
    return read(asked(provider, stream=False), Written(status, {}, [json.dumps(body).encode()], "end"))


def message(**fields: Any) -> list[dict[str, Any]]:
    """Return the choices of a body."""
    return [{"index": 0, "message": {"role": "assistant"} | fields, "finish_reason": "stop"}]


def tokens(said: int, done: int, **parts: int) -> Usage:
    """Return how many tokens were used."""
    return Usage(prompt_tokens=said, completion_tokens=done, **parts)


DONE = "data: [DONE]\n\n"
STOP = delta("stop")


# Text and reasoning.


def test_openai_text_with_usage_in_a_chunk_of_its_own() -> None:
    told = {
        "prompt_tokens": 9,
        "completion_tokens": 12,
        "total_tokens": 21,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 7, "audio_tokens": 2, "accepted_prediction_tokens": 0},
    }

    found = heard(
        delta(role="assistant", content="", refusal=None) | {"obfuscation": "x", "usage": None},
        delta(content="Hello"),
        delta(content="", refusal=None),
        delta(content="!"),
        STOP,
        {"choices": [], "usage": told},
        DONE,
    )

    usage = tokens(9, 12, reasoning_tokens=7, cached_tokens=4, prompt_audio_tokens=1, completion_audio_tokens=2)
    assert (found.steps, found.finish, found.usage) == ((Text(["Hello", "", "!"]),), "stop", usage)


def test_openai_refuses() -> None:
    assert heard(delta(role="assistant", content="", refusal=None), delta(refusal="I can't"), STOP).steps == (
        Refusal(["I can't"]),
    )


def test_deepseek_thinks() -> None:
    found = heard(
        delta(role="assistant", content=None, reasoning_content=""),
        delta(content=None, reasoning_content="Hm"),
        delta(content="4", reasoning_content=None),
        delta("stop", content="", reasoning_content=None)
        | {"usage": {"prompt_tokens": 5, "completion_tokens": 3, "prompt_cache_hit_tokens": 2}},
        DONE,
        provider="deepseek",
    )

    assert found.steps == (Reasoning(["Hm"]), Text(["4"]))
    assert found.usage == tokens(5, 3, cached_tokens=2)


def test_openrouter_thinks_in_two_fields() -> None:
    details = [{"type": "reasoning.text", "text": "Hm", "signature": "s", "index": 0}]

    found = heard(
        ": OPENROUTER PROCESSING\n\n",
        delta(role="assistant", content="", reasoning="Hm", reasoning_details=details),
        delta(role="assistant", content="", reasoning=None, reasoning_details=[{"type": "reasoning.encrypted"}]),
        delta(role="assistant", content="", reasoning_details=[{"type": "reasoning.summary", "summary": "So."}]),
        delta("stop", role="assistant", content="") | {"usage": {"prompt_tokens": 5, "cost": 0.1}},
        DONE,
        provider="openrouter",
    )

    assert found.steps == (KeepAlive(), Reasoning(["Hm"]), Text([""]), Reasoning(["So."]))
    assert found.usage == tokens(5, 0)


def test_mistral_thinks_in_parts_of_the_content() -> None:
    found = heard(
        delta(role="assistant", content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]),
        delta(content=[{"type": "text", "text": "4"}, {"type": "reference", "reference_ids": [1]}]),
        delta("model_length", content=""),
        provider="mistral",
    )

    assert (found.steps, found.finish) == ((Reasoning(["Hm"]), Text(["4"])), "model_length")


@pytest.mark.parametrize(
    "texts", [["<think>", "Hm", "</think>", "4"], ["<th", "ink>H", "m</thi", "nk>", "4"], ["<think>Hm</think>4"]]
)
def test_perplexity_thinks_between_marks_however_they_are_cut(texts: list[str]) -> None:
    found = heard(*(delta(role="assistant", content=text) for text in texts), STOP, provider="perplexity")

    parts = [part for step in found.steps for part in (step.parts if isinstance(step, Together) else (step,))]
    assert "".join(part.text for part in parts if isinstance(part, Reasoning)) == "Hm"
    assert "".join(part.text for part in parts if isinstance(part, Text)) == "4"


def test_what_only_looks_like_a_mark_is_text() -> None:
    found = heard(delta(content="a <th"), delta(content="e b> </"), STOP, provider="perplexity")

    assert [step.text for step in found.steps if isinstance(step, Text)] == ["a <the b> </"]
    assert heard(delta(content="<think>"), STOP).steps == (Text(["<think>"]),)


# Usage.


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        pytest.param(
            {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 9}
            | {"completion_tokens_details": {"reasoning_tokens": 3}},
            tokens(5, 4, reasoning_tokens=3),
            id="xai-counts-reasoning-beside-the-output",
        ),
        pytest.param(
            {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9, "reasoning_tokens": 3},
            tokens(5, 4, reasoning_tokens=3),
            id="perplexity-has-no-details",
        ),
        pytest.param({"prompt_tokens": 5, "completion_tokens": None}, tokens(5, 0), id="no-output"),
        pytest.param(
            {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 7}},
            tokens(1, 0, cached_tokens=1),
            id="odd",
        ),
    ],
)
def test_usage(told: dict[str, Any], usage: Usage) -> None:
    assert heard(delta(content="a"), STOP, {"choices": [], "usage": told}).usage == usage
    assert heard(delta(content="a"), STOP, {"usage": told}).usage == usage
    assert heard(delta(content="a"), delta("stop") | {"x_groq": {"id": "req", "usage": told}}).usage == usage
    assert whole(choices=message(content="a"), usage=told).usage == usage


# Tool calls.


def test_parallel_calls_are_told_apart_by_index() -> None:
    found = heard(
        delta(role="assistant", content=None),
        delta(tool_calls=[fragment(0, name="f", id="call_a", type="function")]),
        delta(tool_calls=[fragment(0, '{"a":')]),
        delta(tool_calls=[fragment(0, "1}")]),
        delta(tool_calls=[fragment(1, name="g", id="call_b", type="function")]),
        delta(tool_calls=[fragment(1, "{}")]),
        delta("tool_calls"),
    )

    assert found.steps == (
        ToolCall("f", '{"a":1}', "call_a", fragments=["", '{"a":', "1}"]),
        ToolCall("g", "{}", "call_b", fragments=["", "{}"]),
    )


def test_calls_that_all_have_the_same_index() -> None:
    found = heard(
        delta(tool_calls=[fragment(0, "{}", name="f", id="a")]), delta(tool_calls=[fragment(0, "{}", name="f", id="b")])
    )

    assert found.steps[:2] == (
        ToolCall("f", {}, "a", fragments="whole"),
        ToolCall("f", {}, "b", fragments="whole", index=0),
    )


def test_mistral_sends_a_call_without_index_with_the_finish_reason() -> None:
    call = fragment(None, "{}", name="f", id="a")

    found = heard(delta("tool_calls", content="", tool_calls=[call]), provider="mistral")

    assert (found.steps, found.finish) == ((ToolCall("f", {}, "a", fragments="whole"),), "tool_calls")


def test_calls_of_one_chunk_come_one_by_one() -> None:
    calls = [fragment(0, "{}", name="f", id="a"), fragment(1, "{}", name="g", id="b")]

    found = heard(delta(tool_calls=calls), delta("tool_calls"), provider="groq")

    assert found.steps == (ToolCall("f", {}, "a", fragments="whole"), ToolCall("g", {}, "b", fragments="whole"))
    assert found.lost == ("that several parts came in one chunk",)


def test_first_fragment_with_text() -> None:
    found = heard(
        delta(content="So", tool_calls=[fragment(0, name="f", id="a")]), delta(tool_calls=[fragment(0, "{}")])
    )

    assert found.steps[:2] == (Text(["So"]), ToolCall("f", "{}", "a", fragments=["", "{}"]))


@pytest.mark.parametrize(
    "second",
    [
        fragment(0, "{}"),
        fragment(0, "{}", id="", name=""),
        fragment(0, "{}", id=None, name=None),
        fragment(0, "{}", id="a", name="f", type="function"),
        fragment(None, "{}"),
    ],
    ids=["openai", "empty", "null", "repeats itself", "no index"],
)
def test_further_fragments_of_a_call(second: Any) -> None:
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "f"}}

    found = heard(delta(tool_calls=[first]), delta(tool_calls=[second]))

    assert found.steps[0] == ToolCall("f", "{}", "a", fragments=["", "{}"])


def test_id_that_comes_before_the_name() -> None:
    found = heard(delta(tool_calls=[{"index": 0, "id": "a"}]), delta(tool_calls=[fragment(0, "{}", name="f")]))

    assert found.steps[0] == ToolCall("f", {}, "a", fragments="whole")


def test_null_among_the_arguments() -> None:
    found = heard(delta(tool_calls=[fragment(0, None, name="f")]), delta(tool_calls=[fragment(0, "{}")]))

    assert found.steps[0] == ToolCall("f", "{}", "", fragments=[None, "{}"])


def test_tgi_sends_an_object_for_calls_and_for_arguments() -> None:
    call = fragment(0, {"a": 1}, name="f", id="0")

    assert heard(delta(tool_calls=call), provider="huggingface").steps[0] == ToolCall(
        "f", {"a": 1}, "0", fragments="whole"
    )


def test_legacy_function_call_is_a_call_without_id() -> None:
    found = heard(
        delta(role="assistant", content=None, function_call={"name": "f", "arguments": ""}),
        delta(function_call={"arguments": "{}"}),
        delta("function_call"),
    )

    assert (found.steps, found.finish) == ((ToolCall("f", "{}", "", fragments=["", "{}"]),), "function_call")


# Sources, images, and what says nothing.


def test_sources_and_images() -> None:
    source = {"url": "https://a.example", "title": "A", "content": "so", "start_index": 0, "end_index": 2}
    images = [
        {"type": "image_url", "image_url": {"url": "data:image/webp;base64,AA=="}},
        {"type": "image_url", "image_url": {"url": "https://a.example/1.png"}},
    ]
    annotations = [{"type": "url_citation", "url_citation": source}, {"type": "file", "file": {}}]

    found = heard(delta(content="so"), delta(annotations=annotations), delta(content="", images=images), STOP)
    body = whole(choices=message(content="so", annotations=annotations, images=images))

    steps = (Citation("https://a.example", "A", "so", start=0, end=2), Image("AA==", media_type="image/webp"))
    assert found.steps == body.steps == (Text(["so"]), *steps)


def test_chunks_of_azure_that_say_nothing() -> None:
    found = heard(
        {"choices": [], "model": "", "prompt_filter_results": [{"prompt_index": 0}]},
        delta(role="assistant", content="", refusal=None),
        delta(content="a"),
        STOP,
        {"choices": [{"index": 0, "content_filter_offsets": {"start_offset": 0}, "finish_reason": None}]},
        DONE,
        provider="azure",
    )

    assert (found.steps, found.finish) == ((Text(["a"]),), "stop")


def test_events_that_nobody_knows_are_passed_over() -> None:
    found = heard(delta(content="a"), {"type": "ping"}, "event: ping\ndata: {}\n\n", "event: x\ndata: {}\n\n", STOP)

    assert found.steps == (Text(["a"]),)


def test_stream_that_never_says_why_it_ends_is_truncated() -> None:
    assert heard(delta(content="a"), DONE).steps == (Text(["a"]), Truncate())


def test_frame_that_is_no_chunk_is_malformed() -> None:
    found = heard(delta(content="a"), {"id": 1}, 'data: {"choices": 5}\n\n', delta(content=5), STOP)

    assert [type(step) for step in found.steps] == [Text, Malformed, Malformed, Malformed]


# Errors.


@pytest.mark.parametrize(
    ("provider", "body", "error"),
    [
        pytest.param(
            "openai",
            {"error": {"message": "no", "type": "server_error", "param": None, "code": None}},
            ErrorEvent("no", type="server_error"),
            id="openai",
        ),
        pytest.param(
            "openrouter",
            delta("error", content="") | {"error": {"code": 502, "message": "no", "metadata": {}}},
            ErrorEvent("no"),
            id="openrouter",
        ),
        pytest.param("xai", {"code": "Too many", "error": "no"}, ErrorEvent("no", code="Too many"), id="xai"),
        pytest.param(
            "vllm",
            {"object": "error", "message": "no", "type": "BadRequestError", "param": None, "code": 400},
            ErrorEvent("no", type="BadRequestError"),
            id="vllm before 0.10",
        ),
        pytest.param(
            "huggingface", {"error": "no", "error_type": "overloaded"}, ErrorEvent("no", type="overloaded"), id="tgi"
        ),
        pytest.param("mistral", {"detail": [{"msg": "no"}]}, ErrorEvent('[{"msg": "no"}]'), id="fastapi"),
    ],
)
def test_errors(provider: str, body: dict[str, Any], error: ErrorEvent) -> None:
    found = heard(delta(content="a"), body, provider=provider)
    http = whole(provider, 429, **body).steps[0]

    assert found.steps == (Text(["a"]), error)
    assert isinstance(http, HTTPError)
    assert (http.message, http.type, http.code) == (error.message, error.type, error.code)


@pytest.mark.parametrize("page", ["<html>No</html>", "<html>\n<p>No</p>\n\n", "Bad gateway"])
def test_page_of_a_proxy_is_no_frame(page: str) -> None:
    assert heard(page).steps == (Malformed(page, framed=False), Truncate())


@pytest.mark.parametrize("torn", ["d", "data", "data: {", "event: x\ndat", ": keep", ":", "\n"])
def test_part_of_a_frame_is_no_page(torn: str) -> None:
    assert heard(torn).steps == (Truncate(inside_frame=torn != "\n"),)


@pytest.mark.parametrize("after", ["2", "1.5", "Sun, 06 Nov 1994 08:49:37 GMT", "soon", "-1", ""])
def test_time_to_wait_of_an_http_error(after: str) -> None:
    found = read(asked("openai"), Written(429, {"Retry-After": after}, [b"{}"], "end"))

    (error,) = found.steps
    assert isinstance(error, HTTPError)
    assert error.http_headers == {"retry-after": after}


def test_event_that_is_named_an_error() -> None:
    found = heard(delta(content="a"), 'event: error\ndata: {"message": "no"}\n\n')

    assert found.steps == (Text(["a"]), ErrorEvent("no"))


def test_body_that_is_an_error_with_status_200() -> None:
    assert whole("openrouter", error={"code": 502, "message": "no"}).steps == (ErrorEvent("no"),)


# Whole replies.


def test_whole_reply() -> None:
    calls = [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"id": "b", "type": "custom", "custom": {"name": "g", "input": "print()"}},
    ]

    found = whole(choices=message(content="So", refusal=None, reasoning_content="Hm", tool_calls=calls))

    assert found.steps == (
        Reasoning(["Hm"]),
        Text(["So"]),
        ToolCall("f", {"a": 1}, "a", fragments="whole"),
        ToolCall("g", "print()", "b", fragments="whole"),
    )
    assert (found.finish, found.usage) == ("stop", None)


def test_whole_calls_of_the_same_name_without_ids() -> None:
    calls = [{"function": {"name": "f", "arguments": "{}"}}] * 2

    assert whole(choices=message(content=None, tool_calls=calls)).steps == (
        ToolCall("f", {}, "", fragments="whole"),
        ToolCall("f", {}, "", fragments="whole"),
    )


def test_of_several_choices_the_first_is_heard() -> None:
    frames = [{"choices": [{"index": index, "delta": {"content": text}}]} for index, text in enumerate("abc")]

    assert heard(*frames, STOP).steps == (Text(["a"]),)
