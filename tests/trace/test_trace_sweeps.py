"""Sweeps in a trace: one run for each point or order, with its lanes and how to run it alone."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
import virtual
from traced import attempt, only_run, recording, traced

from pytest_mockstream import (
    Disconnect,
    MockStreamClient,
    StreamDisconnected,
    sweep_cancellation,
    sweep_faults,
    sweep_orders,
    sweep_threads,
)
from pytest_mockstream._base.errors import SweepError
from pytest_mockstream.trace import happenings


def outcomes(attempt: dict[str, Any]) -> list[str]:
    return [run["outcome"] for run in attempt["runs"]]


def test_cancellation_sweep_has_a_run_for_each_point() -> None:
    client = MockStreamClient()
    client.respond("a", "b", times=None)
    kept: list[Any] = []

    async def chat() -> None:
        stream = client.complete_stream("Tell me")
        try:
            async for _ in stream:
                await asyncio.sleep(1)
        finally:
            kept.append(stream)  # and nobody closes it

    async def sweep() -> None:
        with suppress(SweepError):
            await sweep_cancellation(chat)

    told = traced(lambda: virtual.run(sweep()))

    first, *points = told["runs"]
    assert told["sweep"]["kind"] == "cancel"
    assert "points visited" in told["sweep"]["text"]
    assert told["sweep"]["at"]["function"].endswith("<locals>.sweep")
    assert (first["name"], first["outcome"]) == ("the first run, which is not cancelled", "passed")
    bad = [run for run in points if run["outcome"] == "failed"]
    assert bad
    assert bad[0]["name"].startswith("point 1: cancelled at ")
    assert bad[0]["alone"] == "sweep_cancellation(..., point=1)"
    assert bad[0]["at"]["function"].endswith("chat")
    assert "was not closed" in bad[0]["problem"]
    (lane,) = [lane for lane in bad[0]["lanes"] if lane["kind"] == "request"]
    assert lane["leaked"]
    assert lane["state"] == "open"
    assert [event["label"] for event in lane["events"] if event["kind"] == "leak"] == ["nobody closed it"]


def test_fault_sweep_has_a_run_for_each_break_with_its_fault() -> None:
    client = MockStreamClient()
    client.respond("a ", "b")

    async def chat() -> str:
        try:
            async with client.complete_stream("Tell me") as stream:
                return await stream.aread()
        except StreamDisconnected:
            return ""

    def sweep() -> None:
        with suppress(SweepError):
            virtual.run(sweep_faults(chat, client, faults=[Disconnect]))

    told = traced(sweep)

    assert outcomes(told) == ["passed", "failed", "failed", "failed"]
    for number, run in enumerate(told["runs"][1:], 1):
        assert run["name"].startswith(f"point {number}: Disconnect")
        assert run["alone"] == f"sweep_faults(..., point={number})"
        assert run["at"]["function"].endswith("chat")
        assert "reported success" in run["problem"]
        (lane,) = [lane for lane in run["lanes"] if lane["kind"] == "request"]
        assert lane["events"][-1]["kind"] == "fault"


def test_only_a_run_to_which_nothing_was_done_cannot_be_run_alone() -> None:
    client = MockStreamClient()
    client.respond("a ", times=None)

    async def chat() -> None:
        async with client.complete_stream("Tell me") as stream:
            await stream.aread()

    async def sweeps() -> None:
        await sweep_cancellation(chat)
        await sweep_faults(chat, client, faults=[Disconnect], raises=StreamDisconnected)
        await sweep_orders(lambda: asyncio.gather(chat(), chat()))

    told = traced(lambda: asyncio.run(sweeps()))

    plain = [run["name"] for run in told["runs"] if "alone" not in run]
    assert plain == [
        "the first run, which is not cancelled",
        "a later run, which is not cancelled",
        "the first run, whose streams are whole",
        "the first run, in which everything comes by default",
    ]
    assert all(run["name"].startswith(("point ", "order ")) for run in told["runs"] if "alone" in run)


def test_thread_sweep_has_a_run_for_each_break() -> None:
    client = MockStreamClient()
    client.respond("a ", "b")

    def chat() -> str:
        with client.complete_stream("Tell me") as stream:
            return stream.read()

    told = traced(lambda: sweep_threads(chat, client, faults=["close", Disconnect]))

    assert outcomes(told) == ["passed"] * 7
    assert told["sweep"] == {"kind": "threads", "text": "", "at": told["sweep"]["at"]}


def test_order_sweep_has_a_run_for_each_order_and_tells_the_shortest_that_fails() -> None:
    client = MockStreamClient()
    client.respond("one", times=None)
    said: list[str] = []

    async def ask(name: str) -> None:
        async with client.complete_stream(name) as stream:
            await stream.aread()
        said.append(name)

    async def chat() -> None:
        said.clear()
        await asyncio.gather(ask("first"), ask("second"))

    def sweep() -> None:
        with suppress(SweepError):
            asyncio.run(sweep_orders(chat, check=lambda: said == ["first", "second"]))

    told = traced(sweep)

    orders = [run for run in told["runs"] if run["name"].startswith("order ")]
    assert [run["name"] for run in orders] == [f"order {number}" for number in range(1, len(orders) + 1)]
    assert {"passed", "failed"} == {run["outcome"] for run in orders}
    assert all(run["clock"] == "virtual" for run in orders)
    last = told["runs"][-1]
    assert "came" in last["name"]
    assert last["alone"].startswith('sweep_orders(..., order="')
    assert "check() returned False" in last["problem"]


def test_recorder_changes_no_order_of_a_sweep() -> None:
    client = MockStreamClient()
    client.respond("a ", "b ", "c", times=None)

    async def chat() -> None:
        async def ask(name: str) -> None:
            async with client.complete_stream(name) as stream:
                async for _ in stream:
                    await asyncio.sleep(0.1)

        await asyncio.gather(ask("first"), ask("second"))

    def tried() -> int:
        return asyncio.run(sweep_orders(chat, max_orders=120)).orders

    without = tried()
    with recording():
        during = tried()

    assert during == without


def test_what_a_test_does_besides_its_sweep_is_a_run_without_a_name() -> None:
    client = MockStreamClient()
    client.respond("a", times=None)

    async def chat() -> None:
        async with client.complete_stream("swept") as stream:
            await stream.aread()

    async def main() -> None:
        await chat()
        await sweep_cancellation(chat)

    told = traced(lambda: virtual.run(main()))

    assert [run["name"] for run in told["runs"]][:2] == ["", "the first run, which is not cancelled"]
    assert sum(lane["kind"] == "request" for lane in told["runs"][0]["lanes"]) == 1


def test_long_sweep_keeps_the_lanes_of_its_first_runs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(happenings, "MOST_GOOD_RUNS", 3)
    client = MockStreamClient()
    client.respond("a ", "b ", "c ", "d ", "e ", times=None)

    async def chat() -> None:
        async with client.complete_stream("Tell me") as stream:
            await stream.aread()

    told = traced(lambda: virtual.run(sweep_cancellation(chat)))

    assert len(told["runs"]) > 4
    assert [bool(run["lanes"]) for run in told["runs"]] == [True] * 3 + [False] * (len(told["runs"]) - 3)
    assert all(run["name"] for run in told["runs"])


def test_long_sweep_keeps_the_lanes_of_the_first_runs_that_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(happenings, "MOST_BAD_RUNS", 2)
    client = MockStreamClient()
    client.respond("a ", "b ", "c ", times=None)

    async def chat() -> None:
        with suppress(StreamDisconnected):
            async with client.complete_stream("Tell me") as stream:
                await stream.aread()

    async def sweep() -> None:
        with suppress(SweepError):
            await sweep_faults(chat, client, faults=[Disconnect])

    told = traced(lambda: virtual.run(sweep()))

    assert outcomes(told) == ["passed", *["failed"] * 4]
    assert [bool(run["lanes"]) for run in told["runs"]] == [True, True, True, False, False]
    assert all(run["problem"] for run in told["runs"][1:])


def test_too_much_in_one_run_is_cut_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_mockstream.trace.recorder.MOST_HAPPENINGS", 20)
    monkeypatch.setattr(happenings, "MOST_HAPPENINGS", 20)
    client = MockStreamClient()
    client.respond("word " * 50)

    with recording() as recorder:
        client.complete_stream("Tell me").read()
        told = attempt(recorder)

    run = only_run(told)
    (lane,) = [lane for lane in run["lanes"] if lane["kind"] == "request"]
    assert lane["state"] == "exhausted"
    assert len(lane["chunks"]["n"]) + run["omitted"] == 51
