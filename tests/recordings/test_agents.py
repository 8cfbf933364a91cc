"""An agent with tools, retries and two requests at the same time is recorded, and played in any order."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import openai
import pytest

from pytest_mockstream import (
    Disconnect,
    HTTPError,
    MockStreamSDK,
    MockStreamServer,
    Recording,
    Text,
    ToolCall,
    UnexpectedRequestError,
    UnusedScriptError,
)
from pytest_mockstream.recordings import Tape

TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CITIES = ("Paris", "Rome")
TURNS = 3
OPENAI = "https://api.openai.com/v1"


async def agent(client: openai.AsyncOpenAI, city: str, chance: random.Random) -> str:
    """Ask until no tool is called; other tasks run in between, some of them longer than others."""
    messages: list[Any] = [{"role": "user", "content": f"How is the weather in {city}?"}]
    while True:
        reply = await client.chat.completions.create(model="gpt-5", messages=messages, tools=[TOOL])
        said = reply.choices[0].message
        if not said.tool_calls:
            return said.content or ""
        messages.append(said)
        results = [
            {"role": "tool", "tool_call_id": one.id, "content": f"{city} {len(messages)}"} for one in said.tool_calls
        ]
        messages += results
        for _ in range(chance.randrange(9)):
            await asyncio.sleep(0)


async def both(url: str, order: tuple[str, ...], chance: random.Random) -> dict[str, str]:
    """Let an agent for each city run at the same time; the client of both retries."""
    async with openai.AsyncOpenAI(api_key="made-up-1", base_url=url, max_retries=2) as client:
        said = await asyncio.gather(*(agent(client, city, chance) for city in order))
    return dict(zip(order, said, strict=True))


def script(provider: MockStreamServer, city: str, chance: random.Random) -> None:
    """Have a provider ask for tools twice, with ids as it makes them, and fail in between."""
    for turn in range(1, TURNS):
        when = provider.when(turn=turn, predicate=lambda request: city in str(request.messages[0]))
        when.respond(HTTPError(429, retry_after=0.001) if turn == 1 else Disconnect())
        calls = [ToolCall("weather", {"city": city, "n": n}, id=f"call_{chance.randbytes(9).hex()}") for n in range(2)]
        when.respond(Text("let me look"), *calls, finish_reason="tool_calls")
    provider.when(turn=TURNS, predicate=lambda request: city in str(request.messages[0])).respond(f"Sunny in {city}.")


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "agents.toml"
    chance = random.Random(3)  # noqa: S311 - made up, and the same in every run
    tape = Tape("all", environ={})
    with MockStreamServer() as provider, MockStreamSDK(recordings=tape) as sdk:
        for city in CITIES:
            script(provider, city, chance)
        tape.play_at(sdk._playbook)
        asyncio.run(both(provider.base_url("openai"), CITIES, chance))
        provider.verify()
    tape.recording().save(path)
    return path


def playing(path: Path) -> MockStreamSDK:
    sdk = MockStreamSDK()
    Tape("none", Recording.load(path), environ={}).play_at(sdk._playbook)
    return sdk


@pytest.mark.parametrize("order", [CITIES, CITIES[::-1]], ids=" ".join)
@pytest.mark.parametrize("seed", range(3))
def test_agents_find_their_replies_in_any_order(recorded: Path, order: tuple[str, ...], seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - made up, and the same in every run

    with playing(recorded) as sdk:
        said = asyncio.run(both(OPENAI, order, chance))
        sdk.verify()

    assert said == {city: f"Sunny in {city}." for city in order}
    assert len(sdk.requests) == len(CITIES) * (2 * TURNS - 1)


def test_agents_find_their_replies_over_http_one_after_the_other(recorded: Path) -> None:
    chance = random.Random(0)  # noqa: S311 - made up, and the same in every run

    with MockStreamServer() as server:
        Tape("none", Recording.load(recorded), environ={}).play_at(server._playbook)
        for city in reversed(CITIES):
            said = asyncio.run(both(server.base_url("openai"), (city,), chance))
            assert said == {city: f"Sunny in {city}."}
        server.verify()


def test_agent_that_asks_otherwise_ends_with_the_error(recorded: Path) -> None:
    chance = random.Random(0)  # noqa: S311 - made up, and the same in every run

    with playing(recorded) as sdk:
        with pytest.raises(openai.BadRequestError, match="The nearest recording is at"):
            asyncio.run(both(OPENAI, ("Oslo",), chance))
        with pytest.raises(UnexpectedRequestError, match="Oslo"):
            sdk.verify()

    assert len(sdk.requests) == 1


def test_agent_that_begins_anew_ends_with_the_error(recorded: Path) -> None:
    chance = random.Random(0)  # noqa: S311 - made up, and the same in every run

    with playing(recorded) as sdk:
        asyncio.run(both(OPENAI, ("Paris",), chance))
        with pytest.raises(openai.BadRequestError, match="is of such a request, and has been played"):
            asyncio.run(both(OPENAI, ("Paris",), chance))
        with pytest.raises((UnexpectedRequestError, UnusedScriptError)):
            sdk.verify()

    assert len(sdk.requests) == 2 * TURNS
