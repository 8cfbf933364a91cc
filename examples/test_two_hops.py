"""Two hops: an application that streams from a model to its own clients.

When a client goes away, the application must let go of the model, or it pays for tokens that nobody reads. No mock
inside the application can prove that: the client has to be a real one, and leave. The proof is the last five lines.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Iterator

import openai
import pytest
import requests
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from pytest_mockstream import Gate, MockStreamServer

# The application: it knows nothing of tests.


async def words(prompt: str) -> AsyncIterator[str]:
    """Stream an answer; ``async with`` is what closes the stream when Starlette cancels this generator."""
    async with (
        openai.AsyncOpenAI() as client,
        await client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": prompt}], stream=True
        ) as stream,
    ):
        async for chunk in stream:
            yield chunk.choices[0].delta.content or ""


async def answer(request: Request) -> StreamingResponse:
    """Answer ``GET /?q=...`` with the words as they come."""
    return StreamingResponse(words(request.query_params["q"]), media_type="text/plain")


app = Starlette(routes=[Route("/", answer)])

# Its test.


@pytest.fixture
def url() -> Iterator[str]:
    """Run the application on a socket of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/?q=hi"
    server.should_exit = True
    thread.join()


def test_the_model_is_let_go_when_our_client_leaves(url: str, mock_stream_server: MockStreamServer) -> None:
    """A client that leaves after the first word costs one word."""
    mock_stream_server.respond("one ", Gate(), "two")
    with requests.get(url, stream=True, timeout=30) as response:
        assert next(response.iter_content(None)) == b"one "
    mock_stream_server.requests[0].assert_closed(within=30, after_chunk=1)
