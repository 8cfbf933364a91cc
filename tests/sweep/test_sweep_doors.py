"""Every door passes its own sweep: the client, the SDK in process and the server on loopback; so does the real SDK."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_mockstream import (
    Citation,
    Disconnect,
    End,
    ErrorEvent,
    Failed,
    Frame,
    Interleave,
    KeepAlive,
    Malformed,
    MockStreamClient,
    MockStreamSDK,
    Reasoning,
    Script,
    Stall,
    SweepError,
    SweepResult,
    ToolCall,
    Truncate,
    sweep_cancellation,
    sweep_faults,
    sweep_orders,
    sweep_threads,
)

openai = pytest.importorskip("openai")

MESSAGES: Any = [{"role": "user", "content": "hi"}]
NOISY = (Truncate, Disconnect, ErrorEvent, Malformed)


class CutOff(Exception):
    """The stream ended without a finish reason."""


async def chat(timeout: float = 60, *, careful: bool = True) -> str:
    text, reason = "", None
    async with openai.AsyncOpenAI(max_retries=0, timeout=timeout) as client:
        stream = await client.chat.completions.create(model="gpt-5", messages=MESSAGES, stream=True)
        async with stream:
            async for chunk in stream:
                text += chunk.choices[0].delta.content or ""
                reason = chunk.choices[0].finish_reason
    if careful and reason is None:
        raise CutOff
    return text


def chat_in_thread(timeout: float = 60) -> str:
    text, reason = "", None
    with openai.OpenAI(max_retries=0, timeout=timeout) as client:
        stream = client.chat.completions.create(model="gpt-5", messages=MESSAGES, stream=True)
        with stream:
            for chunk in stream:
                text += chunk.choices[0].delta.content or ""
                reason = chunk.choices[0].finish_reason
    if reason is None:
        raise CutOff
    return text


@dataclass(frozen=True)
class Door:
    """A door, and code that reads through it."""

    scripts: Any
    ask: Callable[[float], Awaitable[str]]
    ask_in_thread: Callable[[float], str]
    is_remote: bool = False


def of_client(client: MockStreamClient) -> Door:
    async def ask(timeout: float) -> str:
        async with client.complete_stream("hi", timeout=timeout) as stream:
            text = await stream.aread()
        if stream.state != "exhausted":
            raise CutOff
        return text

    def ask_in_thread(timeout: float) -> str:
        with client.complete_stream("hi", timeout=timeout) as stream:
            text = stream.read()
        if stream.state != "exhausted":
            raise CutOff
        return text

    return Door(client, ask, ask_in_thread)


@pytest.fixture(params=["client inline", "client background", "sdk inline", "sdk background", "server"])
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    name, _, producer = request.param.partition(" ")
    if name == "client":
        yield of_client(MockStreamClient(producer=producer, buffer_size=2))
    elif name == "sdk":
        with MockStreamSDK(producer=producer, buffer_size=2) as sdk:
            yield Door(sdk, chat, chat_in_thread)
    else:
        yield Door(request.getfixturevalue("mock_stream_server"), chat, chat_in_thread, is_remote=True)


@pytest.fixture
def impatience() -> Callable[[], float]:
    """Gives the first run all the time in the world, and later ones, whose streams fall silent, a short time."""
    return itertools.chain([60], itertools.repeat(0.3)).__next__


@pytest.mark.filterwarnings("ignore::pytest_mockstream.SweepWarning")
@pytest.mark.parametrize("late", [False, True])
async def test_door_can_be_cancelled_at_every_point(door: Door, late: bool) -> None:
    door.scripts.respond("one two three", delay=0.003 if door.is_remote else 0)  # or all would come in one piece

    result = await sweep_cancellation(lambda: door.ask(60), late=late)

    assert result.points >= 4
    assert result.steady or door.is_remote, "how often a socket wakes its reader is the kernel's to say"
    assert {visit.point for visit in result.visits}.union(result.not_reached) == {*range(1, result.points + 1)}


async def test_door_can_break_at_every_chunk(door: Door) -> None:
    door.scripts.respond("one two three")

    result = await sweep_faults(lambda: door.ask(60), door.scripts, faults=NOISY)

    assert result.points == len(NOISY) * 4
    assert result.steady


async def test_door_can_fall_silent_at_every_chunk(door: Door, impatience: Callable[[], float]) -> None:
    door.scripts.respond("one")

    result = await sweep_faults(lambda: door.ask(impatience()), door.scripts, faults=[Stall])

    assert result.points == 2
    assert result.steady


def test_door_can_break_at_every_chunk_that_a_thread_reads(door: Door) -> None:
    door.scripts.respond("one two three")

    result = sweep_threads(lambda: door.ask_in_thread(60), door.scripts, faults=("close", "cancel", *NOISY))

    assert result.points == (2 + len(NOISY)) * 4
    assert result.steady


async def test_raw_stream_of_the_sdk_takes_every_truncation_for_success(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("one two three")

    with pytest.raises(SweepError) as caught:
        await sweep_faults(lambda: chat(careful=False), mock_stream_sdk, faults=[Truncate, Disconnect])

    result = caught.value.result
    assert isinstance(result, SweepResult)
    assert [visit.chunk for visit in result.bad] == [1, 2, 3, 4]
    assert all(visit.what.startswith("Truncate") for visit in result.bad)


async def test_line_that_reads_the_sdk_is_named(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("one")

    result = await sweep_cancellation(chat)

    assert str(result).splitlines()[-1].endswith("in chat: async for chunk in stream:")
    assert {visit.place.function for visit in result.visits if visit.place} == {"chat"}


async def test_failed_response_is_a_fault_of_a_sweep(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("one two")

    async def takes_what_comes() -> str:
        async with openai.AsyncOpenAI() as client:
            stream = await client.responses.create(model="gpt", input="hi", stream=True)
            async with stream:
                return "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])

    with pytest.raises(SweepError) as caught:
        await sweep_faults(takes_what_comes, mock_stream_sdk, faults=[Failed])

    result = caught.value.result
    assert isinstance(result, SweepResult)
    assert [visit.what for visit in result.bad] == ["Failed before chunk {} of answer 1"] * 3


SIGNED = (Reasoning("c", signature="s"), Citation("https://a.b"))
REAL = Script(Interleave(ToolCall("f"), "a b"), *SIGNED, Frame({"x": 1}), End(), KeepAlive())


async def test_steps_of_real_servers_pass_the_sweeps_of_a_loop(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond(REAL, times=None)

    async def read() -> str:
        async with mock_stream_client.complete_stream("hi") as stream:
            return await stream.aread()

    cancelled = await sweep_cancellation(read)
    broken = await sweep_faults(read, mock_stream_client, faults=[Disconnect])

    assert cancelled.points > 0
    assert broken.points == REAL.chunk_count == 8


def test_steps_of_real_servers_pass_the_sweep_of_threads(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond(REAL, times=None)

    def read() -> str:
        with mock_stream_client.complete_stream("hi") as stream:
            return stream.read()

    assert sweep_threads(read, mock_stream_client, faults=[Disconnect]).points == REAL.chunk_count


# Orders.


async def test_real_sdk_reads_two_streams_of_five_chunks_in_all_orders(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("a b c d", times=2)
    client = openai.AsyncOpenAI(max_retries=0)

    async def ask(question: str) -> str:
        stream = await client.chat.completions.create(
            model="gpt-5", messages=[{"role": "user", "content": question}], stream=True
        )
        async with stream:
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def session() -> None:
        assert set(await asyncio.gather(ask("first"), ask("second"))) == {"a b c d"}

    result = await sweep_orders(session)

    assert (result.orders, result.is_complete) == (252, True)
    await client.close()


async def test_answers_that_are_not_streamed_come_in_all_orders(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("one two", times=2)

    client = openai.AsyncOpenAI(max_retries=0)

    async def ask() -> str:
        completion = await client.chat.completions.create(model="gpt-5", messages=MESSAGES)
        return str(completion.choices[0].message.content)

    async def session() -> None:
        assert set(await asyncio.gather(ask(), ask())) == {"one two"}

    result = await sweep_orders(session)

    assert (result.orders, result.is_complete) == (2, True)
    await client.close()
