"""Requests that the server sends on to their provider, while a recording looks on."""

from __future__ import annotations

import asyncio
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any, TypeAlias
from unittest import mock

import h11
import openai
import pytest

from pytest_mockstream import Disconnect, MockStreamServer, ScriptError, Truncate, Wait

from .conftest import MESSAGES, Wire, chat_request, text_of
from .recorder import Heard, Provider, Recorder, provider

Connected: TypeAlias = "Callable[[MockStreamServer], Wire]"
Relayed: TypeAlias = "Callable[..., tuple[MockStreamServer, Wire]]"

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST = b"0\r\n\r\n"


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def upstream() -> Iterator[MockStreamServer]:
    with MockStreamServer() as server:
        yield server


@pytest.fixture
def proxy(upstream: MockStreamServer, recorder: Recorder) -> Iterator[MockStreamServer]:
    """Is a server that sends everything on to ``upstream``."""
    with MockStreamServer(recordings=recorder, upstream=upstream.url) as server:
        yield server


@pytest.fixture
def connected() -> Iterator[Connected]:
    """Opens bare connections to a server; they are closed after the test."""
    with ExitStack() as stack:

        def connected(server: MockStreamServer) -> Wire:
            wire = Wire(server)
            stack.callback(wire.close)
            return wire

        yield connected


@pytest.fixture
def relayed(recorder: Recorder, connected: Connected) -> Iterator[Relayed]:
    """Starts a provider that answers as it is told, and a server before it; is that server and a connection to it."""
    with ExitStack() as stack:

        def start(answer: Callable[[Provider], None], *, keep_alive: bool = False) -> tuple[MockStreamServer, Wire]:
            url = stack.enter_context(provider(answer))
            server = MockStreamServer(recordings=recorder, upstream=url, keep_alive=keep_alive)
            return stack.enter_context(server), connected(server)

        yield start


def ask(server: MockStreamServer) -> str:
    with openai.OpenAI(base_url=server.base_url("openai"), api_key="k", max_retries=0) as client:
        return text_of(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))


def heard(recorder: Recorder) -> Heard:
    """Return what was recorded of the only exchange, once that is over."""
    [one] = recorder.heard
    assert one.over.wait(30)
    return one


def test_an_answer_comes_from_the_provider(
    upstream: MockStreamServer, proxy: MockStreamServer, recorder: Recorder
) -> None:
    upstream.respond("Hello from afar")

    assert ask(proxy) == "Hello from afar"
    assert (heard(recorder).status, heard(recorder).ending) == (200, "end")
    assert b"afar" in heard(recorder).body
    assert [server.requests[0].state for server in (upstream, proxy)] == ["exhausted", "exhausted"]


def test_a_script_comes_before_the_provider(proxy: MockStreamServer, recorder: Recorder) -> None:
    proxy.respond("from the script")

    assert ask(proxy) == "from the script"
    assert recorder.heard == []


def test_a_truncated_answer_is_truncated(
    upstream: MockStreamServer, proxy: MockStreamServer, recorder: Recorder
) -> None:
    upstream.respond("Hello", Truncate())

    assert ask(proxy) == "Hello"
    assert heard(recorder).ending == "end"


def test_a_reset_is_a_reset(
    upstream: MockStreamServer, proxy: MockStreamServer, recorder: Recorder, connected: Connected
) -> None:
    upstream.respond("Hello", Disconnect())
    wire = connected(proxy)
    wire.send(chat_request())

    assert b"Hello" in wire.read_to_reset()
    assert heard(recorder).ending == "reset"
    assert proxy.requests[0].state == "broken"


def test_a_cut_is_a_cut(relayed: Relayed, recorder: Recorder) -> None:
    server, wire = relayed(lambda provider: provider.say(CHUNKED + chunk(b"one")))
    wire.send(chat_request())

    assert wire.read_to_end().endswith(b"\r\n\r\n" + chunk(b"one"))
    assert heard(recorder).ending == "cut"
    assert server.requests[0].state == "broken"


# What the client gets is what the provider sent.

BODY = b"data: one\n\n" + bytes(range(256)) + b"data: [DONE]\n\n"
FRAMINGS = {
    "chunks": (CHUNKED + chunk(BODY[:9]) + chunk(BODY[9:100]) + chunk(BODY[100:]) + LAST),
    "length": HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY,
    "until closed": HEAD + b"\r\n" + BODY,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\n" + BODY,
    "both, of which chunks count": HEAD
    + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n"
    + chunk(BODY)
    + LAST,
    "after early hints": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + CHUNKED + chunk(BODY) + LAST,
}


def body_of(answer: bytes) -> bytes:
    """Return the body of an answer, read by somebody else's parser."""
    peer = h11.Connection(h11.CLIENT)
    peer.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    peer.send(h11.EndOfMessage())
    peer.receive_data(answer)
    peer.receive_data(b"")
    body = b""
    while not isinstance(event := peer.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Event), f"the body has no end: {answer!r}"
        body += event.data if isinstance(event, h11.Data) else b""
    return body


@pytest.mark.parametrize("name", FRAMINGS)
def test_the_body_is_the_providers_byte_by_byte(relayed: Relayed, recorder: Recorder, name: str) -> None:
    _, wire = relayed(lambda provider: provider.say(FRAMINGS[name]))
    wire.send(chat_request())

    assert body_of(wire.read_to_end()) == BODY
    assert (heard(recorder).body, heard(recorder).ending) == (BODY, "end")


def test_a_chunk_is_sent_on_before_the_next_comes(relayed: Relayed, recorder: Recorder) -> None:
    is_read = threading.Event()

    def answer(provider: Provider) -> None:
        provider.say(CHUNKED + chunk(b"one"))
        assert is_read.wait(30)
        provider.say(chunk(b"two") + LAST)

    _, wire = relayed(answer)
    wire.send(chat_request())

    wire.read_until(chunk(b"one"))
    is_read.set()
    assert wire.read_to_end() == chunk(b"two") + LAST
    assert [data for _, data in heard(recorder).pieces] == [b"one", b"two"]


def test_the_head_is_sent_on_before_the_body_comes(relayed: Relayed) -> None:
    is_read = threading.Event()

    def answer(provider: Provider) -> None:
        provider.say(CHUNKED)
        assert is_read.wait(30)
        provider.say(LAST)

    _, wire = relayed(answer)
    wire.send(chat_request())

    assert wire.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    is_read.set()
    assert wire.read_to_end() == LAST


def test_status_and_headers_are_the_providers(relayed: Relayed, recorder: Recorder) -> None:
    head = (
        b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nx-name: Andr\xe9\r\n"
        b"keep-alive: timeout=5\r\nx-own: 1\r\nconnection: keep-alive, x-own\r\ncontent-length: 2\r\n\r\n"
    )
    _, wire = relayed(lambda provider: provider.say(head + b"{}"))
    wire.send(chat_request())

    assert wire.read_to_end().split(b"\r\n") == [
        b"HTTP/1.1 429 ",
        b"retry-after: 7",
        b"set-cookie: a=1",
        b"set-cookie: b=2",
        b"x-name: Andr\xe9",
        b"content-length: 2",
        b"connection: close",
        b"",
        b"{}",
    ]
    assert (heard(recorder).status, heard(recorder).headers["retry-after"]) == (429, "7")


def test_the_provider_gets_what_the_client_sent(relayed: Relayed, recorder: Recorder) -> None:
    seen: list[Provider] = []

    def answer(provider: Provider) -> None:
        seen.append(provider)
        provider.say(CHUNKED + LAST)

    _, wire = relayed(answer)
    request = chat_request(
        accept_encoding="gzip, br", authorization="Bearer sk-1", te="trailers", x_name="Andr\xe9", expect="100-continue"
    )
    wire.send(request.replace("\xe9".encode(), b"\xe9").replace(b"completions ", b"completions?a=%20b "))
    wire.read_to_end()

    [provider] = seen
    assert provider.line == "POST /v1/chat/completions?a=%20b HTTP/1.1"
    assert provider.body == chat_request().partition(b"\r\n\r\n")[2] == heard(recorder).sent
    assert provider.headers == {
        "host": mock.ANY,
        "authorization": "Bearer sk-1",
        "x-name": "Andr\xe9",
        "accept-encoding": "identity",
        "content-length": str(len(provider.body)),
        "connection": "close",
    }


def test_a_request_without_a_body_has_none(relayed: Relayed) -> None:
    seen: list[Provider] = []

    def answer(provider: Provider) -> None:
        seen.append(provider)
        provider.say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    _, wire = relayed(answer)
    wire.send(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")

    assert wire.read_to_end().endswith(b"\r\n\r\n{}")
    assert seen[0].line == "GET /v1/models HTTP/1.1"
    assert "content-length" not in seen[0].headers


def test_a_connection_is_kept_for_the_next_request(relayed: Relayed, recorder: Recorder) -> None:
    _, wire = relayed(lambda provider: provider.say(CHUNKED + chunk(b"hi") + LAST), keep_alive=True)

    wire.send(chat_request())
    assert wire.read_until(LAST).endswith(chunk(b"hi") + LAST)
    wire.send(chat_request())
    assert wire.read_until(LAST).endswith(chunk(b"hi") + LAST)
    assert [one.ending for one in recorder.heard] == ["end", "end"]


async def test_fifty_at_once(upstream: MockStreamServer, proxy: MockStreamServer, recorder: Recorder) -> None:
    for number in range(50):
        upstream.when(contains=f"<{number}>").respond(f"This is {number}, ", Wait(0.01), "as you asked.")

    async with openai.AsyncOpenAI(base_url=proxy.base_url("openai"), api_key="k", max_retries=0) as client:

        async def ask(number: int) -> str:
            question: Any = [{"role": "user", "content": f"<{number}>"}]
            async with await client.chat.completions.create(model="m", messages=question, stream=True) as stream:
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        said = await asyncio.gather(*map(ask, range(50)))

    assert said == [f"This is {number}, as you asked." for number in range(50)]
    assert sorted(one.ending or "none" for one in recorder.heard) == ["end"] * 50


# How a provider's connection ends is how the client's ends.


def test_a_body_that_is_cut_short_of_its_length_is_cut(relayed: Relayed, recorder: Recorder) -> None:
    _, wire = relayed(lambda provider: provider.say(HEAD + b"content-length: 9\r\n\r\none"))
    wire.send(chat_request())

    assert wire.read_to_end().endswith(b"\r\n\r\none")
    assert heard(recorder).ending == "cut"


def test_a_connection_that_is_closed_without_an_answer_is_closed(relayed: Relayed, recorder: Recorder) -> None:
    _, wire = relayed(lambda _provider: None)
    wire.send(chat_request())

    assert wire.read_to_end() == b""
    assert (heard(recorder).status, heard(recorder).ending) == (0, "cut")


def test_a_connection_that_is_reset_without_an_answer_is_reset(relayed: Relayed, recorder: Recorder) -> None:
    _, wire = relayed(Provider.reset)
    wire.send(chat_request())

    assert wire.read_to_reset() == b""
    assert (heard(recorder).status, heard(recorder).ending) == (0, "reset")


def test_what_came_before_a_reset_is_sent_on(relayed: Relayed, recorder: Recorder) -> None:
    is_read = threading.Event()

    def answer(provider: Provider) -> None:
        provider.say(CHUNKED + chunk(b"one"))
        assert is_read.wait(30)
        provider.reset()

    server, wire = relayed(answer)
    wire.send(chat_request())
    wire.read_until(chunk(b"one"))
    is_read.set()

    assert wire.read_to_reset() == b""
    assert (heard(recorder).body, heard(recorder).ending) == (b"one", "reset")
    assert server.requests[0].state == "broken"


def test_garbage_in_the_middle_cuts(relayed: Relayed, recorder: Recorder) -> None:
    _, wire = relayed(lambda provider: provider.say(CHUNKED + chunk(b"one") + b"no length\r\n"))
    wire.send(chat_request())

    assert wire.read_to_end().endswith(chunk(b"one"))
    assert (heard(recorder).body, heard(recorder).ending) == (b"one", "cut")


def test_silence_stays_silence(relayed: Relayed, recorder: Recorder) -> None:
    recorder.drain = 0.0

    def answer(provider: Provider) -> None:
        provider.say(CHUNKED + chunk(b"one"))
        provider.wait_for_leaving()

    server, wire = relayed(answer)
    wire.send(chat_request())
    wire.read_until(chunk(b"one"))

    assert [request.state for request in server.requests] == ["open"]
    wire.close()
    assert (heard(recorder).body, heard(recorder).ending) == (b"one", "silence")
    assert [request.state for request in server.requests] == ["closed"]


# Clients that leave.


def test_a_client_that_leaves_does_not_cut_the_recording(relayed: Relayed, recorder: Recorder) -> None:
    has_left = threading.Event()

    def answer(provider: Provider) -> None:
        provider.say(CHUNKED + chunk(b"one"))
        assert has_left.wait(30)
        provider.say(chunk(b"two") + LAST)

    server, wire = relayed(answer)
    wire.send(chat_request())
    wire.read_until(chunk(b"one"))
    wire.close()
    server.requests[0].assert_closed()
    has_left.set()

    assert (heard(recorder).body, heard(recorder).ending, heard(recorder).left_after) == (b"onetwo", "end", 3)
    assert server.requests[0].state == "closed"


def test_a_client_that_leaves_before_the_answer_does_not_cut_the_recording(
    relayed: Relayed, recorder: Recorder
) -> None:
    is_asked, has_left = threading.Event(), threading.Event()

    def answer(provider: Provider) -> None:
        is_asked.set()
        assert has_left.wait(30)
        provider.say(CHUNKED + chunk(b"one") + LAST)

    server, wire = relayed(answer)
    wire.send(chat_request())
    assert is_asked.wait(30)
    wire.close()
    server.requests[0].assert_closed()
    has_left.set()

    assert (heard(recorder).status, heard(recorder).body, heard(recorder).left_after) == (200, b"one", 0)


def test_the_rest_is_read_for_so_long_and_no_longer(relayed: Relayed, recorder: Recorder) -> None:
    recorder.drain = 0.05

    def answer(provider: Provider) -> None:
        with suppress(ConnectionError):
            provider.say(CHUNKED)
            while True:
                provider.say(chunk(b"on and on"))

    server, wire = relayed(answer)
    wire.send(chat_request())
    wire.read_until(chunk(b"on and on"))
    wire.close()

    assert heard(recorder).ending == "cut"
    assert server.requests[0].state == "closed"


def test_recordings_can_be_waited_for(relayed: Relayed, recorder: Recorder) -> None:
    goes_on = threading.Event()

    def answer(provider: Provider) -> None:
        provider.say(CHUNKED + chunk(b"one"))
        assert goes_on.wait(30)
        provider.say(chunk(b"two") + LAST)

    server, wire = relayed(answer)
    wire.send(chat_request())
    wire.read_until(chunk(b"one"))
    wire.close()
    server.requests[0].assert_closed()
    assert recorder.heard[0].ending is None

    goes_on.set()
    server.finish_recording()

    assert recorder.heard[0].ending == "end"


@pytest.mark.parametrize("end", [MockStreamServer.stop, MockStreamServer.end_streams, MockStreamServer.reset])
def test_what_clients_have_left_is_broken_off(
    relayed: Relayed, recorder: Recorder, end: Callable[[MockStreamServer], None]
) -> None:
    def answer(provider: Provider) -> None:
        provider.say(CHUNKED + chunk(b"one"))
        provider.wait_for_leaving()

    server, wire = relayed(answer)
    wire.send(chat_request())
    wire.read_until(chunk(b"one"))
    wire.close()
    server.requests[0].assert_closed()
    assert server.unfinished == 1
    end(server)

    assert (server.unfinished, recorder.heard[0].ending) == (0, "cut")


def test_a_stream_that_is_open_when_streams_are_ended_is_broken(relayed: Relayed, recorder: Recorder) -> None:
    def answer(provider: Provider) -> None:
        provider.say(CHUNKED + chunk(b"one"))
        provider.wait_for_leaving()

    server, wire = relayed(answer)
    wire.send(chat_request())
    wire.read_until(chunk(b"one"))
    server.end_streams()

    wire.read_to_reset()
    assert (server.requests[0].state, recorder.heard[0].ending) == ("broken", "cut")


def test_a_client_that_does_not_read_holds_its_provider_up(relayed: Relayed, recorder: Recorder) -> None:
    is_full: list[bool] = []
    has_tried = threading.Event()

    def answer(provider: Provider) -> None:
        provider.say(CHUNKED)
        is_full.append(provider.fill(chunk(b"x" * 65536), most=1000))
        has_tried.set()

    _, wire = relayed(answer)
    wire.send(chat_request())

    assert has_tried.wait(30)
    assert is_full == [True]
    wire.close()
    assert heard(recorder).ending == "cut"


# Providers that compress although they are asked not to.


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_compressed_body_is_recorded_readable(relayed: Relayed, recorder: Recorder, coding: str) -> None:
    packer = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    parts = [packer.compress(b"data: one\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)]
    parts.append(packer.compress(b"data: [DONE]\n\n") + packer.flush())
    head = CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-encoding: %b\r\n\r\n" % coding.encode())
    goes_on = threading.Event()

    def answer(provider: Provider) -> None:
        provider.say(head + chunk(parts[0]))
        assert goes_on.wait(30)
        provider.say(chunk(parts[1]) + LAST)

    _, wire = relayed(answer)
    wire.send(chat_request())
    got = wire.read_until(chunk(parts[0]))
    goes_on.set()
    got += wire.read_to_end()

    assert b"content-encoding: " + coding.encode() in got
    assert body_of(got) == b"".join(parts)
    assert [data for _, data in heard(recorder).pieces] == [b"data: one\n\n", b"data: [DONE]\n\n"]


def test_a_compressed_body_that_is_broken_reaches_the_client_as_it_is(relayed: Relayed, recorder: Recorder) -> None:
    body = b"this is not gzip"
    head = HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body)
    _, wire = relayed(lambda provider: provider.say(head + body))
    wire.send(chat_request())

    assert body_of(wire.read_to_end()) == body
    assert heard(recorder).ending == "end"


def test_a_coding_that_cannot_be_read_is_told(relayed: Relayed, recorder: Recorder) -> None:
    head = CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-encoding: unknown\r\n\r\n")
    server, wire = relayed(lambda provider: provider.say(head + chunk(b"?") + LAST))
    wire.send(chat_request())

    assert wire.read_to_end().endswith(chunk(b"?") + LAST)
    with pytest.raises(ScriptError, match="nothing is installed that decompresses 'unknown'"):
        server.verify()


def test_an_answer_that_is_not_http_is_told(relayed: Relayed, recorder: Recorder) -> None:
    _, wire = relayed(lambda provider: provider.say(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"))
    wire.send(chat_request())

    assert b"pytest-mockstream: what its provider said is not HTTP/1.1: " in wire.read_to_end()
    assert (heard(recorder).status, heard(recorder).ending) == (0, "cut")
