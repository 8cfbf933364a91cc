"""Errors as they are told apart: types, codes, headers, dates, and responses that say that they failed."""

from __future__ import annotations

import json
import math
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import openai
import pytest
from decoders import decode_sse
from door import HELLO, Door, frames
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from pytest_mockstream import (
    ErrorEvent,
    Failed,
    HTTPError,
    MockStreamClient,
    ProviderError,
    Reasoning,
    Script,
    ScriptError,
    ToolCall,
)
from pytest_mockstream.playbook.queued import Condition
from pytest_mockstream.wire import DIALECTS
from pytest_mockstream.wire.format import WireFormat
from pytest_mockstream.wire.formats import openai_chat, openai_completions

CHAT = ("/v1/chat/completions", {"model": "gpt", "messages": HELLO, "stream": True})
RESPONSES = ("/v1/responses", {"model": "gpt", "input": "hi", "stream": True})
MESSAGES = ("/v1/messages", {"model": "claude", "messages": HELLO, "max_tokens": 9, "stream": True})
GEMINI = ("/v1beta/models/m:streamGenerateContent?alt=sse", {"contents": [{"parts": [{"text": "hi"}]}]})
OLLAMA = ("/api/chat", {"model": "llama", "messages": HELLO})
STREAM_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def error_of(step: ErrorEvent | HTTPError, asked: tuple[str, Any] = CHAT, **changes: Any) -> dict[str, Any]:
    path, sent = asked
    return dict(json.loads(Door(Script(step)).body(path, sent | changes))["error"])


@pytest.mark.parametrize(
    ("step", "kind", "code"),
    [
        (HTTPError(429), "rate_limit_error", "rate_limit_exceeded"),
        (HTTPError(429, type="insufficient_quota"), "insufficient_quota", "insufficient_quota"),
        (HTTPError(429, code="insufficient_quota"), "insufficient_quota", "insufficient_quota"),
        (HTTPError(429, type="tokens"), "tokens", "rate_limit_exceeded"),
        (HTTPError(429, type="of_mine"), "of_mine", None),
        (HTTPError(429, type="of_mine", code="mine"), "of_mine", "mine"),
        (HTTPError(400, code="context_length_exceeded"), "invalid_request_error", "context_length_exceeded"),
        (HTTPError(418, code="teapot"), "invalid_request_error", "teapot"),
        (HTTPError(404), "invalid_request_error", "not_found"),
        (HTTPError(400), "invalid_request_error", None),
        (HTTPError(500), "server_error", None),
    ],
)
def test_type_and_code_of_openai_agree(step: HTTPError, kind: str, code: str | None) -> None:
    error = error_of(step)

    assert (error["type"], error["code"]) == (kind, code)


@pytest.mark.parametrize(
    ("step", "status", "kind", "code"),
    [
        (ErrorEvent(type="insufficient_quota"), 429, "insufficient_quota", "insufficient_quota"),
        (ErrorEvent(code="insufficient_quota"), 429, "insufficient_quota", "insufficient_quota"),
        (ErrorEvent(type="of_mine", code="rate_limit_exceeded"), 429, "of_mine", "rate_limit_exceeded"),
        (ErrorEvent(type="of_mine"), 500, "of_mine", None),
    ],
)
def test_error_event_is_the_same_error_streamed_and_whole(
    step: ErrorEvent, status: int, kind: str, code: str | None
) -> None:
    whole = Door(Script(step))

    error = json.loads(whole.body(CHAT[0], CHAT[1] | {"stream": False}))["error"]

    assert (error["type"], error["code"]) == (kind, code)
    (event,) = decode_sse(Door(Script(step)).body(*CHAT))
    assert json.loads(event.data)["error"] == error
    assert Door(Script(step)).post(CHAT[0], CHAT[1] | {"stream": False}).status == status


def test_sdk_tells_no_money_from_too_fast() -> None:
    for step in (HTTPError(429, type="insufficient_quota"), ErrorEvent("no money", type="insufficient_quota")):
        with pytest.raises(openai.RateLimitError) as raised:
            Door(Script(step)).openai().chat.completions.create(model="gpt", messages=HELLO)
        assert (raised.value.type, raised.value.code) == ("insufficient_quota", "insufficient_quota")


@pytest.mark.parametrize(
    ("asked", "kind", "where"),
    [(MESSAGES, "overloaded_error", "type"), (GEMINI, "RESOURCE_EXHAUSTED", "status")],
)
def test_type_of_other_formats_is_the_providers_own_word(asked: Any, kind: str, where: str) -> None:
    assert error_of(HTTPError(429, type=kind), asked)[where] == kind


@pytest.mark.parametrize("asked", [MESSAGES, GEMINI, OLLAMA])
@pytest.mark.parametrize("step", [HTTPError(429, code="x"), ErrorEvent(code="x")])
def test_code_is_refused_where_errors_have_none(asked: Any, step: Any) -> None:
    error = Door(Script(step)).post(*asked).error

    assert isinstance(error, ScriptError)
    assert "its errors have no code" in str(error)
    assert error.args[0].endswith("give type=")


FORM = {"content-type": "multipart/form-data; boundary=x"}
FORM_FIELDS = {"model": "whisper", "stream": "true", 'file"; filename="a.wav': "RIFF"}
HEARD = "".join(
    f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in FORM_FIELDS.items()
)


@pytest.mark.parametrize("step", [HTTPError(429, code="mine"), ErrorEvent(code="mine")])
@pytest.mark.parametrize(
    ("path", "headers", "sent"),
    [
        ("/v1/completions", {}, {"model": "gpt", "prompt": "hi", "stream": True}),
        ("/v1/audio/transcriptions", FORM, f"{HEARD}--x--\r\n".encode()),
        ("/v1/images/generations", {}, {"model": "gpt", "prompt": "hi", "stream": True}),
        ("/v1/moderations", {}, {"model": "gpt", "input": "hi"}),
    ],
)
def test_code_is_said_wherever_errors_are_openais(path: str, headers: dict[str, str], sent: Any, step: Any) -> None:
    door = Door()
    door.playbook.queue(Script(step), Condition(path=path))

    body = b"".join(frames(door.answer("POST", f"https://api.openai.com{path}", headers, sent)))

    told = body.partition(b"data: ")[2] or body
    assert json.loads(told)["error"]["code"] == "mine"


@pytest.mark.parametrize("wire", [openai_chat.FORMAT, openai_completions.FORMAT], ids=lambda wire: wire.name)
@pytest.mark.parametrize("provider", DIALECTS)
def test_dialect_takes_a_code_only_if_it_says_it(wire: WireFormat, provider: str) -> None:
    dialect = wire.dialects[provider]

    assert dialect.has_codes is ("mine" in json.dumps(dialect.error_body(HTTPError(400, code="mine"))))


# Headers, and when to try again.


def headers_of(step: HTTPError) -> dict[str, str]:
    return Door(Script(step)).post(*CHAT).headers


def test_headers_of_an_error_replace_those_of_every_answer() -> None:
    headers = headers_of(HTTPError(429, headers={"X-Request-ID": "mine", "x-ratelimit-remaining-tokens": "0"}))

    assert headers["x-request-id"] == "mine"
    assert headers["x-ratelimit-remaining-tokens"] == "0"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (3, "3"),
        (0.01, "0.01"),
        ("2s", "2"),
        ("50ms", "0.05"),
        ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT"),
        (datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC), "Sun, 06 Nov 1994 08:49:37 GMT"),
        (datetime(1994, 11, 6, 9, 49, 37, tzinfo=timezone(timedelta(hours=1))), "Sun, 06 Nov 1994 08:49:37 GMT"),
    ],
)
def test_retry_after_is_seconds_or_a_date(given: Any, text: str) -> None:
    assert headers_of(HTTPError(503, retry_after=given))["retry-after"] == text


def test_retry_after_may_be_any_text_as_a_header() -> None:
    assert headers_of(HTTPError(503, headers={"Retry-After": "soon"}))["retry-after"] == "soon"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"retry_after": "soon"}, "retry_after='soon' is not a duration.*; or a date, as a datetime or as in 'Sun, 06"),
        ({"retry_after": -1}, "retry_after=-1 is not a duration"),
        ({"retry_after": math.nan}, "is not a duration"),
        ({"retry_after": datetime(2026, 1, 1)}, r"has no time zone: give datetime.now\(UTC\)"),
        ({"retry_after": 1, "headers": {"Retry-After": "1"}}, "give one of them"),
        ({"headers": {"Content-Length": "1"}}, "depends on the door"),
        ({"headers": ["a"]}, "give a mapping"),
        ({"type": 1}, r"HTTPError\(type=1\): give a str"),
        ({"code": b""}, r"HTTPError\(code=b''\): give a str"),
        ({"message": None}, r"HTTPError\(message=None\): give a str"),
    ],
)
def test_error_that_cannot_be_is_refused_where_it_is_made(given: Any, message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        HTTPError(429, **given)


@pytest.mark.parametrize("given", [{"message": 1}, {"type": 1}, {"code": 1}])
def test_error_event_takes_text_only(given: Any) -> None:
    with pytest.raises(ScriptError, match=r"ErrorEvent\(\w+=1\): give a str"):
        ErrorEvent(**given)


def provider_error(*steps: Any) -> ProviderError:
    client = MockStreamClient()
    client.respond(*steps)
    with pytest.raises(ProviderError) as raised:
        client.complete("hi")
    return raised.value


def test_reader_of_the_default_client_gets_type_code_and_seconds() -> None:
    error = provider_error(HTTPError(429, type="insufficient_quota", code="c", retry_after="2s"))

    assert (error.status, error.type, error.code, error.retry_after) == (429, "insufficient_quota", "c", 2.0)
    assert provider_error("a", ErrorEvent(code="c")).code == "c"
    assert provider_error(HTTPError(503)).retry_after is None
    assert provider_error(HTTPError(503, headers={"retry-after": "soon"})).retry_after is None


def test_reader_of_the_default_client_gets_the_seconds_until_a_date() -> None:
    later = datetime.fromtimestamp(time.time() + 3600, UTC)

    seconds = provider_error(HTTPError(503, retry_after=later)).retry_after
    past = provider_error(HTTPError(503, retry_after="Sun, 06 Nov 1994 08:49:37 GMT")).retry_after

    assert seconds is not None
    assert 0 < seconds <= 3600
    assert past == 0


# Replies that say that they failed.


def test_response_fails_with_all_that_was_said_until_then() -> None:
    door = Door(Script(Reasoning("hm"), "Par", Failed("boom", code="rate_limit_exceeded")))

    events = [STREAM_EVENT.validate_json(event.data) for event in decode_sse(door.body(*RESPONSES))]

    last = events[-1]
    assert last.type == "response.failed"
    assert last.sequence_number == len(events) - 1
    assert (last.response.status, last.response.usage) == ("failed", None)
    assert (last.response.error.code, last.response.error.message) == ("rate_limit_exceeded", "boom")
    assert last.response.output_text == "Par"
    assert last.response.output[-1].status == "incomplete"
    assert (door.request.state, door.request.chunks_sent) == ("broken", 2)


def test_response_breaks_off() -> None:
    door = Door(Script(ToolCall("f", '{"a"'), Failed(incomplete="max_output_tokens")))

    last = STREAM_EVENT.validate_json(decode_sse(door.body(*RESPONSES))[-1].data)

    assert last.type == "response.incomplete"
    assert (last.response.status, last.response.error) == ("incomplete", None)
    assert last.response.incomplete_details.reason == "max_output_tokens"
    assert last.response.output[0].arguments == '{"a"'


def test_response_that_fails_at_once_begins_all_the_same() -> None:
    events = decode_sse(Door(Script(Failed())).body(*RESPONSES))

    assert [event.name for event in events] == ["response.created", "response.in_progress", "response.failed"]


@pytest.mark.parametrize(
    ("step", "status"), [(Failed("boom"), "failed"), (Failed(incomplete="content_filter"), "incomplete")]
)
def test_failure_is_in_the_body_of_a_reply_that_is_not_streamed(step: Failed, status: str) -> None:
    door = Door(Script("Par", step))

    response = Response.model_validate_json(door.body(RESPONSES[0], RESPONSES[1] | {"stream": False}))

    assert (response.status, response.output_text) == (status, "Par")
    assert (response.error is not None) == (status == "failed")
    assert (response.incomplete_details is not None) == (status == "incomplete")
    assert door.request.state == "broken"


@pytest.mark.parametrize("asked", [CHAT, MESSAGES, GEMINI, OLLAMA])
def test_failure_is_refused_where_a_reply_cannot_say_it(asked: Any) -> None:
    error = Door(Script("Par", Failed())).post(*asked).error

    assert isinstance(error, ScriptError)
    assert "only OpenAI Responses says of a reply that it failed; here an error is ErrorEvent(...)" in str(error)


def test_reader_of_the_default_client_gets_a_failure_as_an_error() -> None:
    failed, cut = provider_error("a", Failed("boom", code="c")), provider_error(Failed(incomplete="content_filter"))

    assert (str(failed), failed.status, failed.code, failed.type) == ("boom", 200, "c", None)
    assert (cut.type, cut.code) == ("content_filter", None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"incomplete": "x"}, r"Failed\(incomplete='x'\): give 'max_output_tokens' or 'content_filter', or None"),
        ({"incomplete": "content_filter", "code": "c"}, "give one of them"),
        ({"message": 1}, r"Failed\(message=1\): give a str"),
    ],
)
def test_failure_that_cannot_be_is_refused_where_it_is_made(given: Any, message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        Failed(**given)


def test_nothing_comes_after_a_failure() -> None:
    with pytest.raises(ScriptError, match="which ends the stream"):
        Script(Failed(), "a")
