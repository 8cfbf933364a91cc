"""What a fake says that nobody here wrote is recorded with the real SDKs through both doors, and played as it came."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aimock
import pytest
from consumers import CONSUMERS, DISCOURAGED, Outcome

from pytest_mockstream import MockStreamSDK, MockStreamServer, Recording
from pytest_mockstream.recordings import Tape

pytestmark = [
    pytest.mark.slow,  # npm installs it
    pytest.mark.filterwarnings("ignore:.*is not a valid FinishReason:UserWarning"),  # of aimock's FUNCTION_CALL
    pytest.mark.filterwarnings(DISCOURAGED),
]
WEATHER = {"name": "get_weather", "arguments": '{"city":"Paris","unit":"celsius"}', "id": "call_w"}
TIME = {"name": "get_time", "arguments": "{}", "id": "call_t"}
REPLIES: dict[str, dict[str, Any]] = {
    "text": {"content": "The capital of France is Paris — naïve, “quoted”, \U0001f469‍\U0001f680."},
    "call": {"toolCalls": [WEATHER]},
    "calls": {"toolCalls": [WEATHER, TIME]},
    "text and call": {"content": "Let me look.", "toolCalls": [WEATHER]},
    "reasoning": {"content": "Four.", "reasoning": "Two and two make four."},
    "cut off": {"content": "It goes on and", "finishReason": "length"},
    "rate limit": {"error": {"message": "Slow down", "type": "rate_limit_error"}, "status": 429, "retryAfter": 3},
    "server error": {"error": {"message": "It broke", "type": "server_error"}, "status": 500},
}
BROKEN = {"breaks off": {"truncateAfterChunks": 2}}
FIXTURES: list[dict[str, Any]] = [
    *({"match": {"userMessage": f"<{name}>"}, "response": reply} for name, reply in REPLIES.items()),
    *(
        {"match": {"userMessage": f"<{name}>"}, "response": {"content": "one two three four five six"}, **how}
        for name, how in BROKEN.items()
    ),
]
TEXTS = [f"<{name}>" for name in (*REPLIES, *BROKEN)]

_SAYING = {
    *("content", "reasoning_content", "delta", "name", "arguments", "finish_reason"),  # OpenAI's
    *("text", "thinking", "partial_json", "input", "stop_reason", "args"),
    *("done_reason", "eval_count", "prompt_eval_count", "candidates_token_count", "prompt_token_count"),
    *("completion_tokens", "prompt_tokens", "input_tokens", "output_tokens"),
}


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of aimock."""
    if (lacks := aimock.missing()) is not None:
        pytest.skip(lacks)
    folder = tmp_path_factory.mktemp("aimock")
    with aimock.running(aimock.installed(folder), FIXTURES, folder) as url:
        yield url


def said(outcome: Outcome) -> tuple[list[tuple[str, Any]], str | None]:
    """Return what chunks say, in order, without what is around it: each fake has its own fingerprints."""
    chunks = outcome.chunks
    if chunks and str(chunks[0].get("type", "")).startswith("response."):
        chunks = [one for one in chunks if one["type"].endswith((".delta", "completed", "incomplete", "failed"))]
    found = [(name, value) for name, value in _leaves("", chunks) if name in _SAYING and value not in ("", 0)]
    if chunks:  # OpenAI's responses have it there
        found.append(("status", chunks[-1].get("response", chunks[-1]).get("status")))
    return found, outcome.error


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and name not in {"arguments", "input", "args"}:
        for inner, one in sorted(value.items()):
            yield from _leaves(inner, one)
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(name, one)
    else:
        yield name, value


def ask(name: str, url: str, texts: list[str], *, is_async: bool, streamed: bool) -> Any:
    consumer = CONSUMERS[name]
    return (consumer.asked_async if is_async else consumer.asked)(url, texts, streamed=streamed)


@pytest.mark.parametrize("by_server", [False, True], ids=["in process", "by the server"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("name", CONSUMERS)
def test_what_another_fake_says_is_played_as_it_came(
    name: str, fake: str, tmp_path: Path, is_async: bool, streamed: bool, by_server: bool
) -> None:
    provider = CONSUMERS[name].provider
    url = f"{fake}/v1" if provider == "openai" else fake
    tape, path = Tape("all", environ={}), tmp_path / "it.toml"

    def asked(at: str, texts: list[str]) -> Any:
        return ask(name, at, texts, is_async=is_async, streamed=streamed)

    if by_server:
        with MockStreamServer(recordings=tape, upstream=url) as server:
            tape.play_at(server._playbook)
            live = asked(server.base_url(provider), TEXTS)
            server.finish_recording()
    else:
        with MockStreamSDK(recordings=tape) as sdk:
            tape.play_at(sdk._playbook)
            live = asked(url, TEXTS)
    tape.recording().save(path)

    with MockStreamSDK() as sdk:
        Tape("none", Recording.load(path), environ={}).play_at(sdk._playbook)
        in_process = asked(url, TEXTS[::-1])
        sdk.verify()
    with MockStreamServer() as server:
        Tape("none", Recording.load(path), environ={}).play_at(server._playbook)
        over_http = asked(server.base_url(provider), TEXTS)
        server.verify()

    assert len(server.requests) == len(sdk.requests) == len(Recording.load(path).replies)
    failed = [text for text, outcome in live.items() if outcome.error is not None and text != "<breaks off>"]
    assert failed == ["<rate limit>", "<server error>"]
    for text, outcome in live.items():
        assert (text, said(outcome)) == (text, said(in_process[text])) == (text, said(over_http[text]))
