"""The record of a request keeps everything, shows no secret, and can be copied; what it remembers is bounded."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from pytest_mockstream import (
    MockStreamClient,
    Request,
    Script,
    ScriptError,
    UnexpectedRequestError,
    UnusedScriptError,
)
from pytest_mockstream._base.callsite import calling_site
from pytest_mockstream.doors.answer import answer
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.doors.server import MockStreamServer
from pytest_mockstream.playbook.ledger import open_requests
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.playbook.queued import Condition

KEY = "sk-" + "LIVE-7f3a9c"
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": f"my key is {KEY}"}], "temperature": 0}
URL = "https://api.openai.com/v1/chat/completions"


def recorded(body: bytes | dict[str, Any] = CHAT, url: str = URL, tenant: str | None = None) -> Request:
    playbook = Playbook(Script("default", times=None), name="door")
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {KEY}"} | ({"x-tenant": tenant} if tenant else {})
    incoming = HTTPRequest(method="POST", url=url, headers=headers, body=sent)
    answer(playbook, incoming, opened_at=calling_site()).leave()
    return playbook.requests[0]


def test_body_is_what_was_sent_and_shows_no_secret() -> None:
    request = recorded()

    assert request.body == CHAT
    assert request.text == f"my key is {KEY}"
    assert KEY in request.text
    assert repr(request.body["messages"]) == "[{'role': 'user', 'content': 'my key is [redacted]'}]"
    assert repr(request.text) == "'my key is [redacted]'"


@pytest.mark.parametrize(
    ("sent", "body"),
    [(b"", None), (b"{ no json", "{ no json"), (b"[1]", "[1]"), (b'{"messages": 3}', {"messages": 3})],
    ids=["none", "no JSON", "no object", "not understood"],
)
def test_body_of_a_request_that_is_refused_is_kept(sent: bytes, body: object) -> None:
    assert recorded(sent).body == body


def test_raw_headers_are_there_for_whoever_asks() -> None:
    request = recorded(tenant="north")

    assert request.headers == {"authorization": "[redacted]", "x-tenant": "[redacted]"}
    assert request.raw_headers == {"authorization": f"Bearer {KEY}", "x-tenant": "north"}
    assert type(request.raw_headers["authorization"]) is str


@pytest.mark.parametrize("show", [repr, str, vars, asdict, lambda request: request.path], ids=range(5))
def test_record_shows_no_secret(show: Callable[[Any], Any]) -> None:
    request = recorded(url=f"https://u:{KEY}@api.openai.com/{KEY}/chat/completions?key={KEY}")

    assert KEY not in repr(show(request))
    assert request.path == f"/{KEY}/chat/completions"


def test_body_of_the_client_is_what_its_method_was_given() -> None:
    client = MockStreamClient()
    messages = [{"role": "user", "content": "hi"}]
    client.complete("hi", model="m", api_key=KEY)
    client.chat(messages, extra_headers={"Authorization": KEY})
    messages[0]["content"] = "changed later"

    prompted, chatted = client.requests
    assert prompted.body == {"prompt": "hi", "model": "m", "api_key": KEY}
    assert chatted.body["messages"] == chatted.messages == [{"role": "user", "content": "hi"}]
    assert KEY not in repr([(request.body, request.params) for request in client.requests])


def pickled(request: Request) -> Request:
    copied: Request = pickle.loads(pickle.dumps(request))  # noqa: S301 - our own
    return copied


@pytest.mark.parametrize("name", ["messages", "params", "tools", "body", "path", "model", "streaming", "raw_headers"])
@pytest.mark.parametrize("way", [copy.deepcopy, pickled])
def test_copied_record_is_equal(way: Callable[[Request], Request], name: str) -> None:
    request = recorded()

    assert getattr(way(request), name) == getattr(request, name)


@pytest.mark.parametrize("way", [copy.deepcopy, pickled])
def test_copied_record_stays_as_it_was(way: Callable[[Request], Request]) -> None:
    client = MockStreamClient()
    client.respond("one two three")
    with client.complete_stream("hi") as stream:
        next(stream)
        copied = way(stream.request)
        next(stream)

    assert (copied.number, copied.state, copied.chunks_sent, copied.chunk_count) == (1, "open", 1, 4)
    assert (stream.request.state, stream.request.chunks_sent) == ("closed", 2)
    assert copied not in open_requests()
    with pytest.raises(AssertionError, match="is still open"):
        copied.assert_closed()


def test_copied_record_of_a_stream_that_is_over_tells_the_same() -> None:
    client = MockStreamClient()
    client.respond("one two three")
    with client.complete_stream("hi") as stream:
        next(stream)
    request = stream.request
    copied = copy.deepcopy(request)

    copied.assert_closed(within=10, after_chunk=1)
    assert str(copied) == str(request)
    assert repr(copied) == repr(request)
    assert copied.chunks_wasted == request.chunks_wasted == 3


def test_shallow_copy_goes_on_telling_of_its_stream() -> None:
    client = MockStreamClient()
    with client.complete_stream("hi") as stream:
        copied = copy.copy(stream.request)

    assert copied.state == "closed"


def test_record_as_a_dict_is_what_was_asked() -> None:
    told = asdict(recorded())

    assert list(told) == [
        "provider",
        "path",
        "model",
        "messages",
        "params",
        "tools",
        "headers",
        "body",
        "method",
        "streaming",
        "opened_at",
    ]  # fmt: skip
    assert told["body"] == CHAT


# Bounds.


@pytest.mark.parametrize(("keep", "numbers"), [(None, [1, 2, 3]), (2, [2, 3]), (1, [3]), (0, [])])
def test_record_is_bounded(keep: int | None, numbers: list[int]) -> None:
    playbook = Playbook(Script("default", times=None), name="door", keep=keep)
    for _ in range(3):
        playbook.record(recorded())

    assert [request.number for request in playbook.requests] == numbers


def test_first_error_is_remembered_whatever_the_bound() -> None:
    playbook = Playbook(Script("default", times=None), name="door", keep=0)
    for place in range(3):
        playbook.refuse(recorded(), UnexpectedRequestError(f"error {place}"))

    assert len(playbook.unexpected) == 1
    with pytest.raises(UnexpectedRequestError, match="error 0"):
        playbook.verify()


def test_script_that_comes_too_late_is_refused_although_nothing_is_recorded() -> None:
    playbook = Playbook(Script("default", times=None), name="door", keep=0)
    playbook.answer(recorded())

    with pytest.raises(ScriptError, match=r"came too late: request 1 \(/v1/chat/completions, at "):
        playbook.queue(Script("late"), Condition())


@pytest.mark.parametrize("record", [-1, 1.5, "many"])
def test_bound_that_makes_no_sense_is_refused(record: Any) -> None:
    with pytest.raises(ScriptError, match=r"record=.*: give a whole number >= 0"):
        MockStreamServer(record=record)


def test_message_lists_ten_scripts_and_80_characters_of_each() -> None:
    client = MockStreamClient()
    for _ in range(12):
        client.respond("long " * 100)
    client.when(contains="x" * 500).respond("a")

    with pytest.raises(UnusedScriptError) as caught:
        client.verify()

    lines = str(caught.value).splitlines()
    scripts = [line for line in lines if line.startswith("    Script(")]
    assert len(scripts) == 10
    assert all(len(line.partition(" for any request")[0].strip()) <= 80 for line in scripts)
    assert "    and 3 more" in lines


def test_message_shows_no_secret_of_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "open sesame")
    client = MockStreamClient()
    client.when(contains="open sesame").respond("say open sesame")

    with pytest.raises(UnusedScriptError) as caught:
        client.verify()

    assert "open sesame" not in str(caught.value)


def test_record_says_whether_a_stream_was_asked_for() -> None:
    client = MockStreamClient()
    client.complete("hi")
    client.complete_stream("hi").close()

    whole, streamed = client.requests
    assert str(whole).startswith("answer of mock complete (request 1, exhausted, ")
    assert str(streamed).startswith("stream of mock complete_stream (request 2, closed, ")
