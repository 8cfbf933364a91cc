"""Whose dialect a door speaks: chosen by keyword, marker, ini file or base URL, and read by the providers' own SDKs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import groq
import huggingface_hub
import openai
import pytest
from mistralai.client import Mistral

from pytest_mockstream import MockStreamSDK, MockStreamServer, Reasoning, ToolCall, Usage

HELLO: Any = [{"role": "user", "content": "hello there"}]
USAGE = Usage(prompt_tokens=7, completion_tokens=5, reasoning_tokens=2)
SAYS = (Reasoning("hm"), "so it is", ToolCall("weather", {"city": "Paris"}))


@dataclass
class Read:
    """What code that knows its provider reads."""

    text: str = ""
    reasoning: str = ""
    arguments: str = ""
    finish: str | None = None
    tokens: int | None = None


def _openai(base: str | None, field: str = "reasoning", **hosted: Any) -> Callable[[bool], Read]:
    def ask(streamed: bool) -> Read:
        with openai.OpenAI(base_url=base, api_key="k", max_retries=0, **hosted) as client:
            return _read(client.chat.completions, field, streamed, stream_options={"include_usage": True})

    return ask


def _azure(endpoint: str) -> Callable[[bool], Read]:
    def ask(streamed: bool) -> Read:
        with openai.AzureOpenAI(azure_endpoint=endpoint, api_key="k", api_version="2024-10-21") as client:
            return _read(client.chat.completions, "reasoning_content", streamed, stream_options={"include_usage": True})

    return ask


def _groq(base: str) -> Callable[[bool], Read]:
    def ask(streamed: bool) -> Read:
        with groq.Groq(base_url=base, api_key="k", max_retries=0) as client:
            return _read(client.chat.completions, "reasoning", streamed)

    return ask


def _hugging_face(base: str) -> Callable[[bool], Read]:
    def ask(streamed: bool) -> Read:
        client = huggingface_hub.InferenceClient(base_url=base, api_key="k")
        return _read(client.chat.completions, "reasoning", streamed, stream_options={"include_usage": True})

    return ask


def _mistral(base: str) -> Callable[[bool], Read]:
    def ask(streamed: bool) -> Read:
        read = Read()
        with Mistral(api_key="k", server_url=base) as client:
            if not streamed:
                reply = client.chat.complete(model="m", messages=HELLO)
                _take(read, reply.choices[0].message, "", reply.choices[0], reply.usage)
                return read
            with client.chat.stream(model="m", messages=HELLO) as events:
                for event in events:
                    choice = event.data.choices[0]
                    _take(read, choice.delta, "", choice, event.data.usage)
        return read

    return ask


def _read(completions: Any, field: str, streamed: bool, **options: Any) -> Read:
    read = Read()
    if not streamed:
        reply = completions.create(model="m", messages=HELLO)
        _take(read, reply.choices[0].message, field, reply.choices[0], reply.usage)
        return read
    for chunk in completions.create(model="m", messages=HELLO, stream=True, **options):
        for choice in chunk.choices or [None]:
            _take(read, choice and choice.delta, field, choice, chunk.usage)
    return read


def _take(read: Read, said: Any, field: str, choice: Any, usage: Any) -> None:
    parts = said.content if said and isinstance(said.content, list) else []
    read.text += said.content if said and isinstance(said.content, str) else ""
    read.text += "".join(part.text for part in parts if part.type == "text")
    read.reasoning += "".join(part.thinking[0].text for part in parts if part.type == "thinking")
    read.reasoning += getattr(said, field, None) or "" if field else ""
    for call in (said and said.tool_calls) or ():
        read.arguments += call.function.arguments or ""
    read.finish = (choice and choice.finish_reason) or read.finish
    read.tokens = usage.total_tokens if usage else read.tokens


ASKING: dict[str, tuple[Callable[[Any], Callable[[bool], Read]], str]] = {
    "openai": (lambda base: _openai(base, "reasoning_content"), "https://api.openai.com/v1"),
    "azure": (_azure, "https://mine.openai.azure.com"),
    "mistral": (_mistral, "https://api.mistral.ai"),
    "groq": (_groq, "https://api.groq.com"),
    "xai": (lambda base: _openai(base, "reasoning_content"), "https://api.x.ai/v1"),
    "openrouter": (_openai, "https://openrouter.ai/api/v1"),
    "deepseek": (lambda base: _openai(base, "reasoning_content"), "https://api.deepseek.com"),
    "together": (_openai, "https://api.together.xyz/v1"),
    "fireworks": (lambda base: _openai(base, "reasoning_content"), "https://api.fireworks.ai/inference/v1"),
    "perplexity": (_openai, "https://api.perplexity.ai"),
    "huggingface": (_hugging_face, "https://router.huggingface.co/v1"),
    "vllm": (_openai, "https://vllm.example/vllm/v1"),
    "llama.cpp": (lambda base: _openai(base, "reasoning_content"), "https://llama.example/llama.cpp/v1"),
}
FEW = ("azure", "mistral", "groq", "openrouter")


@pytest.fixture(params=["in process", "server"])
def door(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Either door, open."""
    with ExitStack() as stack:
        yield stack.enter_context(MockStreamServer() if request.param == "server" else MockStreamSDK())


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    "provider", [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in ASKING]
)
def test_sdk_reads_what_the_script_says(door: Any, provider: str, streamed: bool) -> None:
    asking, host = ASKING[provider]
    door.respond(*SAYS, usage=USAGE)

    read = asking(door.base_url(provider) if isinstance(door, MockStreamServer) else host)(streamed)

    says_in_text = provider == "perplexity"
    expected = Read(
        text="<think>hm</think>so it is" if says_in_text else "so it is",
        reasoning="" if says_in_text else "hm",
        arguments='{"city": "Paris"}',
        finish="stop" if says_in_text else "tool_calls",
        tokens=12,
    )
    assert read == expected
    assert door.requests[-1].provider == provider


def asked(url: str) -> dict[str, Any]:
    with openai.OpenAI(base_url=url, api_key="k", max_retries=0) as client:
        reply = client.chat.completions.create(model="m", messages=HELLO)
    message: dict[str, Any] = reply.choices[0].message.to_dict()
    return message


def test_keyword_of_a_door_wins_over_the_host() -> None:
    with MockStreamSDK(provider="openrouter") as sdk:
        sdk.when(provider="openrouter").respond(Reasoning("hm"), "so")

        assert asked("https://api.openai.com/v1")["reasoning"] == "hm"


def test_keyword_of_the_server_tells_whom_it_plays() -> None:
    with MockStreamServer(provider="vllm") as server:
        server.respond(Reasoning("hm"), "so", times=None)
        assert asked(server.url + "/v1")["reasoning"] == "hm"

        server.reset()
        server.respond(Reasoning("hm"), "so")
        assert asked(server.url + "/v1")["reasoning_content"] == "hm"


def test_other_formats_are_as_before() -> None:
    with MockStreamSDK(provider="groq") as sdk:
        sdk.respond("so")

        with openai.OpenAI(api_key="k") as client:
            assert client.responses.create(model="m", input="hi").output_text == "so"

        assert sdk.requests[0].provider == "groq"


TEST = """
import json, urllib.request
from pytest_mockstream import Reasoning

def test_it(mock_stream_server):
    mock_stream_server.respond(Reasoning("hm"), "so")
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
    with urllib.request.urlopen(mock_stream_server.url + "/v1/chat/completions", body) as answer:
        message = json.load(answer)["choices"][0]["message"]
    assert FIELD in message
"""


@pytest.mark.parametrize(
    ("mark", "options", "ini", "field"),
    [
        pytest.param("", (), "mockstream_provider = openrouter", "reasoning", marks=pytest.mark.slow),
        pytest.param("", ("--mockstream-provider=openrouter",), "", "reasoning", marks=pytest.mark.slow),
        ("@pytest.mark.mockstream(provider='openrouter')\n", (), "mockstream_provider = deepseek", "reasoning"),
    ],
    ids=["ini", "option", "marker"],
)
def test_settings_tell_whom_the_doors_play(
    pytester: pytest.Pytester, lean_pytest: None, mark: str, options: tuple[str, ...], ini: str, field: str
) -> None:
    pytester.makeini(f"[pytest]\n{ini}\n")
    source = TEST.replace("FIELD", repr(field)).replace("def test_it", f"{mark}def test_it")
    pytester.makepyfile("import pytest\n" + source)

    pytester.runpytest_subprocess("-p", "asyncio", "-p", "mockstream", *options).assert_outcomes(passed=1)


def test_provider_that_is_not_known_is_a_usage_error(pytester: pytest.Pytester, lean_pytest: None) -> None:
    pytester.makepyfile("def test_it(mock_stream_sdk): pass")

    result = pytester.runpytest_subprocess("-p", "asyncio", "-p", "mockstream", "--mockstream-provider=openruter")

    result.stderr.fnmatch_lines(["*--mockstream-provider='openruter' is not known: give 'openai' or *"])


def test_base_url_names_the_provider() -> None:
    with MockStreamServer() as server:
        assert server.base_url("openai") == server.url + "/v1"
        assert server.base_url("groq") == server.url + "/groq"
        assert server.base_url("openrouter") == server.url + "/openrouter/api/v1"
        assert server.base_url("llama.cpp") == server.url + "/llama.cpp/v1"
