"""What pages are told: no more than they do not know, no secret, and as much at once as they leave unread."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from pytest_mockstream import Gate, MockStreamServer, Reasoning, ToolCall
from pytest_mockstream.doors.server.panel import Panel

from .conftest import MESSAGES, Wire, chat_request
from .paneled import Page, page_of

SECRET = "sk-0123456789abcdefghij"  # noqa: S105 - it opens nothing


@pytest.fixture
def server() -> Iterator[MockStreamServer]:
    with MockStreamServer(panel=Panel(), keep_alive=True, record=1000) as server:
        yield server


@pytest.fixture
def page(server: MockStreamServer) -> Iterator[Page]:
    with page_of(server.url) as page:
        yield page


def ask(server: MockStreamServer, text: str = "hi", *, stream: bool = True, **headers: str) -> str:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "stream": stream}
    url = f"{server.url}/v1/chat/completions"
    return httpx.post(url, json=body, headers=headers, timeout=30).text


def test_a_page_that_comes_late_is_told_everything(server: MockStreamServer) -> None:
    server.respond("one two", times=None)
    ask(server)
    ask(server)

    with page_of(server.url) as page:
        assert [one["text"] for one in page.streams.values()] == ["one two", "one two"]
        assert page.state["totals"] == {"streams": 2, "shown": 2, "playing": 0}
        assert page.state["scripts"]["listed"][0]["played"] == 2


def test_of_a_stream_that_goes_on_only_what_is_new_is_told(server: MockStreamServer, page: Page) -> None:
    gate = Gate()
    server.respond("one ", gate, "two")
    with closing(Wire(server)) as wire:
        wire.send(chat_request())
        page.latest_is(text="one ")
        page.heard.clear()
        gate.open()
        page.latest_is(state="exhausted")

    told = [one for heard in page.heard for one in json.loads(heard)["streams"]]
    assert [run for one in told for run in one["add"]] == [["text", "two"]]
    assert "asked" not in told[0]


def test_what_is_said_is_told_by_its_kind(server: MockStreamServer, page: Page) -> None:
    server.respond(Reasoning("hm "), "so ", ToolCall("look", {"a": 1}))
    ask(server)
    page.latest_is(state="exhausted")

    runs = [run for heard in page.heard for one in json.loads(heard)["streams"] for run in one["add"]]
    assert list(dict.fromkeys(kind for kind, _ in runs)) == ["reasoning", "text", "tool"]
    assert page.latest["text"] == 'hm so \nlook: {"a": 1}'


def test_an_answer_that_is_not_streamed_is_shown_too(server: MockStreamServer, page: Page) -> None:
    server.respond("one two")

    ask(server, stream=False)

    assert page.latest_is(state="exhausted")["text"] == "one two"


def test_a_request_that_is_refused_is_shown(server: MockStreamServer, page: Page) -> None:
    httpx.post(f"{server.url}/v1/nothing", json={}, timeout=30)

    assert page.latest_is(state="broken")["status"] == 404


@pytest.mark.parametrize("chunking", ["word", "char", 7])
def test_a_secret_that_is_repeated_is_not_shown(server: MockStreamServer, page: Page, chunking: Any) -> None:
    server.respond(f"your key is {SECRET} and now", times=None, chunking=chunking)
    ask(server, f"my key is {SECRET}", authorization=f"Bearer {SECRET}")
    page.latest_is(state="exhausted")

    assert page.latest["text"] == "your key is [redacted] and now"
    assert page.latest["asked"] == "my key is [redacted]"
    assert SECRET[:8] not in "".join(page.heard)
    looked = page.command("look", stream=page.latest["id"])
    assert SECRET not in json.dumps(looked)
    assert looked["headers"]["authorization"] == "[redacted]"


def test_a_secret_of_the_script_alone_is_hidden_once_it_is_one(server: MockStreamServer, page: Page) -> None:
    server.respond(f"a key: {SECRET} !", chunking="char")

    ask(server)

    assert page.latest_is(state="exhausted")["text"] == "a key: [redacted] !"


def test_a_page_that_does_not_read_holds_nobody_up(server: MockStreamServer) -> None:
    server.respond("word " * 20_000, times=None)
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as sleeper:
        sleeper.sendall(f"GET /_mockstream/events HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n".encode())
        sleeper.recv(10)

        for _ in range(5):
            assert ask(server).endswith("data: [DONE]\n\n")
        with page_of(server.url) as page:
            page.latest_is(state="exhausted")


def test_what_is_kept_of_a_long_reply_is_its_beginning(server: MockStreamServer, page: Page) -> None:
    server.respond("w" * 10_000 + " " + "x" * 1_000_000)

    ask(server)
    page.latest_is(state="exhausted", cut=True)

    assert len(page.latest["text"]) == 20_000
    assert max(map(len, page.latest["frames_seen"])) < 1100


def test_only_the_latest_streams_are_kept(server: MockStreamServer, page: Page) -> None:
    body = {"model": "m", "messages": MESSAGES}
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for _ in range(205):
            client.post("/v1/chat/completions", json=body)

    page.wait_for(lambda page: page.state["totals"]["streams"] == 205)
    page.wait_for(lambda page: len(page.streams) == 200)
    assert page.state["totals"]["shown"] == 200


def test_who_is_connected_is_told(server: MockStreamServer, page: Page) -> None:
    with closing(Wire(server)) as wire:
        client = ":".join(map(str, wire.sock.getsockname()))
        page.wait_for(lambda page: {"client": client, "does": "idle"} in page.state["connections"]["listed"])
        page.command("hold_new", on=True)
        wire.send(chat_request())
        number = page.latest_is(held=True)["id"]
        page.wait_for(lambda page: {"client": client, "does": number} in page.state["connections"]["listed"])

    page.wait_for(lambda page: client not in {one["client"] for one in page.state["connections"]["listed"]})


def test_other_servers_are_none_of_its_business(page: Page) -> None:
    with MockStreamServer() as other:
        other.respond("elsewhere")
        ask(other)

    page.command("hold_new", on=True)
    page.wait_for(lambda page: page.state["settings"]["hold_new"])
    assert page.streams == {}


def test_a_server_can_be_started_again_with_its_page() -> None:
    server = MockStreamServer(panel=Panel())
    for _ in range(2):
        with server, page_of(server.url) as page:
            ask(server)
            page.latest_is(state="exhausted")


def test_request_that_no_script_answers_says_why(server: MockStreamServer, page: Page) -> None:
    server.when(contains="Paris").respond("lovely", times=None)

    ask(server, "Rome?")

    page.latest_is(state="broken")
    notes = [text for _, text in page.latest["notes"]]
    assert notes[0] == "refused: no script is left for it. Add one that fits, or one without `when`"
