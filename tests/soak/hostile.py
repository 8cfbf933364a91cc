"""Hostile bytes: what no client sends, and every way in which it can arrive."""

from __future__ import annotations

import json
import random
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pytest_mockstream.doors.server import MockStreamServer

from .problem import Failed

_PATIENCE = 20.0  # seconds without an answer are a hang, on a busy machine, too
_REST = 0.05
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_TEXTS = ["", "hi", "\ud800", "\x00", "世界 🌍", "a" * 5000, "[DONE]", "%s{0}", "../../etc/passwd", "\r\nx: y"]
_MESSAGES: Any = [{"role": "user", "content": "hi"}]
_TOOL: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}

#: A legal request for every endpoint: method, target, headers, body.
REQUESTS: list[tuple[str, str, dict[str, str], Any]] = [
    (
        "POST",
        "/v1/chat/completions",
        {},
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "be brief"}]},
                *_MESSAGES,
                {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "f"}}]},
                {"role": "tool", "tool_call_id": "c", "content": "4"},
            ],
            "stream": True,
            "n": 1,
            "stream_options": {"include_usage": True},
            "tools": [_TOOL],
            "temperature": 0.5,
        },
    ),
    ("POST", "/openai/deployments/gpt/chat/completions?api-version=1", {}, {"messages": _MESSAGES}),
    (
        "POST",
        "/v1/responses",
        {},
        {
            "model": "m",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "4"},
            ],
            "instructions": "be brief",
            "tools": [{"type": "function", "name": "f", "parameters": {}}],
            "metadata": {"a": "b"},
            "stream": True,
        },
    ),
    (
        "POST",
        "/v1/messages?beta=true",
        {"anthropic-version": "2023-06-01"},
        {
            "model": "m",
            "max_tokens": 10,
            "system": [{"type": "text", "text": "be brief"}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "hi"}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": [{"text": "4"}]}]},
            ],
            "tools": [{"name": "f", "input_schema": {}}],
            "stream": True,
        },
    ),
    *(
        (
            "POST",
            f"/v1beta/models/m:{method}",
            {},
            {
                "contents": [
                    {"role": "user", "parts": [{"text": "hi"}]},
                    {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
                    {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"x": 4}}}]},
                ],
                "systemInstruction": {"parts": [{"text": "be brief"}]},
                "tools": [{"functionDeclarations": [{"name": "f"}]}],
                "generationConfig": {"temperature": 0.5},
            },
        )
        for method in ("generateContent", "streamGenerateContent?alt=sse", "streamGenerateContent")
    ),
    ("POST", "/api/chat", {}, {"model": "m", "messages": _MESSAGES, "tools": [_TOOL], "options": {"top_k": 1}}),
    ("POST", "/api/generate", {}, {"model": "m", "prompt": "hi", "system": "be brief", "stream": False}),
    ("POST", "/v1/embeddings", {}, {"model": "m", "input": ["a", "b"], "dimensions": 3, "encoding_format": "base64"}),
    ("POST", "/api/embed", {}, {"model": "m", "input": ["a", "b"]}),
    ("POST", "/v1beta/models/m:batchEmbedContents", {}, {"requests": [{"content": {"parts": [{"text": "a"}]}}]}),
    ("POST", "/v1beta/models/m:embedContent", {}, {"content": {"parts": [{"text": "a"}]}}),
    ("POST", "/v1/messages/count_tokens", {}, {"model": "m", "messages": _MESSAGES}),
    ("GET", "/v1/models", {}, None),
    ("GET", "/api/tags", {}, None),
    ("GET", "/", {}, None),
    ("OPTIONS", "/v1/chat/completions", {"origin": "http://x"}, None),
    ("POST", "/v1/audio/transcriptions", {}, {"model": "m"}),
]


def json_text(chance: random.Random, depth: int = 3) -> str:
    """Return JSON, or nearly JSON, of any shape."""
    match chance.randrange(12 if depth else 8):
        case 0 | 1:
            return json.dumps(chance.choice(_TEXTS))
        case 2:
            return chance.choice(["null", "true", "false"])
        case 3:
            return str(chance.choice([0, -1, 1, 2**31, 2**63, 10**400, "9" * 5000]))
        case 4:
            return chance.choice(["0.5", "-0.0", "1e-400", "1e400", "NaN", "Infinity", "-Infinity"])
        case 5:
            return chance.choice(["", "{", "]", "'a'", "\\u12", '"\t"', "tru", "01", "{}{}", '"\\ud800"'])
        case 6:
            levels = chance.choice([10, 500, 1500, 20_000, 90_000])
            return chance.choice(["[" * levels + "]" * levels, '{"a":' * levels + "1" + "}" * levels, "[" * levels])
        case 7:
            return chance.choice(
                [
                    "{}",
                    "[]",
                    "[null]",
                    "[[]]",
                    "[3]",
                    '["x"]',
                    "[{}]",
                    '[{"role": 3}]',
                    '{"role": "user"}',
                    '{"a": [1]}',
                ]
            )
        case 8 | 9:
            return f"[{', '.join(json_text(chance, depth - 1) for _ in range(chance.randrange(4)))}]"
    names = ["role", "content", "text", "type", "a", "a", "name", "function", "parts", "input"]
    fields = (f'"{chance.choice(names)}": {json_text(chance, depth - 1)}' for _ in range(chance.randrange(4)))
    return f"{{{', '.join(fields)}}}"


def body_of(chance: random.Random, legal: Any) -> bytes:
    """Return a body: a legal one, one with a value of a wrong type somewhere, or JSON of any shape."""
    mark = "the place of what is wrong"
    kind = chance.randrange(8)
    if kind == 0 or legal is None:
        text = json.dumps(legal) if kind else json_text(chance)
    elif kind == 1:
        text = json.dumps(legal)
    else:
        text = json.dumps(_replaced(chance, legal, mark))
        text = text.replace(f'"{mark}"', json_text(chance))
    return text.encode(errors=chance.choice(["replace", "surrogatepass"]))


def _replaced(chance: random.Random, value: Any, by: str) -> Any:
    """Return a copy of JSON in which one value, at any depth, is replaced."""
    if chance.random() < 0.25 or not value or not isinstance(value, dict | list):
        return by
    if isinstance(value, dict):
        name = chance.choice(list(value))
        return {**value, name: _replaced(chance, value[name], by)}
    place = chance.randrange(len(value))
    return [*value[:place], _replaced(chance, value[place], by), *value[place + 1 :]]


def request_bytes(chance: random.Random) -> bytes:
    """Return an HTTP request with at most a few things wrong."""
    method, target, headers, legal = chance.choice(REQUESTS)
    body = body_of(chance, legal)
    if chance.random() < 0.4:  # nothing else is wrong
        lines = [f"{method} {target} HTTP/1.1", "host: localhost", *(f"{n}: {value}" for n, value in headers.items())]
        return "\r\n".join([*lines, "connection: close", f"content-length: {len(body)}", "", ""]).encode() + body
    lines = [f"{_method(chance, method)} {_target(chance, target)} {_version(chance)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [] if chance.random() < 0.03 else ["host: localhost"]
    lines += ["connection: close"] if chance.random() < 0.8 else []
    lines += _odd_headers(chance)
    framing, body = _framed(chance, body)
    end = "\n" if chance.random() < 0.03 else "\r\n"
    data = end.join([*lines, *framing, "", ""]).encode("latin-1", errors="replace") + body
    return _mutated(chance, data) if chance.random() < 0.2 else data


def _method(chance: random.Random, method: str) -> str:
    return method if chance.random() < 0.95 else chance.choice(["", "GET", "HEAD", "PUT", "post", "A B", "CONNECT"])


def _target(chance: random.Random, target: str) -> str:
    if chance.random() < 0.9:
        return target
    return chance.choice(
        [
            f"http://api.openai.com{target}",
            f"//{target}",
            "*",
            "",
            "http://[::bad/v1/chat/completions",
            target.replace("/", "%2f"),
            target + "?" + "a=b&" * 1000,
            target + "%ff%00",
            "/v1/models/" + "m" * 10_000,
            target + "\xe9",
            "http://localhost:99999999" + target,
        ]
    )


def _version(chance: random.Random) -> str:
    return "HTTP/1.1" if chance.random() < 0.95 else chance.choice(["HTTP/1.0", "HTTP/2.0", "HTTP/9", "", "HTTP/1.1.1"])


def _odd_headers(chance: random.Random) -> list[str]:
    if chance.random() < 0.8:
        return []
    odd = [
        f"x-huge: {'x' * chance.choice([8000, 70_000])}",
        "\r\n".join(f"x-{number}: y" for number in range(chance.choice([50, 5000]))),
        "expect: 100-continue",
        "a b: c",
        "folded: one\r\n two",
        ": no name",
        "x: \x00\x01",
        "content-type: text/html; charset=utf-16",
        "content-encoding: gzip",
        "upgrade: websocket\r\nconnection: upgrade",
        "host: a\r\nhost: b",
        "authorization: Bearer \xff",
    ]
    return [chance.choice(odd)]


def _framed(chance: random.Random, body: bytes) -> tuple[list[str], bytes]:
    """Return the headers that delimit a body, and the body as they say, or nearly so."""
    size = len(body)
    if chance.random() < 0.6:
        return [f"content-length: {size}"], body
    if chance.random() < 0.5:
        chunks, place = [], 0
        while place < size:
            step = chance.randint(1, max(1, size))
            chunks.append(f"{len(body[place : place + step]):x}\r\n".encode() + body[place : place + step] + b"\r\n")
            place += step
        data = b"".join(chunks) + chance.choice(
            [b"0\r\n\r\n"] * 4 + [b"", b"zz\r\n", b"-1\r\n\r\n", b"0\r\nx: y\r\n\r\n"]
        )
        return chance.choice([["transfer-encoding: chunked"]] * 4 + [["transfer-encoding: chunked, gzip"]]), data
    wrong = chance.choice([0, 1, max(0, size - 1), size + 1, -1, 10**9, "9" * 5000, "x", "1, 2", ""])
    both = ["transfer-encoding: chunked"] if chance.random() < 0.2 else []
    twice = [f"content-length: {size}"] if chance.random() < 0.2 else []
    return [f"content-length: {wrong}", *both, *twice], body


def _mutated(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    match chance.randrange(5):
        case 0:
            return data[: chance.randrange(len(data))]
        case 1:
            for _ in range(chance.randint(1, 8)):
                changed[chance.randrange(len(data))] = chance.randrange(256)
        case 2:
            start, end = sorted(chance.sample(range(len(data)), 2))
            del changed[start:end]
        case 3:
            start, end = sorted(chance.sample(range(len(data)), 2))
            changed[start:start] = data[start:end]
        case _:
            return chance.randbytes(chance.randint(1, 500))
    return bytes(changed)


class Stranger:
    """One connection that sends hostile bytes in pieces.

    Args:
        chance: decides everything.
        address: of the server.
    """

    def __init__(self, chance: random.Random, address: tuple[str, int]) -> None:
        self._chance = chance
        count = chance.choice([1, 1, 1, 1, 2, 3, 10])
        self.data = b"".join(request_bytes(chance) for _ in range(count))  # more than one are pipelined
        self.count = count
        self._leaves = chance.choice([*[""] * 12, "before", "half closed", "reset", "after a byte"])
        self._pieces = self._cut()
        self._sock = socket.create_connection(address, timeout=_PATIENCE)

    def _cut(self) -> Iterator[bytes]:
        chance, data = self._chance, self.data
        cuts = chance.choice([0, 0, 1, 1, 2, 5, 20])
        if chance.random() < 0.05:
            cuts = min(len(data), 300)
        places = sorted(chance.sample(range(len(data) + 1), min(cuts, len(data)))) if data else []
        return (data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True))

    def send_piece(self) -> bool:
        """Send the next piece; return whether there was one."""
        piece = next(self._pieces, None)
        if piece is None:
            return False
        with suppress(OSError):  # the server may hang up on such a client at any time
            self._sock.sendall(piece)
        if self._chance.random() < 0.02:
            time.sleep(0.002)
        return True

    def answer(self) -> bytes:
        """Return what came back, or what came of it before this client left."""
        try:
            return self._read()
        except TimeoutError:
            raise Failed(f"no answer within {_PATIENCE:g} s to {self.count} requests: {self.data[:3000]!r}") from None
        except OSError:
            return b""
        finally:
            self._sock.close()

    def _read(self) -> bytes:
        if self._leaves == "before":
            return b""
        if self._leaves == "reset":
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            return b""
        if self._leaves == "half closed":
            self._sock.shutdown(socket.SHUT_WR)
        if self._leaves == "after a byte":
            return self._sock.recv(1)
        received = self._sock.recv(65536)
        self._sock.settimeout(_REST)  # a connection that is kept open says nothing more
        with suppress(TimeoutError):
            while data := self._sock.recv(65536):
                received += data
        return received


def assault(chance: random.Random, server: MockStreamServer) -> int:
    """Send some hostile requests at once, their pieces interleaved; return how many.

    Raises:
        Failed: an answer is not one that a server gives to its client's mistake.
    """
    host, port = server.url.removeprefix("http://").split(":")
    strangers = [Stranger(chance, (host, int(port))) for _ in range(chance.choice([1, 2, 5, 20]))]
    sending = list(strangers)
    while sending:
        one = chance.choice(sending)
        if not one.send_piece():
            sending.remove(one)
    for stranger in strangers:
        _judge(stranger.data, stranger.answer())
    return sum(stranger.count for stranger in strangers)


def _judge(data: bytes, received: bytes) -> None:
    if len(received) < len("HTTP/1.1 200"):
        return
    status = received[9:12]
    if not received.startswith(b"HTTP/1.1 ") or not status.isdigit():
        raise Failed(f"{received[:200]!r} is no answer; sent was {data[:3000]!r}")
    if int(status) >= 500 and int(status) not in {501, 505}:
        raise Failed(f"it answered {received[:600]!r}; sent was {data[:3000]!r}")
