"""What is fuzzed: one function for each kind of input, which raises if the input does what none may do.

Every request gets an answer with a status 2xx or 4xx; a script file is read or refused; no exception of ours comes out.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

from soak.hostile import REQUESTS, body_of
from soak.problem import Failed

from pytest_mockstream import Script
from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream.doors.answer import WIRE_PROVIDERS, answer
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.doors.server.connection import Connection, Limits
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.playbook.script_file import ScriptFileError, parse_script_file

_SITE = CallSite("fuzz", 1, "fuzz")
_SCRIPT = Script("one two", times=None)
_FORMATS = [(method, target, headers) for method, target, headers, _ in REQUESTS]


def request(data: bytes) -> None:
    """Answer a request; the first byte chooses the endpoint, the others are the body."""
    method, target, headers = _FORMATS[data[0] % len(_FORMATS)] if data else _FORMATS[0]
    playbook = Playbook(_SCRIPT, name="fuzz")
    incoming = HTTPRequest(method=method, url=f"http://localhost{target}", headers=headers, body=data[1:])
    answered = answer(playbook, incoming, opened_at=_SITE)
    body = b""
    try:
        while isinstance(got := answered.playback.receive(), tuple):
            body += answered.delivered(*got)
    finally:
        answered.leave()
    if not (200 <= answered.status < 300 or 400 <= answered.status < 500):
        raise Failed(f"status {answered.status}: {body[:300]!r}")
    if (answered.status >= 400) != bool(playbook.unexpected):
        raise Failed(f"status {answered.status}, and remembered was {playbook.unexpected}")
    if len(playbook.requests) != 1 or answered.request.state == "open":
        raise Failed(f"recorded was {playbook.requests}")
    if answered.headers["content-type"] == "application/json" and "stream" not in target:
        json.loads(body)
    _ = repr(answered.request), answered.request.text, answered.request.turn, answered.request.tool_results
    _ = answered.request.tool_names


class _Bytes(random.Random):
    """Random numbers that are read from bytes, so that a fuzzer which changes the bytes changes single decisions."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data = iter(data)

    def random(self) -> float:
        return next(self._data, 0) / 256

    def getrandbits(self, k: int, /) -> int:
        found = 0
        for _ in range((k + 7) // 8):
            found = found << 8 | next(self._data, 0)
        return found & ((1 << k) - 1)


def fields(data: bytes) -> None:
    """Answer a request whose body has something wrong somewhere: the first byte chooses the endpoint."""
    choice = data[0] % len(REQUESTS) if data else 0
    request(bytes([choice]) + body_of(_Bytes(data[1:]), REQUESTS[choice][3]))


def script_file(data: bytes) -> None:
    """Read a script file."""
    text = data.decode(errors="replace")
    try:
        parse_script_file(text, name="fuzz.toml", providers=WIRE_PROVIDERS)
    except ScriptFileError as error:
        if not all(problem.startswith("fuzz.toml:") for problem in error.problems):
            raise Failed(f"a problem without a line: {error.problems}") from None


class _Pipe(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self._is_closing = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def write_eof(self) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True

    abort = close


_LIMITS = Limits(body=10_000, head=2_000)


def http(data: bytes) -> None:
    """Send bytes over a connection; the first byte says in how many pieces."""
    asyncio.run(_connected(data[1:], 1 + (data[0] if data else 0)))


async def _connected(data: bytes, pieces: int) -> None:
    async def respond(incoming: HTTPRequest, connection: Connection) -> None:
        _ = incoming.host, incoming.path, incoming.query, incoming.lower_headers
        connection.send_head(200, [("content-length", "0")])

    crashes: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: crashes.append(context))
    connections: set[Connection] = set()
    connection, pipe = Connection(respond, connections=connections, limits=_LIMITS, cors=False), _Pipe()
    connection.connection_made(pipe)
    size = max(1, len(data) // pieces)
    for start in range(0, len(data), size):
        if pipe.is_closing():
            break
        connection.data_received(data[start : start + size])
        await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.sleep(0)
    connection.eof_received()
    connection.connection_lost(None)
    if connection.task is not None:
        await asyncio.wait([connection.task])
    if crashes or connections:
        raise Failed(f"{crashes or connections}")
    status = pipe.written[9:12]
    if pipe.written and not (pipe.written.startswith(b"HTTP/1.1 ") and (status < b"5" or status in {b"501", b"505"})):
        raise Failed(f"it answered {pipe.written!r}")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "request": request,
    "fields": fields,
    "script-file": script_file,
    "http": http,
}


def seeds(name: str) -> list[bytes]:
    """Return legal inputs of a target, to begin with."""
    if name == "request":
        return [bytes([n]) + json.dumps(body).encode() for n, (_, _, _, body) in enumerate(REQUESTS)]
    if name == "fields":
        return [bytes([n, *range(1, 60)]) for n in range(len(REQUESTS))]
    if name == "http":
        body = b'{"model": "m"}'
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        chunked = b"transfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        return [
            b"\0" + head + b"content-length: 14\r\n\r\n" + body,
            b"\5" + head + chunked + head,
            b"\1GET / HTTP/1.0\r\n\r\n",
        ]
    return [SCRIPT_FILE]


SCRIPT_FILE = b"""
default_text = "hi"
delay = "50ms"

[[script]]
when = { contains = "weather", turn = 1 }
steps = ["one ", { text = "two" }, { tool_call = { name = "f", arguments = { x = 1 } } }, { wait = 0.5 }]
usage = { prompt_tokens = 3 }
times = 2

[[script]]
steps = [{ http_error = { status = 429, retry_after = 1 } }]

[[script]]
steps = [{ reasoning = "hm" }, { keep_alive = true }, { disconnect = { how = "cut" } }]
"""
