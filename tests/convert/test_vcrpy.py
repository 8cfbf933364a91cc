"""Cassettes that vcrpy made of real SDKs are played as the SDKs got them."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import anthropic
import httpx
import openai
import pytest
import requests

from pytest_mockstream import HTTPError, MockStreamSDK, MockStreamServer, Reasoning, Recording, Text, ToolCall, Usage
from pytest_mockstream.convert import main
from pytest_mockstream.recordings import Tape

vcr: Any = pytest.importorskip("vcr")
yaml: Any = pytest.importorskip("yaml")

MESSAGES: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
WHERE = {"city": "Paris, Île-de-France"}
ASKED = '{"model":"gpt-5","messages":[{"role":"user","content":"hi"}]}'
SAID = '{"choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}]}'
GOOGLE = "https://generativelanguage.googleapis.com"


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[MockStreamServer]:
    """Where the SDKs think that the providers are."""
    with MockStreamServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


def chat_whole(_url: str) -> Any:
    with openai.OpenAI(max_retries=0) as client:
        said = client.chat.completions.create(model="gpt-5", messages=MESSAGES)
    return said.choices[0].message.content, said.choices[0].finish_reason, said.usage and said.usage.total_tokens


def chat_streamed(_url: str) -> Any:
    with openai.OpenAI(max_retries=0) as client:
        chunks = client.chat.completions.create(
            model="gpt-5", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        return [chunk.model_dump(exclude={"id", "created"}) for chunk in chunks]


def chat_refused(_url: str) -> Any:
    with openai.OpenAI(max_retries=0) as client, pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="gpt-5", messages=MESSAGES, temperature=0.5)
    return caught.value.body, caught.value.response.headers["retry-after"]


def messages_streamed(_url: str) -> Any:
    with (
        anthropic.Anthropic(max_retries=0) as client,
        client.messages.stream(model="claude-opus-5", max_tokens=99, messages=MESSAGES) as stream,
    ):
        return [event.model_dump(exclude={"message": {"id"}}) for event in stream]


def gemini_with_requests(url: str) -> Any:
    return [_without_id(line[6:]) for line in with_requests(url).splitlines() if line]


def gemini_whole(url: str) -> Any:
    return _without_id(_asked(url, "generateContent"))


def _asked(url: str, method: str) -> str:
    body = {"contents": [{"role": "user", "parts": [{"text": "What is the weather in Paris?"}]}]}
    with requests.post(f"{url}/v1beta/models/gemini-2.5-pro:{method}", json=body, timeout=10) as reply:
        reply.raise_for_status()
        return reply.content.decode(errors="replace")


def _without_id(text: str) -> Any:
    said = json.loads(text)
    del said["responseId"]
    return said


ASKS: dict[str, tuple[Callable[[str], Any], tuple[Any, ...]]] = {
    "whole": (chat_whole, ("It is ", "sunny.")),
    "streamed": (chat_streamed, ("It is ", "sunny.")),
    "tool calls": (
        chat_streamed,
        ("Let me see.", ToolCall("weather", WHERE, "a"), ToolCall("time", {}, "b")),
    ),
    "429": (chat_refused, (HTTPError(429, retry_after=7, message="Slow down"),)),
    "anthropic": (messages_streamed, (Reasoning("Hm."), "It is ", ToolCall("weather", WHERE, "toolu_1"))),
    "requests, streamed": (gemini_with_requests, ("It is ", "sunny.")),
    "requests, whole": (gemini_whole, (Reasoning("Hm."), ToolCall("weather", WHERE))),
}


def converted(cassette: Path, *options: str) -> Recording:
    """Return what the command makes of a cassette."""
    assert main([str(cassette), *options]) == 0
    return Recording.load(cassette.with_suffix(".toml"))


def played(recording: Recording, ask: Callable[[str], Any]) -> Any:
    """Return what is got when a recording answers."""
    tape = Tape("none", recording)
    with MockStreamSDK(recordings=tape) as sdk:
        tape.play_at(sdk._playbook)
        got = ask(GOOGLE)
        sdk.verify()
    return got


@pytest.mark.parametrize("serializer", ["yaml", "json"])
@pytest.mark.parametrize("name", ASKS)
def test_cassette_is_played_as_it_was_recorded(
    provider: MockStreamServer, tmp_path: Path, name: str, serializer: str
) -> None:
    ask, steps = ASKS[name]
    provider.respond(*steps, usage=Usage(prompt_tokens=11, completion_tokens=7))
    cassette = tmp_path / f"cassette.{serializer}"
    with vcr.use_cassette(cassette, serializer=serializer):
        live = ask(provider.url)

    recording = converted(cassette)

    assert [(reply.lost, reply.gaps) for reply in recording.replies] == [((), ())]
    assert played(recording, ask) == live


def test_retries_and_repeats_are_played_one_after_the_other(provider: MockStreamServer, tmp_path: Path) -> None:
    def ask(_url: str) -> Any:
        with openai.OpenAI(max_retries=1) as client:
            texts = [client.chat.completions.create(model="gpt-5", messages=MESSAGES) for _ in range(2)]
        return [text.choices[0].message.content for text in texts]

    provider.respond(HTTPError(503, retry_after=0.01))
    provider.respond("first")
    provider.respond("second")
    with vcr.use_cassette(tmp_path / "a.yaml", record_mode="all", allow_playback_repeats=False):
        live = ask(provider.url)

    recording = converted(tmp_path / "a.yaml")

    assert live == ["first", "second"]
    assert len(recording.replies) == 3
    assert played(recording, ask) == live


def test_json_that_aiohttp_was_given_is_read(provider: MockStreamServer, tmp_path: Path) -> None:
    async def ask(url: str) -> str:
        async with aiohttp.ClientSession() as session:
            body = {"model": "gpt-5", "messages": MESSAGES, "stream": True}
            async with session.post(f"{url}/v1/chat/completions", json=body) as reply:
                return await reply.text()

    provider.respond("It is ", "sunny.")
    with vcr.use_cassette(tmp_path / "a.yaml"):
        live = asyncio.run(ask(provider.url))

    (reply,) = converted(tmp_path / "a.yaml").replies

    assert "sunny." in live
    assert reply.script.steps == (Text(["It ", "is ", "sunny."]),)
    assert reply.request == {"provider": "openai", "model": "gpt-5", "messages": MESSAGES}


def test_marker_plays_what_was_converted(
    provider: MockStreamServer, pytester: pytest.Pytester, lean_pytest: None
) -> None:
    provider.respond("It is ", ToolCall("weather", WHERE, "call_a"))
    cassette = pytester.path / "cassettes" / "weather.yaml"
    with vcr.use_cassette(cassette):
        live = chat_streamed(provider.url)
    converted(cassette)
    provider.stop()
    pytester.makepyfile(
        test_weather=f"""
import openai
import pytest

@pytest.mark.mockstream_recorded("cassettes/weather.toml")
def test_weather(mock_stream_sdk):
    with openai.OpenAI(max_retries=0) as client:
        chunks = client.chat.completions.create(
            model="gpt-5", messages={MESSAGES!r}, stream=True, stream_options={{"include_usage": True}}
        )
        assert [chunk.model_dump(exclude={{"id", "created"}}) for chunk in chunks] == {live!r}
"""
    )

    result = pytester.runpytest_subprocess("-p", "asyncio", "-p", "mockstream")

    result.assert_outcomes(passed=1)


# Compressed bodies.


Ask: TypeAlias = Callable[[str], str]


@pytest.fixture(params=["gzip", "deflate", "br", "zstd"])
def compressing(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[httpx.Response]]]:
    """A server that sends an answer compressed, and in chunks; the answers to come are put into the list."""
    library = {"gzip": "gzip", "deflate": "zlib", "br": "brotli", "zstd": "zstandard"}[request.param]
    compress = pytest.importorskip(library).compress
    answers: list[httpx.Response] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            answer = answers.pop(0)
            data = compress(answer.content)
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers["content-type"])
            self.send_header("content-encoding", request.param)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for piece in (data[:10], data[10:]):
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", answers
        server.shutdown()
        thread.join()


def with_httpx(url: str) -> str:
    body = {"model": "gpt-5", "messages": MESSAGES, "stream": True}
    return httpx.post(f"{url}/v1/chat/completions", json=body).text


def with_requests(url: str) -> str:
    return _asked(url, "streamGenerateContent?alt=sse")


@pytest.mark.parametrize("kept", ["compressed", "decompressed"])
@pytest.mark.parametrize("ask", [with_httpx, with_requests])
def test_compressed_bodies_are_read(
    provider: MockStreamServer, compressing: tuple[str, list[httpx.Response]], tmp_path: Path, ask: Ask, kept: str
) -> None:
    url, answers = compressing
    provider.respond("It is ", "sunny.", times=None)
    ask(provider.url)
    with httpx.Client() as client:
        request = provider.requests[0]
        query = "?alt=sse" if "Generate" in request.path else ""
        answers.append(client.post(f"{provider.url}{request.path}{query}", json=request.body))
    with vcr.use_cassette(tmp_path / "a.yaml", decode_compressed_response=kept == "decompressed"):
        ask(url)

    (reply,) = converted(tmp_path / "a.yaml").replies

    assert answers == []
    assert reply.script.steps == (Text(["It ", "is ", "sunny."]),)


@pytest.mark.parametrize("body", [SAID, SAID.encode()], ids=["text", "bytes"])
def test_body_that_its_client_had_decompressed_is_read_whatever_its_headers_say(
    tmp_path: Path, body: str | bytes
) -> None:
    """As vcrpy before 8.2 wrote what httpx got."""
    answer = {
        "status_code": 200,
        "http_version": "HTTP/1.1",
        "headers": {"content-encoding": ["gzip"]},
        "content": body,
    }
    request = {"method": "POST", "uri": f"{GOOGLE}/v1/chat/completions", "headers": {}, "body": ASKED}
    (tmp_path / "a.yaml").write_text(
        yaml.dump({"interactions": [{"request": request, "response": answer}], "version": 1})
    )

    (reply,) = converted(tmp_path / "a.yaml").replies

    assert reply.script.steps == (Text(["Hello"]),)


@pytest.mark.parametrize("kind", ["file", "iterator"])
def test_requests_that_were_files_or_iterators_are_read(provider: MockStreamServer, tmp_path: Path, kind: str) -> None:
    sent: Any = io.BytesIO(ASKED.encode()) if kind == "file" else iter([ASKED[:9].encode(), ASKED[9:].encode()])
    provider.respond("Hello")
    with vcr.use_cassette(tmp_path / "a.yaml"):
        requests.post(f"{provider.url}/v1/chat/completions", data=sent, timeout=10).raise_for_status()

    (reply,) = converted(tmp_path / "a.yaml").replies

    assert reply.request == {"provider": "openai", "model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]}


def test_body_that_nothing_here_decompresses_is_an_error_that_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "brotli", None)
    monkeypatch.setitem(sys.modules, "brotlicffi", None)
    answer = {"status": {"code": 200}, "headers": {"content-encoding": ["br"]}, "body": {"string": b"\xff\x00"}}
    request = {"method": "POST", "uri": f"{GOOGLE}/v1/chat/completions", "headers": {}, "body": ASKED}
    path = tmp_path / "a.yaml"
    path.write_text(yaml.dump({"interactions": [{"request": request, "response": answer}], "version": 1}))

    assert main([str(path)]) == 1

    told = (
        f"{path}:2: interaction 1: nothing is installed that decompresses 'br': pip install brotli, or record it with"
    )
    assert capsys.readouterr().err.startswith(told)


def test_body_that_is_a_bomb_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bomb = gzip.compress(bytes(2**26 + 1))
    answer = {"status": {"code": 200}, "headers": {"content-encoding": ["gzip"]}, "body": {"string": bomb}}
    request = {"method": "POST", "uri": f"{GOOGLE}/v1/chat/completions", "headers": {}, "body": ASKED}
    path = tmp_path / "a.yaml"
    path.write_text(yaml.dump({"interactions": [{"request": request, "response": answer}], "version": 1}))

    assert main([str(path)]) == 1

    assert "its body has more than 67108864 bytes once it is decompressed" in capsys.readouterr().err
