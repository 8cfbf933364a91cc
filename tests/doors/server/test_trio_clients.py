"""Clients of the server that run on trio; the server itself has a loop of its own in a thread."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from pytest_mockstream import Disconnect, Gate, MockStreamServer

from .conftest import MESSAGES

httpx = pytest.importorskip("httpx")

BODY: dict[str, Any] = {"model": "gpt-5", "messages": MESSAGES, "stream": True}
pytestmark = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")  # httpx drops what it has not read


def test_client_on_trio_reads_a_stream(mock_stream_server: MockStreamServer) -> None:
    mock_stream_server.respond("one two")

    async def main() -> str:
        async with httpx.AsyncClient(base_url=mock_stream_server.url) as client:
            response = await client.post("/v1/chat/completions", json=BODY)
        await mock_stream_server.requests[0].wait_closed()
        return str(response.text)

    assert "[DONE]" in trio.run(main)
    assert mock_stream_server.requests[0].state == "exhausted"


def test_leaving_is_seen_and_can_be_waited_for_on_trio(mock_stream_server: MockStreamServer) -> None:
    gate = Gate()
    mock_stream_server.respond("one ", gate, "two")

    async def main() -> None:
        async with (
            httpx.AsyncClient(base_url=mock_stream_server.url) as client,
            client.stream("POST", "/v1/chat/completions", json=BODY) as response,
        ):
            async for _ in response.aiter_lines():
                break
            await gate.reached()
        await mock_stream_server.requests[0].aassert_closed(within=30)

    trio.run(main)

    assert mock_stream_server.requests[0].state == "closed"


def test_line_that_asked_is_known_on_trio(mock_stream_server: MockStreamServer) -> None:
    async def main() -> None:
        async with httpx.AsyncClient(base_url=mock_stream_server.url) as client:
            await client.post("/v1/chat/completions", json=BODY)

    trio.run(main)

    assert mock_stream_server.requests[0].opened_at.filename == __file__


def test_blocking_the_trio_loop_that_has_to_close_a_stream_is_refused(mock_stream_server: MockStreamServer) -> None:
    mock_stream_server.respond("one ", Gate())

    async def main() -> None:
        async with (
            httpx.AsyncClient(base_url=mock_stream_server.url) as client,
            client.stream("POST", "/v1/chat/completions", json=BODY),
        ):
            with pytest.raises(RuntimeError, match=r"await request\.aassert_closed"):
                mock_stream_server.requests[0].assert_closed(within=1)

    trio.run(main)


def test_reset_is_an_error_on_trio(mock_stream_server: MockStreamServer) -> None:
    mock_stream_server.respond("one ", Disconnect())

    async def main() -> None:
        async with httpx.AsyncClient(base_url=mock_stream_server.url) as client:
            await client.post("/v1/chat/completions", json=BODY)

    with pytest.raises(httpx.TransportError):
        trio.run(main)
