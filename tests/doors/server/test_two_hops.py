"""Two hops: what becomes of the stream behind an application when the application's own client goes away."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, suppress
from typing import TypeAlias

import openai
import pytest
import requests
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from pytest_mockstream import Disconnect, Gate, MockStreamServer

from .conftest import MESSAGES

Words: TypeAlias = "Callable[[], AsyncIterator[str]]"
Serve: TypeAlias = "Callable[[Words], str]"


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Runs an application that streams words, and returns its URL."""
    with ExitStack() as stack:

        def serve(words: Words) -> str:
            async def answer(_request: Request) -> StreamingResponse:
                return StreamingResponse(words(), media_type="text/plain")

            listener = socket.create_server(("127.0.0.1", 0))
            app = Starlette(routes=[Route("/", answer)])
            server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            stack.callback(thread.join)
            stack.callback(setattr, server, "should_exit", True)
            return f"http://127.0.0.1:{listener.getsockname()[1]}/"

        yield serve


async def careful() -> AsyncIterator[str]:
    async with (
        openai.AsyncOpenAI(max_retries=0) as client,
        await client.chat.completions.create(model="m", messages=MESSAGES, stream=True) as stream,
    ):
        async for chunk in stream:
            yield chunk.choices[0].delta.content or ""


async def first_word(url: str) -> None:
    """Read one piece of the application's answer, and leave."""

    def read() -> None:
        with requests.get(url, stream=True, timeout=30) as response:
            next(response.iter_content(None))

    await asyncio.to_thread(read)


async def test_the_upstream_stream_is_closed_when_the_client_leaves(
    mock_stream_server: MockStreamServer, serve: Serve
) -> None:
    mock_stream_server.respond("one ", Gate(), "two")

    await first_word(serve(careful))

    mock_stream_server.requests[0].assert_closed(within=30, after_chunk=1)


async def test_a_client_that_leaves_before_the_first_word_closes_it_too(
    mock_stream_server: MockStreamServer, serve: Serve
) -> None:
    gate = Gate()
    mock_stream_server.respond(gate, "late")
    host, port = serve(careful).removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await gate.reached()

    mock_stream_server.requests[0].assert_closed(within=30, after_chunk=0)


async def test_a_producer_that_nobody_stops_keeps_the_upstream_stream_open(
    mock_stream_server: MockStreamServer, serve: Serve
) -> None:
    left = threading.Event()
    pumps: list[asyncio.Task[None]] = []

    async def careless() -> AsyncIterator[str]:
        queue: asyncio.Queue[str] = asyncio.Queue()

        async def pump() -> None:
            with suppress(openai.APIConnectionError):  # when the test ends the stream
                async for word in careful():
                    await queue.put(word)

        pumps.append(asyncio.create_task(pump()))
        try:
            while True:
                yield await queue.get()
        finally:
            left.set()

    mock_stream_server.respond("one ", Gate(), "two")

    await first_word(serve(careless))
    await asyncio.to_thread(left.wait)

    with pytest.raises(AssertionError, match="is still open"):
        mock_stream_server.requests[0].assert_closed()
    mock_stream_server.end_streams()


async def test_a_break_of_the_upstream_stream_reaches_the_client(
    mock_stream_server: MockStreamServer, serve: Serve
) -> None:
    mock_stream_server.respond("one ", Disconnect())
    url = serve(careful)

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        await asyncio.to_thread(requests.get, url, timeout=30)

    assert mock_stream_server.requests[0].state == "broken"
