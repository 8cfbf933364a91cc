from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pytest_mockstream import (
    Completion,
    ErrorEvent,
    HTTPError,
    MockStreamClient,
    ProviderError,
    Reasoning,
    Script,
    ScriptError,
    Stall,
    ToolCall,
    Truncate,
    UnexpectedRequestError,
    UnusedScriptError,
    Usage,
    Wait,
)

HI = [{"role": "user", "content": "hi"}]


@pytest.fixture
def client() -> MockStreamClient:
    return MockStreamClient()


def ask(client: MockStreamClient, how: str, **params: Any) -> Completion:
    method = getattr(client, how)
    answer = method(HI, **params)
    return answer if isinstance(answer, Completion) else asyncio.run(answer)


WHOLE = pytest.mark.parametrize("how", ["complete", "chat", "acomplete", "achat"])


@WHOLE
def test_whole_reply_is_what_its_stream_would_have_been(client: MockStreamClient, how: str) -> None:
    client.respond(Reasoning("hm"), "Paris ", "it is.", ToolCall("f", {"x": 1}), usage=Usage(prompt_tokens=5))

    got = ask(client, how, model="m-1")

    assert (got.content, got.reasoning, got.finish_reason, got.model) == ("Paris it is.", "hm", "tool_calls", "m-1")
    assert [(call.id, call.name, call.arguments) for call in got.tool_calls] == [("call_1", "f", '{"x": 1}')]
    assert got.usage == Usage(prompt_tokens=5)
    assert client.requests[0].state == "exhausted"
    assert not client.requests[0].streaming


@WHOLE
@pytest.mark.parametrize("fault", [HTTPError(500), ErrorEvent("sorry")])
def test_whole_reply_raises_what_its_stream_would_have_raised(client: MockStreamClient, how: str, fault: Any) -> None:
    client.respond(fault)

    with pytest.raises(ProviderError):
        ask(client, how)

    assert client.requests[0].state == "broken"


@WHOLE
def test_truncated_whole_reply_has_no_finish_reason(client: MockStreamClient, how: str) -> None:
    client.respond("half a sen", Truncate())

    assert ask(client, how).finish_reason is None


@WHOLE
def test_whole_reply_keeps_its_timeout(client: MockStreamClient, how: str) -> None:
    client.respond("a", Stall())

    with pytest.raises(TimeoutError):
        ask(client, how, timeout=0.02)

    assert client.requests[0].state == "cancelled"


def test_client_introduces_itself(client: MockStreamClient) -> None:
    assert client.provider == "mock"
    assert client.is_available()
    assert client.complete("hi").content == client.default_text


def test_with_nothing_queued_every_request_gets_the_default_text() -> None:
    client = MockStreamClient(default_text="42")

    assert [client.complete("a").content, client.complete("b").content] == ["42", "42"]
    client.verify()


def test_scripts_are_played_in_the_order_they_were_queued(client: MockStreamClient) -> None:
    client.respond("one")
    client.respond("two", times=2)

    assert [client.complete("?").content for _ in range(3)] == ["one", "two", "two"]
    client.verify()


def test_used_up_scripts_raise_and_the_client_remembers(client: MockStreamClient) -> None:
    client.respond("one")
    client.complete("first")

    with pytest.raises(UnexpectedRequestError) as caught:
        client.complete_stream("second", model="m")

    assert str(caught.value).splitlines()[0].startswith("no script left for complete_stream (request 2, at ")
    assert "It asked model 'm' (provider 'mock'): 'second'" in str(caught.value)
    assert "The one script that was queued has been played" in str(caught.value)
    assert "mock_stream_client.respond(...)" in str(caught.value)
    with pytest.raises(UnexpectedRequestError):
        client.verify()


def test_unused_script_is_named(client: MockStreamClient) -> None:
    client.respond("one")
    client.when(contains="weather").respond("rain", times=2)
    client.complete("hi")

    with pytest.raises(UnusedScriptError, match=r"1 script was not played:\n.*rain.*'weather'.*played 0 of 2 times"):
        client.verify()
    client.verify(unused="allow")


def test_script_for_any_number_of_requests_must_be_asked_for_once(client: MockStreamClient) -> None:
    client.respond("always", times=None)

    with pytest.raises(UnusedScriptError):
        client.verify()
    client.complete("hi")
    client.verify()


@pytest.mark.parametrize(
    ("condition", "matching", "other"),
    [
        ({"contains": "weather"}, {"prompt": "the weather?"}, {"prompt": "the time?"}),
        ({"matches": r"^\d+$"}, {"prompt": "42"}, {"prompt": "42 and"}),
        ({"model": "big"}, {"prompt": "x", "model": "big"}, {"prompt": "x", "model": "small"}),
        ({"predicate": lambda r: r.params.get("temperature") == 0}, {"prompt": "x", "temperature": 0}, {"prompt": "x"}),
        ({"provider": "mock", "contains": "a"}, {"prompt": "a"}, {"prompt": "b"}),
    ],
)
def test_when_narrows(client: MockStreamClient, condition: Any, matching: Any, other: Any) -> None:
    client.when(**condition).respond("narrow")
    client.respond("wide")

    assert client.complete(**other).content == "wide"
    assert client.complete(**matching).content == "narrow"


def test_when_looks_at_the_last_message_of_the_user_only(client: MockStreamClient) -> None:
    client.when(contains="second").respond("yes")
    conversation = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": [{"type": "text", "text": "the second"}]},
        {"role": "tool", "content": "third"},
    ]

    assert client.chat(conversation).content == "yes"  # type: ignore[arg-type]


def test_record_has_what_was_asked(client: MockStreamClient) -> None:
    client.chat(HI, model="m", temperature=0.5)
    (request,) = client.requests

    assert (request.provider, request.path, request.model) == ("mock", "chat", "m")
    assert request.messages == HI
    assert request.params == {"temperature": 0.5}
    assert (request.number, request.text, request.state, request.chunks_sent) == (1, "hi", "exhausted", 12)
    assert request.opened_at.filename == __file__


def test_usage_is_counted_where_the_script_gives_none(client: MockStreamClient) -> None:
    client.respond("one two three")

    usage = client.complete("how many words?").usage

    assert usage == Usage(prompt_tokens=3, completion_tokens=3)


def test_responding_after_a_request_got_the_default_text_is_refused(client: MockStreamClient) -> None:
    client.complete("hi")

    with pytest.raises(ScriptError, match=r"came too late: request 1 \(complete, at .*test_client.py:\d+\)"):
        client.respond("too late")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda c: c.complete(3), ["3 is not a conversation"]),
        (lambda c: c.chat("hi"), ["'hi' is not a conversation"]),
        (lambda c: c.chat(["hi"]), ["['hi']"]),
        (lambda c: c.chat({"role": "user"}), ["not a conversation"]),
        (lambda c: c.complete_stream("x", producer="both"), ["producer='both'", "'inline' or 'background'"]),
        (lambda c: c.complete_stream("x", buffer_size=0), ["buffer_size=0", ">= 1"]),
        (lambda c: c.complete_stream("x", timeout=-1), ["timeout=-1"]),
        (lambda c: c.complete_stream("x", errors="ignore"), ["errors='ignore'", "'raise' or 'chunk'"]),
        (lambda c: c.respond(Wait(1), times=-1), ["times=-1"]),
        (lambda c: c.when(contains=3), ["contains=3"]),
        (lambda c: c.when(matches="("), ["matches='('", "regular expression"]),
        (lambda c: c.when(predicate=3), ["predicate=3"]),
        (lambda c: MockStreamClient(delay=-1), ["delay=-1"]),
        (lambda c: MockStreamClient(delay=1, tokens_per_second=1), ["contradict"]),
        (lambda c: MockStreamClient(buffer_size=1.5), ["buffer_size=1.5"]),  # type: ignore[arg-type]
        (lambda c: MockStreamClient(producer="x"), ["producer='x'"]),  # type: ignore[arg-type]
    ],
)
def test_bad_input_is_refused_and_nothing_is_half_applied(
    client: MockStreamClient, make: Any, words: list[str]
) -> None:
    client.respond("kept")

    with pytest.raises(ScriptError) as caught:
        make(client)

    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert client.requests == []
    assert client.complete("hi").content == "kept"


def test_jitter_is_the_same_for_the_same_client_again() -> None:
    def instants() -> list[float]:
        client = MockStreamClient(delay=0.001, jitter=0.001, seed=3)
        client.respond(Script("a b c d"))
        return [chunk.timestamp for chunk in client.complete_stream("hi")]

    assert instants() == instants()
