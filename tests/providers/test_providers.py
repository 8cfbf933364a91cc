"""Every cell of the table of providers and SDKs: what an answer says, what a fault becomes, what leaving early does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from contextlib import aclosing, suppress
from importlib.metadata import version
from typing import Any

import pytest
from packaging.version import Version

from pytest_mockstream import Gate, MockStreamSDK, MockStreamServer, Reasoning, ScriptError, Stall, ToolCall, Usage

from .said import QUESTION, Answer, Ask, read
from .table import FACTS, FAULTS, ROWS, SAID_SO, SEEN, TAKEN_FOR_WHOLE, Fact, Row

Door = MockStreamSDK | MockStreamServer

DOORS = ("in process", "server")
#: Of a test that runs always: SDKs that other tests import, too, and one cell for each of them in turn.
_LOADED = ("openai", "anthropic", "google-genai", "ollama")

# google-genai makes a class of its own from aiohttp's session.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


def _cells(*columns: Any, only: Iterable[Row] = ROWS) -> Any:
    """Return all cells of some columns, in both doors; a diagonal of them runs always, the rest is slow."""
    cells = []
    for number, row in enumerate(only):
        for place, cell in enumerate((column, door) for column in columns for door in DOORS):
            shown = row.sdk in _LOADED and place == (3 * number) % (len(columns) * len(DOORS))
            name = f"{row.name}-{cell[0]}-{cell[1]}".replace(" ", "_")
            cells.append(pytest.param(row, *cell, id=name, marks=[] if shown else [pytest.mark.slow]))
    return cells


@pytest.fixture
def door(request: pytest.FixtureRequest, row: Row) -> Iterator[Door]:
    """Open a door of the test's own, which nobody verifies."""
    pytest.importorskip(row.module)
    options: Any = {"provider": row.spoken}
    with (MockStreamSDK if request.param == "in process" else MockStreamServer)(**options) as opened:
        yield opened


def _ask(door: Door, **more: Any) -> Ask:
    def base(provider: str) -> str:
        assert isinstance(door, MockStreamServer)
        return door.base_url(provider)

    return Ask(server=base if isinstance(door, MockStreamServer) else None, **more)


def _claimed_for(row: Row) -> None:
    """Skip what is claimed only for versions of an SDK that are newer than the one that is installed."""
    if Version(version(row.sdk)) < Version(row.since or "0"):
        pytest.skip(f"this is claimed for {row.sdk} {row.since} and newer")


# What an answer says.

_SCRIPTS: dict[Fact, tuple[Any, ...]] = {
    "text": ("Paris is lovely.",),
    "tools": (ToolCall("weather", {"city": "Paris", "days": 2}), ToolCall("time", {"zone": "CET"})),
    "reasoning": (Reasoning("So be it."), "Lovely."),
    "usage": ("Paris is lovely.",),
}


def _expected(fact: Fact, streamed: bool) -> Answer:
    match fact:
        case "tools":
            calls: list[tuple[str, Any]] = [("weather", {"city": "Paris", "days": 2}), ("time", {"zone": "CET"})]
            return Answer("", calls=calls)
        case "reasoning":
            return Answer("Lovely.", "So be it.", pieces=1)
        case "usage":
            return Answer("Paris is lovely.", usage=(7, 5), pieces=3 if streamed else 1)
    return Answer("Paris is lovely.", pieces=3 if streamed else 1)


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("row", "fact", "door"), _cells(*FACTS), indirect=["door"])
async def test_answer_says(door: Door, row: Row, fact: Fact, streamed: bool) -> None:
    door.respond(*_SCRIPTS[fact], usage=Usage(prompt_tokens=7, completion_tokens=5))
    if fact in row.lacks:
        with suppress(Exception):
            await read(row.driver, _ask(door, streamed=streamed), Answer())

        with pytest.raises(ScriptError):
            door.verify()
        return

    answer = await read(row.driver, _ask(door, streamed=streamed), Answer())

    if fact != "usage":
        answer.usage = None
    assert answer == _expected(fact, streamed)
    assert door.requests[-1].state == "exhausted"


# What a fault becomes.


async def _outcome(row: Row, ask: Ask) -> str:
    answer = Answer()
    try:
        await read(row.driver, ask, answer)
    except Exception as error:
        return f"{type(error).__module__.partition('.')[0]}.{type(error).__name__}"
    assert answer.text == "one "
    return SAID_SO if answer.trouble else TAKEN_FOR_WHOLE


@pytest.mark.parametrize(("row", "fault", "door"), _cells(*FAULTS), indirect=["door"])
async def test_fault_becomes(door: Door, row: Row, fault: str) -> None:
    _claimed_for(row)
    door.respond(*FAULTS[fault])

    outcome = await _outcome(row, _ask(door, timeout=0.3 if fault == "silence" else 30))

    assert outcome == row.faults[fault]
    assert len([request for request in door.requests if request.text == QUESTION]) == 1


# What leaving early does.


@pytest.mark.parametrize(("row", "way", "door"), _cells("early close"), indirect=["door"])
async def test_reader_that_stops_early_closes_the_stream(door: Door, row: Row, way: str) -> None:
    _claimed_for(row)
    door.respond("one ", Stall())

    async with aclosing(row.driver(_ask(door))) as pieces:
        async for said in pieces:
            if said.text:
                break

    await door.requests[-1].aassert_closed(within=60)


@pytest.mark.parametrize(
    ("row", "way", "door"), _cells("cancelled", only=[row for row in ROWS if row.awaited]), indirect=["door"]
)
async def test_reader_that_is_cancelled_closes_the_stream(door: Door, row: Row, way: str) -> None:
    gate = Gate()
    door.respond("one ", gate, "two")
    reading = asyncio.create_task(read(row.driver, _ask(door), Answer()))
    await gate.reached()

    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    await door.requests[-1].aassert_closed(within=60)


@pytest.mark.parametrize(
    ("row", "way", "door"), _cells("cancelled", only=[row for row in ROWS if not row.awaited]), indirect=["door"]
)
async def test_what_cannot_be_cancelled_lets_nobody_else_run(door: Door, row: Row, way: str) -> None:
    door.respond("one ")
    others: list[str] = []
    asyncio.get_running_loop().call_soon(others.append, "ran")

    async with aclosing(row.driver(_ask(door, streamed=False))) as pieces:
        await anext(pieces)

    assert others == []


def test_versions_were_noted() -> None:
    seen = json.loads(SEEN.read_text(encoding="utf-8"))

    assert set(seen) == {row.sdk for row in ROWS}
