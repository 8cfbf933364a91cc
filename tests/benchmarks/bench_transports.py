"""What the in-process door costs in each HTTP library, against the thinnest fakes that its users write, all in one run.

A fake in one piece is no stream: its reader gets 2000 chunks at once, and reads them in as few parts as it likes. It is
the bound for those who fake frames that were built beforehand. Whoever fakes a provider by hand writes them as they go,
from what the model shall say, and so do we.

Run it by hand: ``python tests/benchmarks/bench_transports.py``. It prints medians and ratios of the time that the
process was at work; nothing here is a test.
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
import statistics
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from typing import Any, TypeAlias

import aiohttp
import httpx
import requests
from aiohttp import web
from aiohttp.test_utils import TestServer

from pytest_mockstream import MockStreamSDK, Text

responses: Any = import_module("responses")
ROUNDS = 31
WORDS = tuple(f"w{i} " for i in range(2000))
FEW = WORDS[:20]
CHAT: Any = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "stream": True}
URL = "https://api.openai.com/v1/chat/completions"
SSE = {"content-type": "text/event-stream; charset=utf-8"}
TALK: Any = {"modelId": "anthropic.claude", "messages": [{"role": "user", "content": [{"text": "hi"}]}]}

#: Asks, reads the whole stream as an application does, and returns how many words it got.
Read: TypeAlias = Callable[[], int]


def words_in(lines: Iterator[str | bytes]) -> int:
    """Read the lines of a stream of chat completions."""
    count = 0
    for line in lines:
        if len(line) > 20:
            count += bool(json.loads(line[6:])["choices"][0]["delta"].get("content"))
    return count


@contextmanager
def ours(read: Read, words: tuple[str, ...]) -> Iterator[Read]:
    """Answer through ``MockStreamSDK``."""
    with MockStreamSDK() as sdk:
        sdk.respond(Text(words), times=None)
        yield read


def frames() -> list[bytes]:
    """Return the frames that our door sends, one by one."""
    with MockStreamSDK() as sdk:
        sdk.respond(Text(WORDS))
        with httpx.Client() as client, client.stream("POST", URL, json=CHAT) as reply:
            return list(reply.iter_raw())


def written() -> Iterator[bytes]:
    """Yield frames as whoever fakes a provider by hand writes them."""
    shared = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5"}
    for word in WORDS:
        choice = {"index": 0, "delta": {"content": word}, "logprobs": None, "finish_reason": None}
        yield f"data: {json.dumps({**shared, 'choices': [choice]})}\n\n".encode()
    yield b"data: [DONE]\n\n"


PREBUILT = frames()


# httpx.


def read_httpx(client: httpx.Client) -> int:
    """Read through httpx."""
    with client.stream("POST", URL, json=CHAT) as reply:
        return words_in(reply.iter_lines())


def _mock_transport(body: Callable[[], Iterator[bytes]]) -> Any:
    @contextmanager
    def answering() -> Iterator[Read]:
        def answer(request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, headers=SSE, content=body())

        with httpx.Client(transport=httpx.MockTransport(answer)) as client:
            yield lambda: read_httpx(client)

    return answering


# aiohttp: what fakes it in process does not work with its newest versions, so its own server for tests stands here.


async def _read_aiohttp(session: aiohttp.ClientSession, url: str) -> int:
    async with session.post(url, json=CHAT) as reply:
        return words_in(iter([line async for line in reply.content]))


async def _answer(request: web.Request) -> web.StreamResponse:
    await request.read()
    response = web.StreamResponse(headers=SSE)
    await response.prepare(request)
    for frame in PREBUILT:
        await response.write(frame)
    return response


@contextmanager
def aiohttp_server(runner: asyncio.Runner, session: aiohttp.ClientSession) -> Iterator[Read]:
    """Answer through aiohttp's own server for tests, on this machine."""
    app = web.Application()
    app.router.add_post("/", _answer)
    server = TestServer(app)
    runner.run(server.start_server())
    yield lambda: runner.run(_read_aiohttp(session, str(server.make_url("/"))))
    runner.run(server.close())


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession()


# requests.


SESSION = requests.Session()


def read_requests() -> int:
    """Read through requests."""
    with SESSION.post(URL, json=CHAT, stream=True, timeout=60) as reply:
        return words_in(filter(None, reply.iter_lines()))


def read_requests_whole() -> int:
    """Read an answer that is no stream."""
    reply = SESSION.post(URL, json={**CHAT, "stream": False}, timeout=60).json()
    return len(reply["choices"][0]["message"]["content"].split())


@contextmanager
def responses_whole() -> Iterator[Read]:
    """Answer through responses what is no stream."""
    message = {"role": "assistant", "content": "".join(FEW)}
    with responses.RequestsMock() as mock:
        mock.add(responses.POST, URL, json={"choices": [{"index": 0, "message": message}]})
        yield read_requests_whole


class _OneByOne(io.RawIOBase):
    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = next(self._parts, b"")
        buffer[: len(part)] = part
        return len(part)


def _responses(body: Callable[[], Any]) -> Any:
    @contextmanager
    def answering() -> Iterator[Read]:
        with responses.RequestsMock() as mock:
            mock.add(responses.POST, URL, body=body(), headers=SSE)
            yield read_requests

    return answering


@contextmanager
def responses_written() -> Iterator[Read]:
    """Answer through responses, with frames written as they go."""
    with responses.RequestsMock() as mock:
        mock.add_callback(responses.POST, URL, lambda _request: (200, SSE, b"".join(written())))
        yield read_requests


# botocore.


def _client() -> Any:
    return import_module("boto3").client("bedrock-runtime", **_KEYS)


_KEYS = {"aws_access_key_id": "fake", "aws_secret_access_key": "fake", "region_name": "us-east-1"}


def read_bedrock(client: Any) -> int:
    """Read through boto3."""
    return sum("contentBlockDelta" in event for event in client.converse_stream(**TALK)["stream"])


def bedrock_frames() -> tuple[dict[str, str], list[bytes]]:
    """Return the headers and the frames that our door sends to boto3."""
    kept: list[Any] = []
    with MockStreamSDK() as sdk:
        sdk.respond(Text(WORDS))
        client = _client()
        client.meta.events.register("before-parse", lambda **told: kept.append(told))
        client.meta.events.register(
            "response-received.bedrock-runtime.ConverseStream", lambda response_dict, **_: kept.append(response_dict)
        )
        reply = client.converse_stream(**TALK)
        headers = dict(reply["ResponseMetadata"]["HTTPHeaders"])
        return headers, list(reply["stream"]._raw_stream.stream())


def event(kind: str, payload: dict[str, Any]) -> bytes:
    """Write an event as whoever fakes Bedrock by hand must: in AWS's event stream, with both checksums."""
    told = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in told.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))


def bedrock_written(_prebuilt: list[bytes]) -> Iterator[bytes]:
    """Yield the events of a reply as they go."""
    yield event("messageStart", {"role": "assistant"})
    for word in WORDS:
        yield event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}})
    yield event("contentBlockStop", {"contentBlockIndex": 0})
    yield event("messageStop", {"stopReason": "end_turn"})


def _before_send(body: Callable[[list[bytes]], Iterator[bytes]]) -> Any:
    """Answer where botocore would send, as moto does, with frames built beforehand."""

    @contextmanager
    def answering() -> Iterator[Read]:
        headers, prebuilt = bedrock_frames()

        class Raw:
            def stream(self, *_: object, **__: object) -> Iterator[bytes]:
                return body(prebuilt)

        client = _client()
        answered = import_module("botocore.awsrequest").AWSResponse
        client.meta.events.register("before-send", lambda request, **_: answered(request.url, 200, headers, Raw()))
        yield lambda: read_bedrock(client)

    return answering


def read_bedrock_whole(client: Any) -> int:
    """Read an answer that is no stream."""
    return len(client.converse(**TALK)["output"]["message"]["content"][0]["text"].split())


@contextmanager
def stubber() -> Iterator[Read]:
    """Answer through botocore's Stubber, which knows no streams: nothing is signed, sent or parsed."""
    client = _client()
    usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
    message = {"role": "assistant", "content": [{"text": "".join(FEW)}]}
    whole = {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 1}}
    with import_module("botocore.stub").Stubber(client) as stub:
        stub.add_response("converse", whole)
        yield lambda: read_bedrock_whole(client)


def seconds(read: Read, words: tuple[str, ...]) -> float:
    """Return how long the process is at work for one reading."""
    gc.collect()
    before = time.process_time()
    count = read()
    took = time.process_time() - before
    if count != len(words):
        raise AssertionError(f"{count} words of {len(words)} were read")
    return took


def compare(title: str, read: Read, rival: Callable[[], Any], words: tuple[str, ...] = WORDS) -> None:
    """Print the median of the ratios of pairs that take turns: above 1, ours is faster."""
    pairs = []
    for number in range(ROUNDS + 1):
        with ours(read, words) as reading:
            took = seconds(reading, words)
        with rival() as reading:
            pairs.append((took, seconds(reading, words)))
        if not number:
            pairs.clear()  # the first one imports and compiles
    took, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"{title:<54} {took * 1e3:6.1f} ms, {other * 1e3:6.1f} ms: {ratio:5.2f}x")


def main() -> None:
    """Print every comparison."""
    with httpx.Client() as plain:
        read: Read = lambda: read_httpx(plain)  # noqa: E731 - it is what `Read` says
        compare("httpx: MockTransport, frames written", read, _mock_transport(written))
        compare("httpx: MockTransport, frames prebuilt, one by one", read, _mock_transport(lambda: iter(PREBUILT)))
    with asyncio.Runner() as runner:
        session = runner.run(_session())
        read = lambda: runner.run(_read_aiohttp(session, URL))  # noqa: E731 - it is what `Read` says
        compare("aiohttp: its TestServer, frames prebuilt, one by one", read, lambda: aiohttp_server(runner, session))
        runner.run(session.close())
    one_by_one = _responses(lambda: io.BufferedReader(_OneByOne(iter(PREBUILT))))
    compare("requests: responses, frames written", read_requests, responses_written)
    compare("requests: responses, frames prebuilt, one by one", read_requests, one_by_one)
    compare("requests: responses, in one piece", read_requests, _responses(lambda: b"".join(PREBUILT)))
    compare("requests: responses, whole", read_requests_whole, responses_whole, FEW)
    with closing(_client()) as client:
        read = lambda: read_bedrock(client)  # noqa: E731 - as above
        compare("boto3: before-send, events written", read, _before_send(bedrock_written))
        compare("boto3: before-send, events prebuilt, one by one", read, _before_send(iter))
        compare("boto3: before-send, in one piece", read, _before_send(lambda parts: iter([b"".join(parts)])))
        compare("boto3: Stubber, whole, no HTTP and no parser", lambda: read_bedrock_whole(client), stubber, FEW)


if __name__ == "__main__":
    main()
