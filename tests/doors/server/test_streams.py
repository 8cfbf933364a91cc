"""What a client of the server gets, and what the ledger says of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import openai
import pytest

from pytest_mockstream import Disconnect, Gate, MockStreamServer, ScriptError, UnexpectedRequestError, Wait
from pytest_mockstream.playbook.ledger import entry_of

from .conftest import MESSAGES, Ask, Connect, Wire, chat_request, text_of


def test_without_a_script_a_client_gets_the_default_text(ask: Ask) -> None:
    assert text_of(ask()) == "This is a mock response, streamed one word at a time."


def test_a_script_is_played_once_and_in_order(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    mock_stream_server.respond("one")
    mock_stream_server.respond("two")

    assert [text_of(ask()), text_of(ask())] == ["one", "two"]


def test_when_narrows_what_a_script_is_for(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    mock_stream_server.when(contains="weather").respond("sunny")
    mock_stream_server.respond("hello")

    assert [text_of(ask("hi")), text_of(ask("the weather?"))] == ["hello", "sunny"]


def test_a_reply_that_is_not_streamed_comes_whole_with_its_length(
    mock_stream_server: MockStreamServer, connect: Connect
) -> None:
    mock_stream_server.respond("Hello there")
    wire = connect()

    wire.send(chat_request(stream=False, connection="close"))
    head, _, body = wire.read_to_end().partition(b"\r\n\r\n")

    assert f"content-length: {len(body)}".encode() in head
    assert json.loads(body)["choices"][0]["message"]["content"] == "Hello there"


def test_the_body_ends_with_its_last_frame(mock_stream_server: MockStreamServer, connect: Connect) -> None:
    mock_stream_server.respond("Hello")
    wire = connect()

    wire.send(chat_request())

    assert wire.read_until(b"0\r\n\r\n").endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def test_each_fragment_is_an_http_chunk_of_its_own(mock_stream_server: MockStreamServer, connect: Connect) -> None:
    mock_stream_server.respond("a b c d", fragment=7)
    wire = connect()

    wire.send(chat_request())
    wire.read_until(b"\r\n\r\n")
    body = wire.read_until(b"\r\n0\r\n\r\n")

    assert set(body.split(b"\r\n")[:-8:2]) == {b"7"}


def test_what_is_due_at_once_is_one_http_chunk(mock_stream_server: MockStreamServer, connect: Connect) -> None:
    mock_stream_server.respond("a b c d")
    wire = connect()

    wire.send(chat_request())
    wire.read_until(b"\r\n\r\n")

    assert wire.read_until(b"0\r\n\r\n").count(b"\r\n") == 4


def test_a_stream_that_was_read_to_its_end_is_exhausted(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    mock_stream_server.respond("one two")

    text_of(ask())

    (request,) = mock_stream_server.requests
    assert (request.state, request.chunks_sent, request.chunk_count, request.chunks_wasted) == ("exhausted", 3, 3, 0)


def test_leaving_is_in_the_ledger_when_the_test_asks(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    gate = Gate()
    mock_stream_server.respond("one two ", gate, "three")
    stream = ask()
    next(stream)
    gate.wait_reached()

    stream.close()

    assert mock_stream_server.requests[0].state == "closed"
    mock_stream_server.requests[0].assert_closed(within=10, after_chunk=2)


def test_what_was_asked_before_the_test_looks_is_in_the_record(
    mock_stream_server: MockStreamServer, connect: Connect
) -> None:
    for _ in range(20):
        connect().send(chat_request())

    assert len(mock_stream_server.requests) == 20


def test_an_entry_of_the_record_is_up_to_date_whenever_it_was_handed_out(
    mock_stream_server: MockStreamServer, ask: Ask
) -> None:
    mock_stream_server.respond("one ", Wait(36_000), "two")
    stream = ask()
    (request,) = mock_stream_server.requests

    stream.close()

    assert request.state == "closed"


def test_an_entry_of_the_record_names_the_line_that_asked(
    mock_stream_server: MockStreamServer, connect: Connect
) -> None:
    wire = connect()

    wire.send(chat_request(user_agent="curl/8"))
    wire.read_until(b"\r\n0\r\n\r\n")

    site = mock_stream_server.requests[0].opened_at
    assert (Path(site.filename).name, site.function) == ("conftest.py", "Wire.send")


def test_an_entry_of_the_record_names_the_client_where_it_has_no_line(mock_stream_server: MockStreamServer) -> None:
    url = mock_stream_server.base_url("openai") + "/chat/completions"
    code = "import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1], b'{}', {'user-agent': 'curl/8'}))"

    subprocess.run([sys.executable, "-c", code, url], stderr=subprocess.DEVNULL, check=False)

    assert re.fullmatch(r"curl/8, 127\.0\.0\.1:\d+", str(mock_stream_server.requests[0].opened_at))
    mock_stream_server.reset()


def test_who_sent_what_became_no_request_is_forgotten_with_its_test(
    mock_stream_server: MockStreamServer, wire: Wire
) -> None:
    wire.send(b"GET")
    assert mock_stream_server._callers

    mock_stream_server.reset()

    assert not mock_stream_server._callers


def test_the_library_that_asked_decides_how_to_close(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    mock_stream_server.respond("one ", Wait(36_000), "two")

    with ask(), pytest.raises(AssertionError, match=r"is still open\. With openai, write `with client"):
        mock_stream_server.requests[0].assert_closed()


def test_nothing_is_produced_after_the_client_has_left(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    gate = Gate()
    mock_stream_server.respond("one ", gate, "two three four")
    stream = ask()
    gate.wait_reached()
    stream.close()
    mock_stream_server.catch_up()

    gate.open()

    (request,) = mock_stream_server.requests
    assert (request.state, request.chunks_sent, request.chunks_wasted) == ("closed", 1, 0)


def test_a_client_that_leaves_during_a_pause_ends_the_stream(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    mock_stream_server.respond("one ", Wait(36_000), "two")
    stream = ask()
    next(stream)

    stream.close()

    assert mock_stream_server.requests[0].state == "closed"


def test_what_was_under_way_when_the_client_left_was_sent(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    mock_stream_server.respond("one two three")
    stream = ask()
    next(stream)

    stream.close()

    assert (mock_stream_server.requests[0].state, mock_stream_server.requests[0].chunks_sent) == ("exhausted", 4)


def test_an_open_stream_is_no_closed_one(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    mock_stream_server.respond("one ", Wait(36_000), "two")
    stream = ask()

    with pytest.raises(AssertionError, match=r"opened at tests/doors/server/conftest\.py:\d+\) is still open"):
        mock_stream_server.requests[0].assert_closed()

    stream.close()


async def test_a_cancelled_task_of_the_client_ends_the_stream(mock_stream_server: MockStreamServer) -> None:
    gate = Gate()
    mock_stream_server.respond("one ", gate, "two")

    async def read(client: openai.AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
        async with stream:
            async for _ in stream:
                pass

    async with openai.AsyncOpenAI() as client:
        task = asyncio.create_task(read(client))
        await gate.reached()
        task.cancel()
        await asyncio.wait([task])

        assert mock_stream_server.requests[0].state == "closed"


def test_a_client_that_never_reads_holds_no_more_than_the_buffers(
    mock_stream_server: MockStreamServer, connect: Connect
) -> None:
    mock_stream_server.respond("x" * 100_000, chunking=1)
    wire = connect()
    wire.send(chat_request())
    wire.read_until(b"\r\n\r\n")

    mock_stream_server.catch_up()
    before = -1
    (request,) = mock_stream_server.requests
    while request.chunks_sent != before:  # until the kernel takes no more
        before = request.chunks_sent
        mock_stream_server.catch_up()

    assert request.state == "open"
    assert request.chunks_wasted <= 100
    assert request.chunks_sent < 5_000


def test_streams_that_are_open_at_the_end_are_ended(mock_stream_server: MockStreamServer, connect: Connect) -> None:
    mock_stream_server.respond("one ", Wait(36_000), "two")
    wire = connect()
    wire.send(chat_request())
    wire.read_until(b"one ")

    mock_stream_server.end_streams()

    wire.read_to_reset()
    assert mock_stream_server.requests[0].state == "broken"


def test_streams_run_side_by_side(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    gate = Gate()
    mock_stream_server.respond("slow ", gate, "one")
    mock_stream_server.respond("quick one")
    slow = ask()

    assert text_of(ask()) == "quick one"

    gate.open()
    assert text_of(slow) == "slow one"


def test_credentials_are_in_no_record(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    text_of(ask())

    (request,) = mock_stream_server.requests
    assert request.headers["authorization"] == "[redacted]"
    assert os.environ["OPENAI_API_KEY"] not in repr(request)


def test_a_request_too_many_is_told_to_the_test(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    mock_stream_server.respond("one")
    text_of(ask())

    with pytest.raises(openai.BadRequestError, match="no script left"):
        ask()

    with pytest.raises(UnexpectedRequestError, match=r"mock_stream_server\.respond"):
        mock_stream_server.verify()
    mock_stream_server.reset()


def test_a_predicate_that_raises_is_told_to_the_test(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    def predicate(_request: object) -> bool:
        raise LookupError("no such customer")

    mock_stream_server.when(predicate=predicate).respond("one")

    with pytest.raises(openai.BadRequestError, match="no such customer"):
        ask()

    with pytest.raises(ScriptError, match="no such customer"):
        mock_stream_server.verify()
    mock_stream_server.reset()


def test_a_predicate_may_look_at_the_record(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    mock_stream_server.when(predicate=lambda _: len(mock_stream_server.requests) == 1).respond("first")

    assert text_of(ask()) == "first"


def test_what_was_asked_before_the_record_is_put_back_is_not_in_it(
    mock_stream_server: MockStreamServer, connect: Connect
) -> None:
    playbook = mock_stream_server._playbook
    put_back = playbook.save()
    for _ in range(20):
        connect().send(chat_request())

    playbook.catch_up()  # as a sweep does after each run
    put_back()

    assert mock_stream_server.requests == []


def test_a_connection_is_used_again(keeping: tuple[MockStreamServer, Wire]) -> None:
    server, wire = keeping
    server.respond("one", times=2)

    for _ in range(2):
        wire.send(chat_request())
        wire.read_until(b"\r\n0\r\n\r\n")

    assert [request.state for request in server.requests] == ["exhausted", "exhausted"]


def test_requests_sent_ahead_are_answered_in_turn(keeping: tuple[MockStreamServer, Wire]) -> None:
    server, wire = keeping
    server.respond("one")
    server.respond("two")

    wire.send(chat_request() * 2)

    assert b'"one"' in wire.read_until(b"\r\n0\r\n\r\n")
    assert b'"two"' in wire.read_until(b"\r\n0\r\n\r\n")


def test_the_environment_leads_every_provider_here(mock_stream_server: MockStreamServer) -> None:
    url = mock_stream_server.url

    assert os.environ["OPENAI_BASE_URL"] == mock_stream_server.base_url("openai") == f"{url}/v1"
    assert os.environ["ANTHROPIC_BASE_URL"] == mock_stream_server.base_url("anthropic") == url
    assert os.environ["GOOGLE_GEMINI_BASE_URL"] == mock_stream_server.base_url("google") == url
    assert os.environ["OLLAMA_HOST"] == mock_stream_server.base_url("ollama") == url
    assert os.environ["OPENAI_API_KEY"] == os.environ["ANTHROPIC_API_KEY"] == "mockstream-fake-key"


def test_no_proxy_stands_between(mock_stream_server: MockStreamServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    mock_stream_server.respond("direct")

    with openai.OpenAI(max_retries=0) as client:
        assert text_of(client.chat.completions.create(model="m", messages=MESSAGES, stream=True)) == "direct"


def test_an_unknown_provider_is_refused_with_the_known_ones(mock_stream_server: MockStreamServer) -> None:
    with pytest.raises(
        ScriptError, match=r"provider='acme' is not known: give 'anthropic' or 'google' or .* or 'openai'"
    ):
        mock_stream_server.base_url("acme")


@pytest.mark.mockstream(ttft="20ms")
def test_settings_of_the_test_pace_the_streams(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    text_of(ask())

    assert (entry_of(mock_stream_server.requests[0]).left_at or 0) >= 0.02


async def test_every_one_of_many_streams_is_accounted_for(mock_stream_server: MockStreamServer) -> None:
    gate = Gate()
    for number in range(200):
        ending = {0: (Gate(),), 1: (Disconnect(),)}.get(number % 20, ())
        mock_stream_server.respond("one ", gate, "two ", *ending)

    async def read() -> None:
        reader, writer = await asyncio.open_connection(*mock_stream_server.url.removeprefix("http://").split(":"))
        writer.write(chat_request(connection="close"))
        with contextlib.suppress(ConnectionResetError):
            await reader.readuntil(b"one ")
            everybody.release()
            await reader.readuntil(b"two ")
        writer.transport.abort()

    everybody = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(read()) for _ in range(200)]
    for _ in tasks:
        await everybody.acquire()
    assert sum(request.state == "open" for request in mock_stream_server.requests) == 200
    gate.open()
    await asyncio.gather(*tasks)

    states = Counter(request.state for request in mock_stream_server.requests)
    assert states == {"exhausted": 180, "closed": 10, "broken": 10}


def test_many_threads_may_ask_at_once(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    mock_stream_server.respond("one two three", times=None)
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(text_of(ask()))) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert texts == ["one two three"] * 8
    assert sorted(request.number for request in mock_stream_server.requests) == list(range(1, 9))
    assert {request.state for request in mock_stream_server.requests} == {"exhausted"}
