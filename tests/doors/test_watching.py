"""What whoever watches is told of streams, through every door that plays in process."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
import virtual

from pytest_mockstream import Disconnect, Gate, MockStreamClient, MockStreamSDK, Stall, StreamDisconnected, Wait
from pytest_mockstream._base.watching import watched, watcher
from pytest_mockstream.playbook.ledger import entry_of


def names(happened: list[tuple[Any, ...]]) -> list[str]:
    return [happening[0] for happening in happened]


def test_stream_of_client_is_told_from_its_opening_to_its_end() -> None:
    happened: list[tuple[Any, ...]] = []
    client = MockStreamClient()
    client.respond("Paris is ", Wait(2), "lovely.")

    async def read() -> None:
        async with client.complete_stream("Tell me") as stream:
            await stream.aread()

    with watched(happened.append):
        virtual.run(read())

    request = client.requests[0]
    number = entry_of(request).asked_as
    assert names(happened) == ["asked", "chunk", "chunk", "chunk", "chunk", "over"]
    assert {happening[1] for happening in happened} == {number}
    assert happened[0][3] is request
    assert [(at, arrived, chunk.delta) for _, _, at, arrived, chunk in happened[1:-1]] == [
        (0.0, 0.0, "Paris "),
        (0.0, 0.0, "is "),
        (2.0, 2.0, "lovely."),
        (2.0, 2.0, ""),
    ]
    assert happened[-1] == ("over", number, 2.0, "exhausted")


def test_stalls_are_told_with_what_comes_before_them() -> None:
    happened: list[tuple[Any, ...]] = []
    client = MockStreamClient()
    client.respond("a", Stall(3), "b", Stall())

    async def read() -> None:
        async with client.complete_stream("Tell me", timeout=10) as stream:
            with pytest.raises(TimeoutError):
                await stream.aread()

    with watched(happened.append):
        virtual.run(read())

    assert [happening[2:] for happening in happened if happening[0] == "stall"] == [(0.0, 1), (3.0, 2)]


def test_gates_and_interrupted_reads_are_told() -> None:
    happened: list[tuple[Any, ...]] = []
    client = MockStreamClient()
    gate = Gate()
    client.respond("a", gate, "b", Disconnect())

    async def read() -> None:
        async with client.complete_stream("Tell me") as stream:
            await anext(stream)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3):
                    await anext(stream)
            gate.open()
            with pytest.raises(StreamDisconnected):
                await stream.aread()

    with watched(happened.append):
        virtual.run(read())

    told = [(what, at, detail) for what, _, at, detail, *_ in happened if what in {"gate", "interrupted", "over"}]
    assert told == [
        ("gate", 0.0, True),
        ("interrupted", 3.0, "CancelledError"),
        ("gate", 3.0, False),
        ("over", 3.0, "broken"),
    ]


def test_stream_of_sdk_is_told_with_its_frames() -> None:
    happened: list[tuple[Any, ...]] = []
    with MockStreamSDK() as sdk, watched(happened.append):
        sdk.respond("Hi")
        with httpx.Client() as client:
            body = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "stream": True}
            got = client.post("https://api.openai.com/v1/chat/completions", json=body).content

    answered = happened[1]
    assert answered[0] == "answered"
    assert answered[3] == 200
    assert answered[4]["content-type"].startswith("text/event-stream")
    assert b"".join(happening[5] for happening in happened if happening[0] == "frame") == got
    assert happened[-1][3] == "exhausted"


def test_two_who_watch_are_both_told_and_one_who_has_left_is_not() -> None:
    first: list[tuple[Any, ...]] = []
    second: list[tuple[Any, ...]] = []
    client = MockStreamClient()

    with watched(first.append):
        with watched(second.append), client.complete_stream("Tell me") as stream:
            stream.read()
        with client.complete_stream("Tell me") as stream:
            stream.read()

    assert names(first)[: len(second)] == names(second)
    assert names(first).count("asked") == 2
    assert watcher() is None


def test_nobody_is_told_where_nobody_watches() -> None:
    client = MockStreamClient()

    with client.complete_stream("Tell me") as stream:
        stream.read()

    assert entry_of(client.requests[0]).note is None
