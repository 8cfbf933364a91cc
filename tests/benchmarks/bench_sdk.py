"""What the in-process door costs, against the usual ways to fake an SDK's answers, all in one run.

Frames built beforehand are the bound: they are there before the clock runs. Those who fake a provider write them as
they go, from what the model shall say, and so do we.

Run it by hand: ``python tests/benchmarks/bench_sdk.py``. It prints medians and ratios; nothing here is a test. The
others that are measured are those that are installed: ``pip install pytest-httpx2 pytest-mockllm``.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
import openai

from pytest_mockstream import MockStreamSDK, Text

ROUNDS = 31
WORDS = tuple(f"w{i} " for i in range(2000))
CHAT: Any = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "stream": True}
URL = "https://api.openai.com/v1/chat/completions"
SSE = {"content-type": "text/event-stream; charset=utf-8"}

Read: TypeAlias = Callable[[], Awaitable[None]]


async def read(client: openai.AsyncOpenAI) -> None:
    """Ask, and read all chunks."""
    count = 0
    async with await client.chat.completions.create(**CHAT) as stream:
        async for chunk in stream:
            count += bool(chunk.choices[0].delta.content)
    if count != len(WORDS):
        raise AssertionError(f"{count} chunks of {len(WORDS)} were read")


def frames() -> list[bytes]:
    """Return the frames that our door sends, one by one."""
    with MockStreamSDK() as sdk:
        sdk.respond(Text(WORDS))
        with httpx2.Client() as client, client.stream("POST", URL, json=CHAT) as reply:
            return list(reply.iter_raw())


async def one_by_one(prebuilt: list[bytes]) -> AsyncIterator[bytes]:
    """Yield frames as they would come."""
    for frame in prebuilt:
        yield frame


@contextmanager
def ours() -> Iterator[Read]:
    """Answer through ``MockStreamSDK``."""
    with MockStreamSDK() as sdk:
        sdk.respond(Text(WORDS), times=None)
        client = openai.AsyncOpenAI()
        yield lambda: read(client)


@contextmanager
def mock_transport() -> Iterator[Read]:
    """Answer with frames built beforehand, through the HTTP library's own ``MockTransport``."""
    prebuilt = frames()

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers=SSE, content=one_by_one(prebuilt))

    http_client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    client = openai.AsyncOpenAI(api_key="fake", http_client=http_client)
    yield lambda: read(client)


@contextmanager
def respx_streamed() -> Iterator[Read]:
    """Answer through respx, on httpx2 by pytest-httpx2, with frames built beforehand."""
    prebuilt = frames()
    with _respx(lambda: {"content": one_by_one(prebuilt)}) as reading:
        yield reading


async def written() -> AsyncIterator[bytes]:
    """Yield frames as whoever fakes a provider by hand writes them."""
    shared = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5"}
    for word in WORDS:
        choice = {"index": 0, "delta": {"content": word}, "logprobs": None, "finish_reason": None}
        yield f"data: {json.dumps({**shared, 'choices': [choice]})}\n\n".encode()
    yield b"data: [DONE]\n\n"


@contextmanager
def respx_written() -> Iterator[Read]:
    """Do as ``respx_streamed``, with frames written as they go."""
    with _respx(lambda: {"content": written()}) as reading:
        yield reading


@contextmanager
def respx_in_one_piece() -> Iterator[Read]:
    """Do as ``respx_streamed``, with the whole body in one piece: what its documentation shows."""
    body = b"".join(frames())
    with _respx(lambda: {"content": body}) as reading:
        yield reading


@contextmanager
def _respx(body: Callable[[], dict[str, Any]]) -> Iterator[Read]:
    import httpx  # respx takes and gives its classes, whatever it answers
    import pytest_httpx2  # noqa: F401 - it teaches respx httpx2
    import respx

    with respx.mock(using="httpcore2") as router:
        router.post(URL).mock(side_effect=lambda _request: httpx.Response(200, headers=SSE, **body()))
        client = openai.AsyncOpenAI(api_key="fake")
        yield lambda: read(client)


@contextmanager
def mockllm() -> Iterator[Read]:
    """Answer through pytest-mockllm, which puts a stream of its own in the place of the SDK's client.

    No request is made, and pydantic's own validation makes the chunks, where the SDK's takes most of the time.
    """
    from pytest_mockllm.providers.openai import OpenAIMock

    with OpenAIMock() as mock:
        client = openai.AsyncOpenAI(api_key="fake")

        async def reading() -> None:
            mock.add_response("".join(WORDS))
            await read(client)

        yield reading


RIVALS: dict[str, tuple[Callable[[], Any], str]] = {
    "respx + pytest-httpx2, frames written": (respx_written, "pytest_httpx2"),
    "respx + pytest-httpx2, frames prebuilt": (respx_streamed, "pytest_httpx2"),
    "respx + pytest-httpx2, in one piece": (respx_in_one_piece, "pytest_httpx2"),
    "pytest-mockllm, without the SDK's client": (mockllm, "pytest_mockllm"),
}


def seconds(runner: asyncio.Runner, reading: Read) -> float:
    """Return how long one reading takes."""

    async def timed() -> float:
        before = time.perf_counter()
        await reading()
        return time.perf_counter() - before

    gc.collect()
    return runner.run(timed())


def compare(title: str, rival: Callable[[], Any]) -> None:
    """Print the median of the ratios of pairs that take turns: above 1, ours is faster."""
    pairs = []
    with asyncio.Runner() as runner:
        for number in range(ROUNDS + 1):
            with ours() as reading:
                took = seconds(runner, reading)
            with rival() as reading:
                pairs.append((took, seconds(runner, reading)))
            if not number:
                pairs.clear()  # the first one imports and compiles
    took, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    rate = len(WORDS) / took
    print(f"{title:<42} {took * 1e3:7.1f} ms, {other * 1e3:7.1f} ms: {ratio:5.2f}x, {rate:,.0f} chunks/s")


TESTS = "import pytest\n@pytest.mark.parametrize('n', range(2000))\ndef test(n{fixture}): pass\n"


def fixture_cost() -> None:
    """Print what requesting the fixture costs a test, with the HTTP libraries loaded that it has to patch."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
        loading = "import aiohttp, httpcore2, httpx, httpx2\n"
        for file, fixture in (("without", ""), ("with", ", mock_stream_sdk")):
            (directory / f"test_{file}.py").write_text(loading + TESTS.format(fixture=fixture))

        def run(file: str) -> float:
            plugins = ["-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin", "-p", "pytest_mockstream.plugin"]
            command = [sys.executable, "-m", "pytest", "-q", *plugins, f"test_{file}.py"]
            environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # others' plugins look at fixtures, too
            before = os.times().children_user
            subprocess.run(command, cwd=directory, env=environment, check=True, capture_output=True)
            return os.times().children_user - before

        run("with")
        pairs = [(run("with"), run("without")) for _ in range(7)]
    cost = statistics.median((a - b) / 2000 for a, b in pairs)
    print(f"{'requesting the fixture':<42} {cost * 1e3:7.3f} ms a test (at most 0.3)")


def main() -> None:
    """Print every comparison."""
    compare("MockTransport, frames prebuilt (>= 0.95)", mock_transport)
    for title, (rival, module) in RIVALS.items():
        if importlib.util.find_spec(module) is not None:
            compare(title, rival)
    fixture_cost()


if __name__ == "__main__":
    main()
