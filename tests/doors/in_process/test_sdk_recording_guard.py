"""What recording lets out to a provider, and what stays refused."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import httpx
import pytest
from raw_server import RawServer, chunked, raw_server
from recorded_clients import CHAT, CLIENTS, Asking
from recorder import Recorder

from pytest_mockstream import MockStreamSDK, UnexpectedRequestError

PIECES = (b'data: {"one": 1}\n\n', b"data: [DONE]\n\n")
KEYS = {"authorization": "Bearer sk-real"}


@pytest.fixture
def looks_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have every name lead to this machine, and return those that were asked for."""
    asked: list[str] = []
    original = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(host.decode() if isinstance(host, bytes) else host)
        return original("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def of_openai(server: RawServer) -> str:
    """Return the URL of a server, as if it were OpenAI's."""
    return server.url.replace("localhost", "api.openai.com") + "/v1/chat/completions"


@pytest.mark.parametrize("name", ["httpx", "httpx-async", "aiohttp", "requests"])
def test_request_that_is_recorded_reaches_its_provider(looks_up: list[str], name: str) -> None:
    recorder = Recorder()

    async def ask(asking: Asking, url: str) -> bytes:
        async with asking(url) as reply:
            return b"".join([piece async for piece in reply.pieces])

    with raw_server(chunked(*PIECES)) as server, MockStreamSDK(recordings=recorder) as sdk:
        read = asyncio.run(ask(CLIENTS[name], of_openai(server)))
        sdk.verify()

    assert read == recorder.only.body == b"".join(PIECES)
    assert recorder.only.url == of_openai(server)
    assert set(looks_up) == {"api.openai.com"}


def test_others_do_not_get_out_because_somebody_records(looks_up: list[str]) -> None:
    recorder = Recorder(records=lambda request: request.model == "gpt-5")
    with raw_server(chunked(*PIECES)) as server, MockStreamSDK(recordings=recorder) as sdk:
        sdk.respond("scripted")
        url = of_openai(server)
        assert b"scripted" in httpx.post(url, json={**CHAT, "model": "other"}).content
        assert httpx.post(url, json=CHAT, headers=KEYS).content == b"".join(PIECES)

        with pytest.raises(UnexpectedRequestError, match="tried to bypass mock_stream_sdk and reach"):
            socket.create_connection(("api.openai.com", 80), timeout=1)
        assert httpx.post(url, json={**CHAT, "model": "other"}).status_code == 400

    assert len(recorder.takes) == len(server.requests) == 1


def test_real_keys_stay_and_are_sent(looks_up: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import openai

    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    recorder = Recorder()

    with raw_server(chunked(*PIECES)) as server, MockStreamSDK(recordings=recorder):
        assert os.environ["ANTHROPIC_API_KEY"] == "mockstream-fake-key"
        base_url = server.url.replace("localhost", "api.openai.com") + "/v1"
        with openai.OpenAI(base_url=base_url, max_retries=0) as client:
            list(client.chat.completions.create(**CHAT))

    assert b"Bearer sk-real" in server.requests[0]


@pytest.mark.parametrize("name", ["httpx", "httpx-async", "aiohttp", "requests"])
def test_fake_key_is_sent_to_no_provider(looks_up: list[str], name: str) -> None:
    recorder = Recorder()
    headers = {"authorization": "Bearer mockstream-fake-key"}

    async def ask(asking: Asking, url: str) -> tuple[int, bytes]:
        async with asking(url, headers=headers) as reply:
            return reply.status, b"".join([piece async for piece in reply.pieces])

    with raw_server(chunked(*PIECES)) as server, MockStreamSDK(recordings=recorder) as sdk:
        status, told = asyncio.run(ask(CLIENTS[name], of_openai(server)))

        assert status == 400
        assert b"has the fake key that mock_stream_sdk lends" in told
        with pytest.raises(
            UnexpectedRequestError, match=r"POST /v1/chat/completions of api\.openai\.com .*OPENAI_API_KEY"
        ):
            sdk.verify()

    assert recorder.takes == []
    assert server.requests == []
