"""An error that is sent by hand is, byte for byte, the one that a script would have had there, in every wire format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_mockstream import ErrorEvent, Reasoning, Script, ScriptError, ToolCall
from pytest_mockstream._base.callsite import calling_site
from pytest_mockstream.doors.answer import Answer, answer
from pytest_mockstream.doors.failing import failing_whole
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.playback import ControlledPlayback
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.playbook.queued import Condition
from pytest_mockstream.script.inserted import ScriptWithStep
from pytest_mockstream.wire import ENDPOINTS, WireFormat

HI: Any = [{"role": "user", "content": "hi"}]
CONVERSE = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
GEMINI = {"contents": [{"parts": [{"text": "hi"}]}]}
STREAMS: dict[str, Any] = {
    "/v1/chat/completions": {"model": "m", "messages": HI, "stream": True},
    "/v1/completions": {"model": "m", "prompt": "hi", "stream": True},
    "/v1/responses": {"model": "m", "input": "hi", "stream": True},
    "/v1/messages": {"model": "m", "max_tokens": 9, "messages": HI, "stream": True},
    "/v1beta/models/m:streamGenerateContent?alt=sse": GEMINI,
    "/v1beta/models/m:streamGenerateContent": GEMINI,
    "/api/chat": {"model": "m", "messages": HI},
    "/api/generate": {"model": "m", "prompt": "hi"},
    "/model/anthropic.claude-3/converse-stream": CONVERSE,
    "/model/amazon.nova-lite-v1:0/invoke-with-response-stream": CONVERSE,
    "/v2/chat": {"model": "command-a", "messages": HI, "stream": True},
    "/v1/conversations": {"model": "m", "inputs": "hi", "stream": True},
    "/generate_stream": {"inputs": "hi"},
}
TEXT = Script("one two three")
RICH = Script(Reasoning("hm hm"), "one two", ToolCall("look", {"a": 1}))
ONLY_TEXT = ("/v1/completions", "/api/generate", "/generate_stream", "/v1/conversations")
ERROR = ErrorEvent("Try later")


def asked(path: str, body: Any, script: Script) -> Answer:
    playbook = Playbook(Script(), name="door")
    playbook.queue(script, Condition())
    incoming = HTTPRequest(
        method="POST",
        url=f"http://{'api.mistral.ai' if 'conversations' in path else 'localhost'}{path}",
        body=json.dumps(body).encode(),
    )
    return answer(playbook, incoming, opened_at=calling_site(), controlled=True)


def read(answered: Answer, frames: int | None = None) -> bytes:
    """Read so many frames, or all."""
    data = b""
    while (frames is None or frames > 0) and isinstance(got := answered.playback.take(), tuple):
        data += answered.delivered(*got)
        frames = None if frames is None else frames - 1
    return data


def failed(answered: Answer) -> bytes:
    """Return what is sent of an error by hand now; nobody reads more."""
    assert isinstance(answered.playback, ControlledPlayback)
    assert answered.failing is not None
    status, data = answered.failing(answered.playback.taken, ERROR)
    answered.leave()
    assert status == 200
    return data


def chunk_frames(path: str, body: Any, script: Script, chunks: int) -> int:
    """Return after how many frames so many chunks have been sent, and all that comes with them."""
    playing = asked(path, body, ScriptWithStep(script, ERROR, before=chunks))
    count = 0
    while isinstance(playing.playback.take(), tuple):
        count += 1
    playing.leave()
    return count - 1


@pytest.mark.parametrize("chunks", range(4))
@pytest.mark.parametrize("path", STREAMS)
def test_an_error_by_hand_is_the_scripted_one(path: str, chunks: int) -> None:
    body, script = STREAMS[path], TEXT if path in ONLY_TEXT else RICH
    scripted = asked(path, body, ScriptWithStep(script, ERROR, before=chunks))
    by_hand = asked(path, body, script)
    sent = read(by_hand, chunk_frames(path, body, script, chunks))

    assert sent + failed(by_hand) == read(scripted)
    scripted.leave()


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("path", STREAMS)
def test_an_error_by_hand_comes_after_the_frame_that_was_begun(path: str, size: int) -> None:
    body = STREAMS[path]
    in_pieces, whole = asked(path, body, Script(*TEXT.steps, fragment=size)), asked(path, body, TEXT)
    sent = expected = b""
    while in_pieces.entry.chunks_sent < 1:
        sent += read(in_pieces, 1)
    while len(expected) < len(sent):
        expected += read(whole, 1)

    assert sent + failed(in_pieces) == expected + failed(whole)


def test_a_reply_that_is_not_streamed_fails_with_the_status_of_the_error() -> None:
    answered = asked("/v1/chat/completions", {"model": "m", "messages": HI}, TEXT)
    assert answered.failing is not None

    status, data = answered.failing(0, ErrorEvent("slow", type="rate_limit_error"))

    assert status == 429
    assert json.loads(data)["error"]["message"] == "slow"
    answered.leave()


def test_an_answer_without_a_script_has_no_way_to_fail() -> None:
    playbook = Playbook(Script(), name="door")
    incoming = HTTPRequest(method="GET", url="http://localhost/v1/models")

    answered = answer(playbook, incoming, opened_at=calling_site(), controlled=True)

    assert answered.failing is None
    answered.leave()


def test_whole_reply_that_is_on_its_way_is_refused_an_error() -> None:
    with pytest.raises(ScriptError, match="on its way already"):
        failing_whole(next(one for one in ENDPOINTS if isinstance(one, WireFormat)), 1, ERROR)
