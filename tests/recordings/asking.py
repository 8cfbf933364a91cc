"""Makes requests of bodies, as the doors do."""

from __future__ import annotations

import json
from typing import Any

from pytest_mockstream import Request, Script
from pytest_mockstream._base.callsite import calling_site
from pytest_mockstream.doors.answer import answer
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.recordings.canonical import canonical
from pytest_mockstream.recordings.scrub import Scrubber

CHAT = "https://api.openai.com/v1/chat/completions"
RESPONSES = "https://api.openai.com/v1/responses"
ANTHROPIC = "https://api.anthropic.com/v1/messages"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent"
OLLAMA = "http://localhost:11434/api/chat"
BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-lite-v1:0/converse"
NOTHING_SECRET = Scrubber({})


def request_of(url: str, body: Any, headers: dict[str, str] | None = None, method: str = "POST") -> Request:
    """Return what a door makes of a request."""
    playbook = Playbook(Script("hello", times=None), name="door")
    content = b"" if body is None else json.dumps(body).encode()
    incoming = HTTPRequest(method=method, url=url, headers=headers or {}, body=content)
    answer(playbook, incoming, opened_at=calling_site()).leave()
    return playbook.requests[-1]


def form_of(url: str, body: Any, headers: dict[str, str] | None = None, method: str = "POST") -> dict[str, Any]:
    """Return its canonical form."""
    return canonical(request_of(url, body, headers, method), NOTHING_SECRET)
