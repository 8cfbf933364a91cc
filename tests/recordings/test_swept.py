"""A recorded conversation is swept: cancelled at each await, broken at each chunk, cut at each byte."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    Malformed,
    MockStreamSDK,
    MockStreamServer,
    Reasoning,
    Recording,
    Script,
    Text,
    ToolCall,
    Truncate,
    sweep_cancellation,
    sweep_faults,
)
from pytest_mockstream.recordings import Tape

ANSWER = ["Par", "is ", "is ", "lovely."]
WEATHER: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


async def converse() -> str:
    """Ask; call the tool that is asked for; and return what is said then."""
    async with openai.AsyncOpenAI(api_key="made-up-1", max_retries=0) as client:
        messages: list[Any] = [{"role": "user", "content": "How is the weather?"}]
        for _ in range(2):
            text, calls, finish = "", dict[int, list[str]](), None
            async with await client.chat.completions.create(
                model="gpt-5", messages=messages, tools=[WEATHER], stream=True
            ) as stream:
                async for chunk in stream:
                    for choice in chunk.choices:
                        finish = choice.finish_reason or finish
                        text += choice.delta.content or ""
                        for call in choice.delta.tool_calls or ():
                            known = calls.setdefault(call.index, [call.id or "", "weather", ""])
                            known[2] += (call.function and call.function.arguments) or ""
            if finish is None:
                raise ConnectionError("the reply breaks off")
            if not calls:
                return text
            made = [
                {"id": one, "type": "function", "function": {"name": name, "arguments": said}}
                for one, name, said in calls.values()
            ]
            messages.append({"role": "assistant", "content": text or None, "tool_calls": made})
            messages += [{"role": "tool", "tool_call_id": one, "content": "sunny"} for one, _, _ in calls.values()]
    raise AssertionError("the model called its tool twice")


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A conversation of two requests, recorded in process."""
    path = tmp_path / "weather.toml"
    tape = Tape("all", environ={})
    with MockStreamServer() as provider, MockStreamSDK(recordings=tape) as sdk:
        monkeypatch.setenv("OPENAI_BASE_URL", provider.base_url("openai"))
        provider.respond(Reasoning("hm"), ToolCall("weather", fragments=["", '{"city": ', '"Paris"}'], id="call_ab12"))
        provider.respond(Text(ANSWER))
        tape.play_at(sdk._playbook)
        assert asyncio.run(converse()) == "".join(ANSWER)
    tape.recording().save(path)
    monkeypatch.delenv("OPENAI_BASE_URL")
    return path


async def test_cancelled_at_each_await(recorded: Path, mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.load(recorded)

    result = await sweep_cancellation(converse)

    assert result.points > 10
    assert [request.turn for request in mock_stream_sdk.requests] == [1, 2]


async def test_broken_at_each_chunk_of_each_reply(recorded: Path, mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.load(recorded)

    faults = (Disconnect, Truncate, ErrorEvent, Malformed)

    result = await sweep_faults(
        converse, mock_stream_sdk, faults=faults, raises=(openai.APIError, ConnectionError, json.JSONDecodeError)
    )

    chunks = sum(reply.script.chunk_count for reply in Recording.load(recorded).replies)
    assert result.points == chunks * len(faults)


@pytest.mark.parametrize("fragment", ["byte", "random", 2, 17, 1000])
async def test_cut_anywhere_it_says_the_same(recorded: Path, mock_stream_sdk: MockStreamSDK, fragment: Any) -> None:
    for reply in Recording.load(recorded).replies:
        options: Any = reply.script.options | {"fragment": fragment, "times": 1}
        mock_stream_sdk.when(**reply.when).respond(Script(*reply.script.steps, **options))

    assert await converse() == "".join(ANSWER)


async def test_cut_at_each_byte_over_http(
    recorded: Path, mock_stream_server: MockStreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for reply in Recording.load(recorded).replies:
        options: Any = reply.script.options | {"fragment": "byte", "times": 1}
        mock_stream_server.when(**reply.when).respond(Script(*reply.script.steps, **options))

    assert await converse() == "".join(ANSWER)
