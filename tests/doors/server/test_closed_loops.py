"""Clients that outlive the event loop of their test: frameworks keep one for the whole process, as many users do."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import anthropic
import httpx
import openai
import pytest

from pytest_mockstream import MockStreamSDK, MockStreamServer

from .conftest import MESSAGES, Run


async def ask_openai(client: openai.AsyncOpenAI) -> Any:
    reply = await client.chat.completions.create(model="m", messages=MESSAGES)
    return reply.choices[0].message.content


async def stream_openai(client: openai.AsyncOpenAI) -> Any:
    stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


@pytest.mark.parametrize("ask", [ask_openai, stream_openai])
@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("door", [MockStreamSDK, MockStreamServer])
def test_a_client_is_used_in_one_loop_after_another(door: type[Any], ask: Any, retries: int) -> None:
    with door() as opened:
        base_url = opened.base_url("openai") if door is MockStreamServer else None
        client = openai.AsyncOpenAI(base_url=base_url, api_key="k", max_retries=retries)
        opened.respond("Paris.", times=3)

        assert [asyncio.run(ask(client)) for _ in range(3)] == ["Paris."] * 3

        opened.verify()


def test_an_error_is_no_reason_to_keep_the_connection() -> None:
    async def ask(client: anthropic.AsyncAnthropic) -> str:
        with pytest.raises(anthropic.BadRequestError):
            await client.messages.create(model="m", max_tokens=9, messages=[])
        reply = await client.messages.create(model="m", max_tokens=9, messages=MESSAGES)
        return reply.content[0].text  # type: ignore[union-attr] # it is text

    with MockStreamServer() as server:
        client = anthropic.AsyncAnthropic(base_url=server.url, api_key="k", max_retries=0)

        assert [asyncio.run(ask(client)) for _ in range(2)] == [server._default_text] * 2


def test_a_connection_is_kept_where_that_is_asked_for() -> None:
    with MockStreamServer(keep_alive=True) as server, httpx.Client(base_url=server.url) as client:
        ports = {client.get("/v1/models").extensions["network_stream"].get_extra_info("client_addr") for _ in range(3)}

    assert len(ports) == 1


async def test_a_closed_connection_is_told_to_every_client(mock_stream_server: MockStreamServer) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(3):
            async with session.get(f"{mock_stream_server.url}/v1/models") as response:
                assert response.headers["connection"] == "close"
                await response.read()


def test_a_client_of_the_module_serves_several_tests(run_pytest: Run) -> None:
    result = run_pytest(
        """
import openai
CLIENTS = {}

@pytest.mark.parametrize("n", range(3))
@pytest.mark.parametrize("retries", [0, 2])
async def test_1(mock_stream_server, retries, n):
    client = CLIENTS.setdefault(retries, openai.AsyncOpenAI(max_retries=retries))
    mock_stream_server.respond("Paris.")
    reply = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert reply.choices[0].message.content == "Paris."
    assert len(mock_stream_server.requests) == 1
"""
    )

    result.assert_outcomes(passed=6)
