"""What is no content: keep-alives, garbage, errors inside a stream, early ends, as bytes of each format."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest
from decoders import decode_ndjson, decode_sse
from door import HELLO, Door, frames
from google.genai import errors
from ollama import ResponseError
from readers import READERS, Reader
from scripts import expected

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    KeepAlive,
    Malformed,
    Script,
    Text,
    ToolCall,
    Truncate,
    Usage,
)

COMMENTS_BREAK = {"gemini-stream", "ollama-chat-stream", "ollama-generate-stream"}


def chat(door: Door) -> Iterator[str]:
    for chunk in door.openai().chat.completions.create(model="m", messages=HELLO, stream=True):
        yield from (choice.delta.content or "" for choice in chunk.choices)


def responses(door: Door) -> Iterator[str]:
    for event in door.openai().responses.create(model="m", input="hi", stream=True):
        if event.type == "response.output_text.delta":
            yield event.delta


def messages(door: Door) -> Iterator[str]:
    with door.anthropic().messages.stream(model="m", max_tokens=9, messages=HELLO) as stream:
        yield from stream.text_stream


def gemini(door: Door) -> Iterator[str]:
    for chunk in door.gemini().models.generate_content_stream(model="m", contents="hi"):
        yield chunk.text or ""


def ollama(door: Door) -> Iterator[str]:
    for part in door.ollama().chat("m", HELLO, stream=True):
        yield part.message.content or ""


TEXT_STREAMS = [chat, responses, messages, gemini, ollama]


def _usage() -> Usage:
    return Usage(prompt_tokens=2, completion_tokens=3)


@pytest.mark.parametrize(
    ("reader", "options"),
    [
        pytest.param(reader, options, id=f"{reader.name}-{options.get('between', 'step')}")
        for reader in READERS
        for options in ({}, {"between": "ping"}, {"between": "comment"})
        if not (options.get("between") == "comment" and reader.name in COMMENTS_BREAK)
    ],
)
def test_keep_alives_are_passed_over(reader: Reader, options: dict[str, Any]) -> None:
    script = Script(KeepAlive(), "a ", KeepAlive(), "b", usage=_usage(), **options)

    reading = reader.read(Door(script))

    assert reading == expected(script, finish=reader.stop)


@pytest.mark.parametrize("reader", [pytest.param(r, id=r.name) for r in READERS if r.name in COMMENTS_BREAK])
def test_comment_breaks_the_sdks_whose_format_has_none(reader: Reader) -> None:
    door = Door(Script("a ", "b", usage=_usage(), between="comment"))

    with pytest.raises((json.JSONDecodeError, errors.UnknownApiResponseError)):
        reader.read(door)


@pytest.mark.parametrize("read", TEXT_STREAMS)
def test_early_end_is_silent_and_breaks_the_stream(read: Callable[[Door], Iterator[str]]) -> None:
    door = Door(Script("one ", "two", Truncate()))

    assert "".join(read(door)) == "one two"
    assert (door.request.state, door.request.chunks_sent) == ("broken", 2)


@pytest.mark.parametrize("read", [chat, responses, messages])
def test_end_inside_a_frame_is_silent_where_blank_lines_end_frames(read: Callable[[Door], Iterator[str]]) -> None:
    door = Door(Script("one ", "two", Truncate(inside_frame=True)))

    assert "".join(read(door)) == "one two"


@pytest.mark.parametrize("read", [gemini, ollama])
def test_end_inside_a_frame_is_garbage_where_the_rest_is_parsed(read: Callable[[Door], Iterator[str]]) -> None:
    door = Door(Script("one ", "two", Truncate(inside_frame=True)))
    got: list[str] = []

    with pytest.raises((json.JSONDecodeError, errors.UnknownApiResponseError)):
        got.extend(read(door))

    assert "".join(got) == "one two"


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (chat, openai.APIError),
        (messages, anthropic.APIStatusError),
        (gemini, errors.ServerError),
        (ollama, ResponseError),
    ],
)
def test_error_event_is_the_sdk_s_exception(read: Callable[[Door], Iterator[str]], error: type[Exception]) -> None:
    door = Door(Script("one", ErrorEvent("no more")))
    got: list[str] = []

    with pytest.raises(error, match="no more"):
        got.extend(read(door))

    assert "".join(got) == "one"


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        (lambda door: door.openai().chat.completions.create(model="m", messages=HELLO), 429),
        (lambda door: door.anthropic().messages.create(model="m", max_tokens=9, messages=HELLO), 529),
    ],
)
def test_error_event_where_nothing_is_streamed_is_an_http_error(ask: Callable[[Door], Any], status: int) -> None:
    kind = {429: "rate_limit_error", 529: "overloaded_error"}[status]
    door = Door(Script("one", ErrorEvent("no more", type=kind)))

    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError), match="no more") as caught:
        ask(door)

    assert getattr(caught.value, "status_code", None) == status


@pytest.mark.parametrize("read", [chat, responses, messages, ollama])
def test_garbage_is_what_the_sdk_cannot_parse(read: Callable[[Door], Iterator[str]]) -> None:
    door = Door(Script("one", Malformed(), "two"))

    with pytest.raises(json.JSONDecodeError):
        list(read(door))


def test_garbage_is_an_unknown_response_to_gemini() -> None:
    door = Door(Script("one", Malformed(), "two"))

    with pytest.raises(errors.UnknownApiResponseError):
        list(gemini(door))


def test_empty_frame_of_anthropic_is_passed_over() -> None:
    assert "".join(messages(Door(Script("one ", Malformed(""), "two")))) == "one two"


def test_garbage_is_one_frame_and_the_stream_goes_on() -> None:
    body = Door(Script("one ", Malformed("{"), "two")).body("/v1/chat/completions", _streamed())

    assert [event.data for event in decode_sse(body)][2] == "{"
    assert decode_sse(body)[-1].data == "[DONE]"


def test_garbage_where_nothing_is_streamed_is_the_body() -> None:
    body = Door(Script("one ", Malformed("<html>"))).body("/v1/chat/completions", {"model": "m", "messages": HELLO})

    assert body == b"<html>"


@pytest.mark.parametrize("fault", [Truncate(), Disconnect()])
def test_whole_body_that_breaks_is_cut_in_half(fault: Any) -> None:
    body = {"model": "m", "messages": HELLO}
    door = Door(Script("one", fault))

    cut = door.body("/v1/chat/completions", body)

    with pytest.raises(json.JSONDecodeError):
        json.loads(cut)
    assert cut
    assert (door.request.state, door.request.chunks_sent) == ("broken", 0)


def test_array_of_gemini_is_json_and_ends_with_its_error() -> None:
    door = Door(Script("one ", "two", ErrorEvent("no more", type="UNAVAILABLE")))

    elements = json.loads(door.body("/v1/models/m:streamGenerateContent", {"contents": [{}]}))

    texts = [element["candidates"][0]["content"]["parts"][0]["text"] for element in elements[:-1]]
    assert texts == ["one ", "two"]
    assert elements[-1] == {"error": {"code": 503, "message": "no more", "status": "UNAVAILABLE"}}


def test_array_of_gemini_is_whole_whatever_stands_between() -> None:
    script = Script("one ", KeepAlive(), "two", between="ping", line_ending="\r\n", fragment=3)

    elements = json.loads(Door(script).body("/v1/models/m:streamGenerateContent", {"contents": [{}]}))

    assert elements[-1]["candidates"][0]["finishReason"] == "STOP"


def test_duplicated_frames_say_all_twice() -> None:
    body = Door(Script(Text(["a", "b"]), duplicate=1)).body("/api/chat", {"model": "m", "messages": HELLO})

    said = [line["message"]["content"] for line in decode_ndjson(body)]

    assert said == ["a", "a", "b", "b", "", ""]


def test_chunks_are_counted_by_their_last_byte_however_the_body_is_cut() -> None:
    door = Door(Script(ToolCall("a", {"b": 1}), "c d", fragment="byte"))
    url = "https://localhost/v1/models/m:streamGenerateContent?alt=sse"
    answered = door.answer("POST", url, body={"contents": [{}]})

    sent = [answered.request.chunks_sent for _ in frames(answered)]

    assert sent[0] == 0
    # A call comes whole, and stands for its three fragments.
    assert sorted(set(sent)) == [0, 3, 4, 5, 6]


def _streamed() -> dict[str, Any]:
    return {"model": "m", "messages": HELLO, "stream": True}
