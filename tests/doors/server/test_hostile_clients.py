"""What no well-behaved client sends: the server says no, or hangs up, and goes on answering everybody else."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from platforms import descriptors

from pytest_mockstream import Disconnect, MockStreamServer, ScriptError, Usage

from .conftest import Ask, Connect, Wire, chat_request, text_of

SMALL = 10_000


@pytest.fixture
def small() -> Iterator[MockStreamServer]:
    """A server of the test's own that takes small bodies only."""
    with MockStreamServer(max_body=SMALL) as server:
        yield server


@pytest.fixture
def impatient() -> Iterator[MockStreamServer]:
    """A server of the test's own that soon loses patience."""
    with MockStreamServer(request_timeout=0.05) as server:
        yield server


@contextmanager
def held_up(server: MockStreamServer) -> Iterator[None]:
    """Let a server do nothing for the length of a block: what a client sends meanwhile is there when it goes on."""
    stands, go_on = threading.Event(), threading.Event()

    async def stand() -> None:
        stands.set()
        go_on.wait()

    loop = server._thread._loop
    assert loop is not None
    standing = asyncio.run_coroutine_threadsafe(stand(), loop)
    stands.wait()
    yield
    go_on.set()
    standing.result()


def post(body: bytes, *headers: str) -> bytes:
    return "\r\n".join(["POST /v1/chat/completions HTTP/1.1", "host: localhost", *headers, "", ""]).encode() + body


def chat_of(size: int) -> bytes:
    """Return the body of a chat request, so many bytes long."""
    empty = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": ""}]})
    return empty.replace('""', f'"{"x" * (size - len(empty))}"').encode()


def status_of(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def test_it_listens_on_loopback_only(mock_stream_server: MockStreamServer) -> None:
    assert mock_stream_server.url.startswith("http://127.0.0.1:")


def test_a_body_as_large_as_allowed_is_read(small: MockStreamServer) -> None:
    wire = Wire(small)

    wire.send(post(chat_of(SMALL), f"content-length: {SMALL}", "connection: close"))

    assert status_of(wire.read_to_end()) == 200
    wire.close()


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(small: MockStreamServer) -> None:
    wire = Wire(small)

    wire.send(post(b"", f"content-length: {SMALL + 1}"))

    assert status_of(wire.read_to_end()) == 413
    wire.close()


def test_a_body_that_grows_too_large_is_refused(small: MockStreamServer) -> None:
    wire = Wire(small)

    wire.send(post(b"1000\r\n" + b"x" * 4096 + b"\r\n", "transfer-encoding: chunked"))
    wire.send((b"1000\r\n" + b"x" * 4096 + b"\r\n") * 2)

    assert status_of(wire.read_to_end()) == 413
    wire.close()


def test_a_client_that_goes_on_sending_can_read_the_refusal(mock_stream_server: MockStreamServer, wire: Wire) -> None:
    size = 8 * 2**20 + 1

    wire.send(post(b"x" * size, f"content-length: {size}"))

    assert status_of(wire.read_to_end()) == 413
    assert mock_stream_server.requests == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"\r\n\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40,  # a TLS greeting
        b"GET /\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}",  # no host
        post(b"", "content-length: -1"),
        post(b"", "content-length: " + "9" * 5000),
        post(b"", "content-length: 1", "content-length: 2"),
        post(b"", "content-length: +2"),
        post(b"", "content-length: 1_0"),
        post(b"", "content-length: 0x2"),
        post(b"2\r\n{}\r\n0\r\n\r\n", "transfer-encoding: chunked", "content-length: 2"),
        post(b"{}", "content-length: 2", "transfer-encoding: chunked"),
        post(b"2\r\n{}\r\n0\r\n\r\n", "transfer-encoding: chunked").replace(b"HTTP/1.1", b"HTTP/1.0"),
        post(b"", "transfer-encoding: chunked", "transfer-encoding: chunked"),
        post(b"", "transfer-encoding: chunked, gzip"),
        post(b"", "host: elsewhere", "content-length: 0"),
        *(
            post(size + b"\r\n{}\r\n0\r\n\r\n", "transfer-encoding: chunked")
            for size in (b"zz", b"-2", b"+2", b"0x2", b"2 2", b"1_0", b"", b"f" * 21)
        ),
        post(b"2\r\n{}XX0\r\n\r\n", "transfer-encoding: chunked"),
        post(b"", "a b: c"),
        post(b"", "transfer-encoding: gzip"),
        b"POST http://[::bad HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n",
        b"GET /v1 HTTP/2.0\r\nhost: localhost\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused(wire: Wire, garbage: bytes) -> None:
    wire.send(garbage)

    assert status_of(wire.read_to_end()) in {400, 501, 505}


def test_a_head_without_end_is_refused(wire: Wire) -> None:
    wire.send(b"GET / HTTP/1.1\r\nx-long: " + b"x" * 100_000)

    assert status_of(wire.read_to_end()) == 431


def test_a_body_that_is_not_json_is_the_test_s_problem_too(mock_stream_server: MockStreamServer, wire: Wire) -> None:
    wire.send(post(b"{]", "content-length: 2", "connection: close"))

    assert status_of(wire.read_to_end()) == 400
    with pytest.raises(AssertionError, match="not JSON"):
        mock_stream_server.verify()
    mock_stream_server.reset()


def test_a_body_that_is_nested_too_deep_is_not_read(mock_stream_server: MockStreamServer, wire: Wire) -> None:
    wire.send(post(b"[" * 200_000, "content-length: 200000", "connection: close"))

    assert status_of(wire.read_to_end()) == 400
    mock_stream_server.reset()


def test_a_script_that_fails_while_it_plays_is_told_to_client_and_test(
    mock_stream_server: MockStreamServer, wire: Wire
) -> None:
    mock_stream_server.respond("one", usage=Usage(prompt_tokens=10**5000))  # more digits than Python writes
    wire.send(chat_request(stream=False))

    assert status_of(wire.read_to_end()) == 500
    with pytest.raises(ScriptError, match="could not be played: ValueError"):
        mock_stream_server.verify()
    assert mock_stream_server.requests[0].state == "broken"
    mock_stream_server.reset()


def test_a_request_that_takes_too_long_is_refused(impatient: MockStreamServer) -> None:
    with held_up(impatient):
        wire = Wire(impatient)
        wire.send(post(b"{", "content-length: 2"))

    assert status_of(wire.read_to_end()) == 408
    wire.close()


def test_a_connection_that_says_nothing_is_closed(impatient: MockStreamServer) -> None:
    wire = Wire(impatient)

    assert wire.read_to_end() == b""
    wire.close()


def test_a_stream_may_take_longer_than_its_request(impatient: MockStreamServer) -> None:
    impatient.respond("slow", ttft="200ms")

    with held_up(impatient):
        wire = Wire(impatient)
        wire.send(chat_request(connection="close"))

    assert b"slow" in wire.read_to_end()
    wire.close()


def test_a_client_that_floods_the_server_ahead_of_its_answers_is_cut_off(
    mock_stream_server: MockStreamServer, wire: Wire
) -> None:
    mock_stream_server.respond("one", ttft="10h")
    wire.send(chat_request())
    wire.read_until(b"\r\n\r\n")

    with pytest.raises(ConnectionError):
        wire.send(b"x" * 50_000_000)


def test_a_request_that_waits_for_leave_to_send_its_body_gets_it(wire: Wire) -> None:
    wire.send(post(b"", "content-length: 100", "expect: 100-continue"))

    assert status_of(wire.read_until(b"\r\n\r\n")) == 100


def test_head_gets_no_body(mock_stream_server: MockStreamServer, wire: Wire) -> None:
    wire.send(b"HEAD / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")

    head, _, body = wire.read_to_end().partition(b"\r\n\r\n")

    assert (status_of(head), body) == (404, b"")
    mock_stream_server.reset()


@pytest.mark.mockstream(unused="allow")
def test_200_connections_that_send_a_byte_now_and_then_hold_up_nobody(
    mock_stream_server: MockStreamServer, connect: Connect, ask: Ask
) -> None:
    mock_stream_server.respond("still here", times=None)
    crawlers = [connect() for _ in range(200)]

    for byte in chat_request()[:40]:
        for crawler in crawlers:
            crawler.send(bytes([byte]))
        if byte == ord(" "):
            assert text_of(ask()) == "still here"

    assert text_of(ask()) == "still here"


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_broken_requests_leave_it_answering(
    count: int, mock_stream_server: MockStreamServer, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    mock_stream_server.respond("still here", times=None)
    host, port = mock_stream_server.url.removeprefix("http://").split(":")
    chance = random.Random(20_261_123)  # noqa: S311 - a seed, not cryptography
    text_of(ask())
    mock_stream_server.catch_up()
    before = descriptors()

    with caplog.at_level(logging.WARNING):
        for _ in range(count):
            with socket.create_connection((host, int(port))) as sock:
                sock.sendall(_broken(chance))

    mock_stream_server.catch_up()
    assert descriptors() - before == set()
    assert text_of(ask()) == "still here"
    assert caplog.records == []
    mock_stream_server.reset()


def _broken(chance: random.Random) -> bytes:
    """Return a request with something wrong: cut short, bytes changed, parts doubled or left out, or noise alone."""
    request = bytearray(chat_request())
    match chance.randrange(5):
        case 0:
            return bytes(request[: chance.randrange(len(request))])
        case 1:
            for _ in range(chance.randint(1, 8)):
                request[chance.randrange(len(request))] = chance.randrange(256)
            return bytes(request)
        case 2:
            start, end = sorted(chance.sample(range(len(request)), 2))
            return bytes(request[:start] + request[end:])
        case 3:
            start, end = sorted(chance.sample(range(len(request)), 2))
            return bytes(request[:end] + request[start:])
    return chance.randbytes(chance.randint(1, 500))


def test_a_client_that_goes_while_it_is_refused_is_no_error(
    mock_stream_server: MockStreamServer,
    wire: Wire,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mock_stream_server.respond("still here", times=None)

    def is_gone(sock: socket.socket, how: int) -> None:
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))  # as the kernel says once the client's RST is in

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "shutdown", is_gone)
        wire.send(chat_request() + b"nonsense\r\n\r\n")
        wire.read_to_end()

    assert text_of(ask()) == "still here"
    assert caplog.records == []


def test_a_reset_of_a_connection_that_the_system_has_let_go_is_none(
    mock_stream_server: MockStreamServer,
    wire: Wire,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    set_option = socket.socket.setsockopt

    def is_gone(sock: socket.socket, level: int, option: int, value: int | bytes) -> None:
        if option == socket.SO_LINGER:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))  # as macOS says once the client's RST is in
        set_option(sock, level, option, value)

    mock_stream_server.respond("one ", Disconnect())
    mock_stream_server.respond("still here")

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "setsockopt", is_gone)
        wire.send(chat_request())
        wire.read_to_end()

    assert text_of(ask()) == "still here"
    assert [request.state for request in mock_stream_server.requests] == ["broken", "exhausted"]
    assert caplog.records == []


def test_a_key_is_in_no_message(mock_stream_server: MockStreamServer, wire: Wire) -> None:
    key = "sk-very-secret"
    wire.send(
        f"POST /nowhere?key={key} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n"
        f"x-goog-api-key: {key}\r\nconnection: close\r\ncontent-length: {len(key)}\r\n\r\n{key}".encode()
    )

    response = wire.read_to_end()

    with pytest.raises(AssertionError) as caught:
        mock_stream_server.verify()
    told = [response.decode(), str(caught.value), repr(mock_stream_server), repr(mock_stream_server.requests)]
    assert not any(key in text for text in told)
    mock_stream_server.reset()
