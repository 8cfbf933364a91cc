"""What makes no sense: the code under test sees an error of that provider, and the test fails with ours."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_mockstream import (
    Gate,
    MockStreamError,
    MockStreamSDK,
    Script,
    ScriptError,
    ToolCall,
    UnexpectedRequestError,
)

httpx: Any = pytest.importorskip("httpx")

HELLO = [{"role": "user", "content": "hi"}]
OPENAI = "https://api.openai.com/v1"
ANTHROPIC = "https://api.anthropic.com/v1"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models"
OLLAMA = "http://localhost:11434/api"
TWO_CALLS = Script(ToolCall("a"), ToolCall("b"))


def _error_of(provider: str, body: Any) -> str:
    """Return the message of an error, from where that provider has it."""
    if provider == "ollama":
        return str(body["error"])
    if provider == "anthropic":
        assert body["type"] == "error"
    if provider == "gemini":
        assert isinstance(body["error"]["code"], int)
    return str(body["error"]["message"])


@pytest.mark.parametrize(
    ("provider", "url", "body", "status", "said"),
    [
        pytest.param("openai", f"{OPENAI}/evals", {}, 404, "POST …/chat/completions", id="unknown path"),
        pytest.param("anthropic", f"{ANTHROPIC}/skills", {}, 404, "POST …/v1/messages", id="unknown path, anthropic"),
        pytest.param("openai", "https://llm.example.com/ask", {}, 404, "Known are, at any host", id="unknown host"),
        pytest.param("openai", f"{OPENAI}/chat/completions", b"{", 400, "is not JSON", id="no JSON"),
        pytest.param("anthropic", f"{ANTHROPIC}/messages", b"hi", 400, "is not JSON", id="no JSON, anthropic"),
        pytest.param("openai", f"{OPENAI}/responses", {"input": "hi"}, 400, "'model' must be text", id="no model"),
        pytest.param(
            "ollama", f"{OLLAMA}/chat", {"messages": HELLO}, 400, "'model' must be text", id="no model, ollama"
        ),
        pytest.param(
            "openai",
            f"{OPENAI}/embeddings",
            {"model": "m", "input": "hi", "stream": True},
            400,
            "does not stream",
            id="stream where nothing streams",
        ),
        pytest.param(
            "gemini",
            f"{GEMINI}/m:generateContent",
            {"contents": [{}], "stream": True},
            400,
            "streaming is asked for by ':streamGenerateContent'",
            id="stream where another path streams",
        ),
    ],
)
def test_request_that_makes_no_sense(provider: str, url: str, body: Any, status: int, said: str) -> None:
    with MockStreamSDK() as sdk:
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        reply = httpx.post(url, **content)

    assert reply.status_code == status
    assert said in _error_of(provider, reply.json())
    with pytest.raises(UnexpectedRequestError) as caught:
        sdk.verify()
    assert said in str(caught.value)
    assert "test_sdk_bad_input.py:" in str(caught.value)


@pytest.mark.parametrize(
    ("provider", "url", "body", "script", "said"),
    [
        pytest.param(
            "ollama",
            f"{OLLAMA}/generate",
            {"model": "m", "prompt": "hi"},
            TWO_CALLS,
            "Ollama generate cannot express",
            id="tool calls in generate",
        ),
        pytest.param(
            "gemini",
            f"{GEMINI}/m:streamGenerateContent?alt=sse",
            {"contents": [{}]},
            Script(ToolCall("a", "{broken")),
            "are not JSON",
            id="broken arguments in a format that sends them whole",
        ),
        pytest.param(
            "anthropic",
            f"{ANTHROPIC}/messages",
            {"model": "m", "messages": HELLO, "max_tokens": 9, "stream": True},
            Script("x", finish_reason="bored"),
            "give 'stop' or 'length'",
            id="no word of that provider",
        ),
    ],
)
def test_script_that_the_format_cannot_say(provider: str, url: str, body: Any, script: Script, said: str) -> None:
    with MockStreamSDK() as sdk:
        sdk.respond(script)
        reply = httpx.post(url, json=body)

    assert reply.status_code == 400
    assert said in _error_of(provider, reply.json())
    with pytest.raises(ScriptError) as caught:
        sdk.verify()
    assert said in str(caught.value)


def test_first_error_is_the_one_that_is_raised() -> None:
    with MockStreamSDK() as sdk:
        httpx.post(f"{OPENAI}/batches", json={})
        httpx.post(f"{OPENAI}/chat/completions", content=b"{")

    with pytest.raises(MockStreamError, match="/v1/batches"):
        sdk.verify()


def test_unknown_path_is_told_in_few_lines() -> None:
    with MockStreamSDK() as sdk:
        httpx.post(f"{OPENAI}/fine_tuning/jobs", json={})

    with pytest.raises(UnexpectedRequestError) as caught:
        sdk.verify()

    what, kinds, known, way_out = str(caught.value).splitlines()
    assert what.startswith("POST /v1/fine_tuning/jobs of api.openai.com (at tests/doors/in_process/")
    assert what.endswith("): nothing is known of this path.")
    assert kinds.endswith("lists of models, and counting tokens; fine-tuning is not.")
    assert known.startswith("  Known of openai: POST …/chat/completions, POST …/completions, POST …/responses, ")
    assert way_out == '  mock_stream_sdk.passthrough("api.openai.com") lets requests to this host out.'


def test_path_that_is_nearly_right_is_told_what_is_near() -> None:
    with MockStreamSDK() as sdk:
        httpx.post("https://llm.example.com/v1/chat/completion", json={})

    with pytest.raises(UnexpectedRequestError) as caught:
        sdk.verify()

    near = str(caught.value).splitlines()[2]
    assert near == "  Near to it are, at any host and behind any prefix: POST …/chat/completions."


def test_read_timeout_at_a_closed_gate_is_told_so() -> None:
    with MockStreamSDK() as sdk:
        sdk.respond("one ", Gate(), "two")
        chat = {"model": "m", "messages": HELLO, "stream": True}

        with pytest.raises(httpx.ReadTimeout) as caught:
            httpx.post(f"{OPENAI}/chat/completions", json=chat, timeout=0.01)

    assert caught.value.__cause__ is not None
    assert "a Gate() held the stream that nobody has opened" in "".join(caught.value.__cause__.__notes__)
