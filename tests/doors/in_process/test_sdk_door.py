"""The door itself: who is answered, who is let out, and what is left behind."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import ModuleType
from typing import Any

import pytest
import virtual

from pytest_mockstream import HTTPError, MockStreamSDK, ScriptError, Stall, Text, UnexpectedRequestError, Wait

httpx: Any = pytest.importorskip("httpx")

CHAT = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]}
URL = "https://api.openai.com/v1/chat/completions"


class _Here(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "4")
        self.end_headers()
        self.wfile.write(b"here")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def here() -> Iterator[str]:
    """Give the address of a real server on loopback."""
    with HTTPServer(("127.0.0.1", 0), _Here) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def ask(url: str = URL) -> str:
    content = httpx.post(url, json=CHAT).json()["choices"][0]["message"]["content"]
    assert isinstance(content, str)
    return content


# Who is answered.


def test_client_made_before_the_test_is_answered() -> None:
    with httpx.Client() as client, MockStreamSDK() as sdk:
        sdk.respond("Hello")
        reply = client.post(URL, json=CHAT)

    assert reply.json()["choices"][0]["message"]["content"] == "Hello"


def test_any_host_is_answered_whose_path_is_known(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("Hello")

    assert ask("https://llm.example.com/proxy/v1/chat/completions") == "Hello"


def test_client_with_a_transport_of_its_own_is_left_alone(mock_stream_sdk: MockStreamSDK) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text="mine"))

    with httpx.Client(transport=transport) as client:
        assert client.get("https://api.openai.com/v1/chat/completions").text == "mine"
    assert mock_stream_sdk.requests == []


def test_library_imported_while_the_door_is_open_is_answered(mock_stream_sdk: MockStreamSDK) -> None:
    names = [name for name in sys.modules if name.partition(".")[0] in {"httpx", "httpcore"}]
    before: dict[str, ModuleType] = {name: sys.modules.pop(name) for name in names}
    try:
        with MockStreamSDK() as inner:
            inner.respond("Hello")
            fresh = importlib.import_module("httpx")
            reply = fresh.post(URL, json=CHAT)
    finally:
        sys.modules.update(before)

    assert reply.json()["choices"][0]["message"]["content"] == "Hello"


def test_loopback_is_let_out(mock_stream_sdk: MockStreamSDK, here: str) -> None:
    assert httpx.post(f"http://{here}/v1/chat/completions", json=CHAT).text == "here"
    assert mock_stream_sdk.requests == []


def test_loopback_is_answered_where_the_test_says_so(mock_stream_sdk: MockStreamSDK, here: str) -> None:
    mock_stream_sdk.respond("Hello")
    mock_stream_sdk.intercept(here)

    assert ask(f"http://{here}/v1/chat/completions") == "Hello"


def test_ollama_is_answered_on_loopback(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("Hello")

    reply = httpx.post("http://localhost:11434/api/chat", json={**CHAT, "stream": False})

    assert reply.json()["message"]["content"] == "Hello"


def test_named_host_is_let_out(here: str) -> None:
    host, _, port = here.partition(":")

    with MockStreamSDK(passthrough=[here], intercept=[host]) as sdk:
        assert httpx.post(f"http://{host}:{port}/v1/chat/completions", json=CHAT).text == "here"
    assert sdk.requests == []


@pytest.mark.parametrize("hosts", ["api.example.com", ["https://api.example.com/"], [""], [1]])
def test_hosts_that_are_none_are_refused(hosts: Any) -> None:
    with pytest.raises(ScriptError, match=r"passthrough=.*without scheme and path"):
        MockStreamSDK(passthrough=hosts)


# What is not known.


def test_unknown_path_is_an_error_to_the_code_and_fails_the_test() -> None:
    with MockStreamSDK() as sdk:
        reply = httpx.post("https://api.openai.com/v1/evals", json={})

    assert reply.status_code == 404
    assert "error" in reply.json()
    with pytest.raises(UnexpectedRequestError, match="/v1/evals") as caught:
        sdk.verify()
    assert "/chat/completions" in str(caught.value)


def test_request_that_no_script_is_left_for_fails_the_test_even_if_swallowed() -> None:
    with MockStreamSDK() as sdk:
        sdk.respond("one")
        assert ask() == "one"
        assert httpx.post(URL, json=CHAT).status_code == 400

    with pytest.raises(UnexpectedRequestError, match="no script left for /v1/chat/completions"):
        sdk.verify()


def test_price_list_of_litellm_is_out_of_reach_and_nobody_is_blamed(mock_stream_sdk: MockStreamSDK) -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get("https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json")

    assert mock_stream_sdk.requests == []


# What is left behind.


def test_door_lends_keys_and_takes_them_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "the developer's own")

    with MockStreamSDK():
        lent = {name: os.environ.get(name) for name in ("OPENAI_API_KEY", "GEMINI_API_KEY", "ANTHROPIC_API_KEY")}

    assert lent["OPENAI_API_KEY"] == lent["GEMINI_API_KEY"] is not None
    assert lent["ANTHROPIC_API_KEY"] == "the developer's own"
    assert "OPENAI_API_KEY" not in os.environ
    assert "GEMINI_API_KEY" not in os.environ


def test_keys_are_lent_until_the_last_door_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    first, second = MockStreamSDK(), MockStreamSDK()
    first.__enter__()
    second.__enter__()

    first.__exit__(None, None, None)
    still = "OPENAI_API_KEY" in os.environ
    second.__exit__(None, None, None)

    assert still
    assert "OPENAI_API_KEY" not in os.environ


def _replaced() -> list[object]:
    """Return what an open door replaces, as it is now."""
    import socket

    httpcore = importlib.import_module("httpcore")
    return [
        httpcore.ConnectionPool.handle_request,
        httpcore.ConnectionPool.close,
        httpcore.AsyncConnectionPool.handle_async_request,
        httpcore.AsyncConnectionPool.aclose,
        socket.getaddrinfo,
        socket.socket.connect,
        list(sys.meta_path),
    ]


def test_closed_door_leaves_every_library_as_it_was() -> None:
    with MockStreamSDK():
        pass  # the guard stays to the end of the session
    before = _replaced()

    with MockStreamSDK():
        during = _replaced()

    assert all(ours != theirs for ours, theirs in zip(during, before, strict=True))
    assert _replaced() == before


def test_inner_door_answers_and_the_outer_one_after_it() -> None:
    with MockStreamSDK() as outer:
        outer.respond("outer")
        with MockStreamSDK() as inner:
            inner.respond("inner")
            first = ask()
        second = ask()

    assert (first, second) == ("inner", "outer")


def test_doors_closed_in_the_wrong_order_leave_nothing_behind(here: str) -> None:
    url = f"http://{here}/v1/chat/completions"
    with MockStreamSDK():
        pass  # the guard stays to the end of the session
    before = _replaced()
    outer, inner = MockStreamSDK(intercept=[here]), MockStreamSDK(intercept=[here])
    outer.__enter__()
    inner.__enter__()
    inner.respond("inner")

    outer.__exit__(None, None, None)
    answered = ask(url)
    inner.__exit__(None, None, None)

    assert answered == "inner"
    assert httpx.post(url, json=CHAT).text == "here"
    assert _replaced() == before


def test_open_door_cannot_be_opened_again() -> None:
    with MockStreamSDK() as sdk, pytest.raises(ScriptError, match="open already"):
        sdk.__enter__()


# Time.


def test_read_timeout_is_honoured_in_virtual_time(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("one ", Stall())

    async def main() -> float:
        async with (
            httpx.AsyncClient(timeout=3600) as client,
            client.stream("POST", URL, json={**CHAT, "stream": True}) as reply,
        ):
            with pytest.raises(httpx.ReadTimeout):
                await reply.aread()
        return asyncio.get_running_loop().time()

    assert virtual.run(main()) == 3600


async def test_other_tasks_have_their_turns_at_each_early_chunk_and_now_and_then_later(
    mock_stream_sdk: MockStreamSDK,
) -> None:
    mock_stream_sdk.respond(Text(["x"] * 1000))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    async with (
        httpx.AsyncClient() as client,
        client.stream("POST", URL, json={**CHAT, "stream": True}) as reply,
    ):
        seen = [turns async for _ in reply.aiter_raw()]
    counting.cancel()

    early = seen[:20]
    assert len(set(early)) == len(early)
    assert seen[-1] > seen[500] > seen[100]


def test_sync_read_timeout_is_honoured(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond(Stall())

    with pytest.raises(httpx.ReadTimeout):
        httpx.post(URL, json=CHAT, timeout=0.01)

    assert mock_stream_sdk.requests[0].state == "broken"


def test_http_error_comes_when_it_is_due(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond(Wait(7), HTTPError(503))

    async def main() -> tuple[int, float]:
        async with httpx.AsyncClient(timeout=60) as client:
            reply = await client.post(URL, json={**CHAT, "stream": True})
        return reply.status_code, asyncio.get_running_loop().time()

    assert virtual.run(main()) == (503, 7)


@pytest.mark.skipif(importlib.util.find_spec("openai") is None, reason="openai is not installed")
def test_no_stream_of_openai_waits_behind_its_end(mock_stream_sdk: MockStreamSDK) -> None:
    import openai

    async def main() -> float:
        async with openai.AsyncOpenAI() as client:
            async for _ in await client.chat.completions.create(**CHAT, stream=True):  # type: ignore[call-overload]
                pass
        return asyncio.get_running_loop().time()

    assert virtual.run(main()) == 0


@pytest.mark.skipif(importlib.util.find_spec("openai") is None, reason="openai is not installed")
def test_retries_are_requests_of_their_own_and_wait_in_virtual_time(mock_stream_sdk: MockStreamSDK) -> None:
    import openai

    mock_stream_sdk.respond(HTTPError(429, retry_after=20))
    mock_stream_sdk.respond("at last")

    async def main() -> float:
        async with openai.AsyncOpenAI() as client:
            async for _ in await client.chat.completions.create(**CHAT, stream=True):  # type: ignore[call-overload]
                pass
        return asyncio.get_running_loop().time()

    assert virtual.run(main()) == pytest.approx(20, rel=0.3)
    assert [request.state for request in mock_stream_sdk.requests] == ["broken", "exhausted"]
    assert [request.headers["x-stainless-retry-count"] for request in mock_stream_sdk.requests] == ["0", "1"]


def test_keys_are_nowhere_in_the_record(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("Hello")

    httpx.post(URL, json=CHAT, headers={"Authorization": "Bearer sk-very-secret", "X-Api-Key": "sk-very-secret"})

    request = mock_stream_sdk.requests[0]
    assert "sk-very-secret" not in repr((request, request.headers, request.params, request.tools))
    assert "sk-very-secret" not in str(request)
