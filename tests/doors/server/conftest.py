"""Clients for the tests of the server: the real SDK, and a bare socket for everything that no client would do."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, TypeAlias

import openai
import pytest

from pytest_mockstream import MockStreamServer

Run: TypeAlias = "Callable[..., pytest.RunResult]"
Ask: TypeAlias = "Callable[..., openai.Stream[Any]]"
Connect: TypeAlias = "Callable[[], Wire]"

MESSAGES: Any = [{"role": "user", "content": "hi"}]


def chat_request(*, stream: bool = True, **headers: str) -> bytes:
    """Return the bytes of a request for a chat completion."""
    body = json.dumps({"model": "gpt-4o", "stream": stream, "messages": MESSAGES}).encode()
    lines = ["POST /v1/chat/completions HTTP/1.1", "host: localhost", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Wire:
    """A bare connection to the server."""

    def __init__(self, server: MockStreamServer) -> None:
        host, port = server.url.removeprefix("http://").split(":")
        self.sock = socket.create_connection((host, int(port)), timeout=30)
        self.received = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read_until(self, end: bytes) -> bytes:
        """Read until ``end`` has come, and return everything up to and including it."""
        while end not in self.received:
            data = self.sock.recv(65536)
            assert data, f"the connection ended before {end!r}: {self.received!r}"
            self.received += data
        found, _, self.received = self.received.partition(end)
        return found + end

    def read_to_end(self) -> bytes:
        """Read until the server closes the connection."""
        while data := self.sock.recv(65536):
            self.received += data
        found, self.received = self.received, b""
        return found

    def read_to_reset(self) -> bytes:
        """Read until the server resets the connection; in order it must not close it."""
        with pytest.raises(ConnectionResetError):
            self.read_to_end()
        return self.received

    def close(self) -> None:
        self.sock.close()


@pytest.fixture
def connect(mock_stream_server: MockStreamServer) -> Iterator[Connect]:
    """Opens bare connections; they are closed after the test."""
    with ExitStack() as stack:

        def connect() -> Wire:
            wire = Wire(mock_stream_server)
            stack.callback(wire.close)
            return wire

        yield connect


@pytest.fixture
def wire(connect: Connect) -> Wire:
    """Is one bare connection."""
    return connect()


@pytest.fixture
def keeping() -> Iterator[tuple[MockStreamServer, Wire]]:
    """Is a server that keeps its connections, with one of them."""
    with MockStreamServer(keep_alive=True) as server:
        wire = Wire(server)
        yield server, wire
        wire.close()


@pytest.fixture
def ask(mock_stream_server: MockStreamServer) -> Iterator[Ask]:
    """Opens streams of the openai SDK, which finds the server in the environment."""
    with openai.OpenAI(max_retries=0, timeout=30) as client:

        def ask(text: str = "hi") -> openai.Stream[Any]:
            return client.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": text}], stream=True
            )

        yield ask


def deltas_of(stream: openai.Stream[Any]) -> Iterator[str]:
    """Yield the text of each chunk of a stream of chat completions."""
    for chunk in stream:
        yield chunk.choices[0].delta.content or ""


def text_of(stream: openai.Stream[Any]) -> str:
    """Read a stream of chat completions to its end."""
    return "".join(deltas_of(stream))


def is_listening(url: str) -> bool:
    """Tell whether somebody accepts connections there."""
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as sock:
        return sock.connect_ex((host, int(port))) == 0


# A pytest of its own, without the plugins that this environment happens to have: they take longer than the tests.

PROLOGUE = """
import os, signal, socket
from pathlib import Path
import pytest

def opened(server):
    '''Open a stream that never ends, and never read it.'''
    host, port = server.url.removeprefix("http://").split(":")
    sock = socket.create_connection((host, int(port)))
    body = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
    head = b"POST /v1/chat/completions HTTP/1.1\\r\\nhost: x\\r\\ncontent-length: %d\\r\\n\\r\\n"
    sock.sendall(head % len(body) + body)
    sock.recv(10)
    return sock

SOCKETS = []

@pytest.fixture
def hanging(mock_stream_server):
    Path("url").write_text(mock_stream_server.url)
    mock_stream_server.respond("one", ttft="10h", times=None)
    SOCKETS.append(opened(mock_stream_server))
    return mock_stream_server
"""
INI = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
PLUGINS = ("-p", "pytest_asyncio.plugin", "-p", "pytest_mockstream.plugin", "-p", "no:cacheprovider")


@pytest.fixture
def run_pytest(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs tests that may use ``hanging``, a server with an open stream; it has closed its port afterwards."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini(INI)

    def run(tests: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=PROLOGUE + tests)
        return pytester.runpytest_subprocess(*PLUGINS, *options)

    yield run
    url = pytester.path / "url"
    assert not url.exists() or not is_listening(url.read_text())
