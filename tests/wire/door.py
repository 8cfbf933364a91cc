"""A door for tests: real SDK clients whose requests are answered from a script, frame by frame, without a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import httpx2
import ollama
import openai
from google import genai
from google.genai.types import HttpOptions

from pytest_mockstream import Request, Script
from pytest_mockstream._base.callsite import calling_site
from pytest_mockstream.doors.answer import Answer, answer
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.playbook.queued import Condition

HELLO: Any = [{"role": "user", "content": "hello there"}]


class Door:
    """Plays one script for every request."""

    def __init__(self, script: Script | None = None) -> None:
        self.playbook = Playbook(Script("unscripted", times=None), name="door")
        if script is not None:
            self.playbook.queue(script, Condition())
        self._script = script

    @property
    def request(self) -> Request:
        """The last request."""
        return self.playbook.requests[-1]

    def answer(self, method: str, url: str, headers: dict[str, str] | None = None, body: Any = None) -> Answer:
        """Answer one request; whoever asks reads the answer or leaves it."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        incoming = HTTPRequest(method=method, url=url, headers=headers or {}, body=content)
        return answer(self.playbook, incoming, opened_at=calling_site())

    def ask(self, method: str, url: str, headers: dict[str, str] | None = None, body: Any = None) -> Answer:
        """Answer one request, and leave the answer unread."""
        answered = self.answer(method, url, headers, body)
        answered.leave()
        return answered

    def post(self, path: str, body: Any) -> Answer:
        """Answer one POST, and leave the answer unread."""
        return self.ask("POST", f"https://localhost{path}", {}, body)

    def body(self, path: str, body: Any) -> bytes:
        """Answer one POST and return the whole body."""
        return b"".join(frames(self.answer("POST", f"https://localhost{path}", {}, body)))

    # Real clients.

    def openai(self) -> openai.OpenAI:
        return openai.OpenAI(
            api_key="sk-secret", base_url="https://api.openai.com/v1", http_client=self._httpx2(), max_retries=0
        )

    def anthropic(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(
            api_key="sk-ant-secret", base_url="https://api.anthropic.com", http_client=self._httpx2(), max_retries=0
        )

    def gemini(self) -> genai.Client:
        return genai.Client(api_key="AIza-secret", http_options=HttpOptions(httpx_client=self._httpx2()))

    def ollama(self) -> ollama.Client:
        transport = httpx.MockTransport(self._httpx_response)
        return ollama.Client(host="http://localhost:11434", transport=transport)

    def _httpx2(self) -> httpx2.Client:
        return httpx2.Client(transport=httpx2.MockTransport(self._httpx2_response))

    def _httpx2_response(self, request: httpx2.Request) -> httpx2.Response:
        answered = self.answer(request.method, str(request.url), dict(request.headers), request.read())
        return httpx2.Response(answered.status, headers=answered.headers, stream=_Body(answered))

    def _httpx_response(self, request: httpx.Request) -> httpx.Response:
        answered = self.answer(request.method, str(request.url), dict(request.headers), request.read())
        return httpx.Response(answered.status, headers=answered.headers, stream=_Body(answered))


class _Body(httpx.SyncByteStream, httpx2.SyncByteStream):
    """A body that is left when its client closes it, as a connection would be."""

    def __init__(self, answered: Answer) -> None:
        self._answered = answered

    def __iter__(self) -> Iterator[bytes]:
        return frames(self._answered)

    def close(self) -> None:
        self._answered.leave()


def frames(answered: Answer) -> Iterator[bytes]:
    """Yield the pieces of a body, and settle the ledger as a transport does."""
    try:
        while isinstance(got := answered.playback.receive(), tuple):
            yield answered.delivered(*got)
        assert got is not None
        answered.finished(got)
    finally:
        answered.leave()
