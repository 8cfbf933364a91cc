"""The lanes of requests: what a trace shows of each stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import httpx
import openai
import pytest
import virtual
from traced import TEST, attempt, kinds, lanes, only_run, recording, traced

from pytest_mockstream import (
    Disconnect,
    Gate,
    HTTPError,
    Leak,
    MockStreamClient,
    MockStreamSDK,
    MockStreamServer,
    ProviderError,
    RateLimit,
    Stall,
    StreamDisconnected,
    UnclosedStreamWarning,
    Wait,
)
from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream.playbook.live import Ending
from pytest_mockstream.playbook.request import Request
from pytest_mockstream.trace import trace_of
from pytest_mockstream.trace.frames import decoded


def test_stream_has_a_lane_with_its_chunks_when_they_came_and_were_read() -> None:
    client = MockStreamClient()
    client.respond("Paris ", "is ", Wait(2), "lovely.")

    async def read() -> None:
        async for _ in client.complete_stream("Tell me"):
            await asyncio.sleep(1)

    attempt = traced(lambda: virtual.run(read()))

    (lane,) = lanes(attempt, "request")
    assert only_run(attempt)["clock"] == "virtual"
    assert lane["chunks"]["text"] == ["Paris ", "is ", "lovely.", ""]
    assert lane["chunks"]["kind"] == ["text", "text", "text", "end"]
    assert lane["chunks"]["arrived"] == [0.0, 0.0, 2.0, 2.0]
    assert lane["chunks"]["read"] == [0.0, 1.0, 2.0, 3.0]
    assert (lane["start"], lane["end"], lane["state"]) == (0.0, 3.0, "exhausted")
    assert lane["at"]["function"].endswith("read")
    assert lane["at"]["file"] in attempt["sources"]


def test_waits_and_pauses_of_a_stream_are_told() -> None:
    client = MockStreamClient()
    client.respond("a", Wait(2), "b", "c")

    async def read() -> None:
        async for chunk in client.complete_stream("Tell me"):
            if chunk.delta == "b":
                await asyncio.sleep(3)

    attempt = traced(lambda: virtual.run(read()))

    (lane,) = lanes(attempt, "request")
    told = [(event["kind"], event["at"], event["until"]) for event in lane["events"] if "until" in event]
    assert told == [("wait", 0.0, 2.0), ("pause", 2.0, 5.0)]


def test_gate_shows_how_long_it_held_the_stream() -> None:
    client, gate = MockStreamClient(), Gate()
    client.respond("a", Wait(1), gate, "b")

    async def read() -> None:
        task = asyncio.create_task(client.complete_stream("Tell me").aread(), name="reader")
        await gate.reached()
        await asyncio.sleep(4)
        gate.open()
        await task

    attempt = traced(lambda: virtual.run(read()))

    (lane,) = lanes(attempt, "request")
    assert [(event["at"], event["until"]) for event in lane["events"] if event["kind"] == "gate"] == [(1.0, 5.0)]


def test_retry_is_joined_to_the_request_that_it_tries_again() -> None:
    client = MockStreamClient()
    client.respond("a ", "b", Disconnect())
    client.respond("whole")

    def read() -> None:
        for _ in range(2):
            with suppress(StreamDisconnected), client.complete_stream("Tell me") as stream:
                stream.read()

    attempt = traced(read)

    first, second = lanes(attempt, "request")
    assert only_run(attempt)["links"] == [{"kind": "retry", "from": second["id"], "to": first["id"]}]
    assert kinds(first)[-1] == "fault"
    assert "Disconnect" in first["events"][-1]["label"]
    assert second["events"][1]["kind"] == "retry"
    assert second["events"][1]["lane"] == first["id"]


def test_two_calls_of_a_test_are_no_retry() -> None:
    client = MockStreamClient()
    client.respond("a ", Disconnect())
    client.respond("whole")

    with recording() as recorder:
        with suppress(StreamDisconnected):
            client.complete("Tell me")
        client.complete("Tell me")
        told = attempt(recorder)

    assert only_run(told)["links"] == []


def test_what_another_client_is_asked_is_no_retry() -> None:
    first, second = MockStreamClient(), MockStreamClient()
    first.respond("a ", Disconnect())

    def ask() -> None:
        for client in (first, second):
            with suppress(StreamDisconnected):
                client.complete("Tell me")

    assert only_run(traced(ask))["links"] == []


def test_request_is_a_child_of_the_task_that_made_it() -> None:
    client = MockStreamClient()

    async def ask(name: str) -> str:
        return await client.complete_stream(name).aread()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for name in ("first", "second"):
                group.create_task(ask(name), name=name)

    attempt = traced(lambda: virtual.run(main()))

    tasks: dict[Any, Any] = {lane["id"]: lane["name"] for lane in lanes(attempt, "task")}
    assert [tasks[lane["parent"]].partition(" ")[0] for lane in lanes(attempt, "request")] == ["'first'", "'second'"]


def test_stream_that_was_closed_early_says_what_was_for_nobody() -> None:
    client = MockStreamClient()
    client.respond("a ", "b ", "c")

    async def read() -> None:
        async with client.complete_stream("Tell me", producer="background") as stream:
            await anext(stream)

    (lane,) = lanes(traced(lambda: virtual.run(read())), "request")

    assert (lane["state"], kinds(lane)[-1]) == ("closed", "close")
    assert ["chunks", "1 of 4 chunks read, 3 for nobody"] in lane["facts"]


def test_time_out_of_a_stream_ends_its_lane() -> None:
    client = MockStreamClient()
    client.respond("a", Wait(5), "b")

    async def read() -> None:
        with pytest.raises(TimeoutError):
            await client.complete_stream("Tell me", timeout=2).aread()

    (lane,) = lanes(traced(lambda: virtual.run(read())), "request")

    assert (lane["state"], lane["end"]) == ("cancelled", 2.0)
    assert lane["events"][-1]["kind"] == "timeout"
    assert lane["events"][-1]["label"] == "its time-out of 2 s ran out"


def test_time_out_that_nobody_has_read_ends_the_lane_all_the_same() -> None:
    client = MockStreamClient()
    client.respond("a", Wait(5), "b")

    async def read() -> None:
        stream = client.complete_stream("Tell me", timeout=2)
        await anext(stream)
        await asyncio.sleep(3)
        told.append(attempt(recorder))
        await stream.aclose()

    told: list[dict[str, Any]] = []
    with recording() as recorder:
        virtual.run(read())

    (lane,) = lanes(told[0], "request")
    assert (lane["state"], lane["end"], kinds(lane)[-1]) == ("cancelled", 2.0, "timeout")


def test_read_that_was_cancelled_is_told_and_the_stream_goes_on() -> None:
    client = MockStreamClient()
    client.respond("a", Wait(5), "b")

    async def read() -> None:
        async with client.complete_stream("Tell me") as stream:
            with suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await stream.aread()
            await stream.aread()

    (lane,) = lanes(traced(lambda: virtual.run(read())), "request")

    assert [(event["kind"], event["at"]) for event in lane["events"]] == [
        ("request", 0.0),
        ("cancelled", 2.0),
        ("wait", 0.0),
        ("end", 5.0),
    ]


def test_stream_that_was_dropped_says_so() -> None:
    client = MockStreamClient()

    def read() -> None:
        with pytest.warns(UnclosedStreamWarning):
            client.complete_stream("Tell me")

    (lane,) = lanes(traced(read), "request")

    assert (lane["state"], kinds(lane)[-1]) == ("dropped", "drop")


def test_finding_stands_on_the_request_that_shows_it() -> None:
    client = MockStreamClient()
    client.respond(HTTPError(429, retry_after=30))
    client.respond("whole")

    async def ask() -> None:
        with suppress(ProviderError):
            await client.acomplete("Tell me")
        await client.acomplete("Tell me")

    with recording() as recorder:
        virtual.run(ask())
        told = attempt(recorder, findings=client.findings())

    first, second = lanes(told, "request")
    assert kinds(second) == ["request", "retry", "finding", "end"]
    event = second["events"][2]
    assert event["label"] == "ignores retry after"
    assert "30 s" in event["text"]
    assert "Retry-After" in event["remedy"]
    assert ["asks to wait", "30 s"] in first["facts"]


def test_stream_that_the_leak_check_found_open_is_open_in_the_trace() -> None:
    client = MockStreamClient()

    with recording() as recorder:
        stream = client.complete_stream("Tell me")
        next(stream)
        (request,) = client.requests
        leak = Leak(
            kind="stream", name=f"mock complete_stream (request {request.number})", created_at=request.opened_at
        )
        stream.cancel()  # as the leak check does
        told = attempt(recorder, outcome="failed", leaks=[leak])

    (lane,) = lanes(told, "request")
    assert lane["leaked"]
    assert (lane["state"], lane["end"]) == ("open", None)
    assert kinds(lane) == ["request", "leak"]


def test_failure_stands_on_its_phase_with_its_line() -> None:
    site = CallSite(__file__, 5, "test_it")

    text = ">   ask()\nE   KeyError: 1\n\n>   assert it\nE   AssertionError: it\nE   and more\n\nbot.py:5: Error"

    told = traced(lambda: None, outcome="failed", failures=[("call", text, site)])

    (call,) = lanes(told, "test")
    event = call["events"][-1]
    assert (event["kind"], event["label"], event["place"]["line"]) == ("error", "AssertionError: it", 5)
    assert (call["state"], call["events"][0]["label"]) == ("failed", "call failed")
    assert told["failures"] == [{"phase": "call", "text": text}]


def test_failure_for_leaks_alone_is_told_on_their_lanes() -> None:
    leak = Leak(kind="task", name="pump")

    told = traced(lambda: None, outcome="failed", leaks=[leak], failures=[("call", "LeakError: it left 1 thing")])

    (call,) = lanes(told, "test")
    assert (call["state"], kinds(call)) == ("failed", ["phase"])
    assert kinds(lanes(told, "task")[0]) == ["leak"]


def test_sources_are_the_lines_around_each_place_once() -> None:
    client = MockStreamClient()

    def read() -> None:
        client.complete_stream("one").read()
        client.complete_stream("two").read()

    told = traced(read)

    (lane, other) = lanes(told, "request")
    (excerpts,) = told["sources"].values()
    (excerpt,) = excerpts
    assert lane["at"]["line"] + 1 == other["at"]["line"]
    assert excerpt["first"] == lane["at"]["line"] - 5
    assert len(excerpt["lines"]) == 12
    assert excerpt["lines"][5] == '        client.complete_stream("one").read()'


def test_sources_of_all_attempts_are_one() -> None:
    places = [CallSite(__file__, line, "f") for line in (20, 28, 60)]
    attempts = []
    for place in places:
        with recording() as recorder:
            recorder.begin_phase("fixture", "f", place)
            attempts.append(recorder.attempt(outcome="rerun", duration=0.0))

    trace = trace_of(test=TEST, attempts=attempts)

    ((_, excerpts),) = trace["sources"].items()
    assert [(excerpt["first"], len(excerpt["lines"])) for excerpt in excerpts] == [(15, 19), (55, 11)]
    assert all("sources" not in one for one in trace["attempts"])


def test_real_sdk_shows_its_own_retry_and_its_frames() -> None:
    with MockStreamSDK() as sdk:
        sdk.respond(HTTPError(500))
        sdk.respond("Paris is ", "lovely.")

        async def ask() -> str:
            async with openai.AsyncOpenAI(api_key="sk-abcdefghijklmnopqrst", max_retries=1) as client:
                stream = await client.chat.completions.create(
                    model="gpt-5", messages=[{"role": "user", "content": "Paris?"}], stream=True
                )
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

        told = traced(lambda: virtual.run(ask()))

    first, second = lanes(told, "request")
    assert second["events"][1]["label"] == "openai itself tries request 1 again"
    assert ["wire format", "OpenAI Chat Completions"] in second["facts"]
    assert ["model", "gpt-5"] in second["facts"]
    assert ["status", "500"] in first["facts"]
    assert "".join(second["chunks"]["text"]) == "Paris is lovely."
    assert second["request"]["body"]["messages"] == [{"role": "user", "content": "Paris?"}]
    assert second["response"]["status"] == 200
    assert second["at"]["function"].endswith("ask")
    assert "sk-abcdefghijklmnopqrst" not in json.dumps({**told, "sources": {}})


class Take:
    """What is told of one exchange that is recorded; it keeps nothing."""

    def answered(self, status: int, headers: Iterable[tuple[str, str]]) -> None: ...

    def received(self, data: bytes) -> None: ...

    def left(self) -> None: ...

    def ended(self, how: Ending = "end") -> None: ...


class Recordings:
    """Lets every request go to its provider."""

    drain = 1.0

    def records(self, request: Request) -> bool:
        return True

    def take(self, request: Request, *, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Take:
        return Take()

    def missed(self, request: Request) -> str:
        return ""


def test_answer_of_a_provider_is_shown_as_it_came() -> None:
    with MockStreamServer() as provider, MockStreamSDK(recordings=Recordings()) as sdk:
        provider.respond("Paris is ", "lovely.")
        url = f"{provider.url}/v1/chat/completions"
        got: list[bytes] = []

        def ask() -> None:
            with httpx.Client() as client:
                body = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "stream": True}
                got.append(client.post(url, json=body).content)

        told = traced(ask)

    passed, played = lanes(told, "request")
    assert (sdk.requests[0].state, passed["state"], played["state"]) == ("exhausted",) * 3
    for lane in (passed, played):
        assert "".join(filter(None, decoded(lane["chunks"]["frame"]))).encode() == got[0]
    assert passed["request"]["body"] == played["request"]["body"]


def test_reader_that_ran_out_of_time_says_so() -> None:
    with MockStreamSDK() as sdk, httpx.Client(timeout=0.01) as client:
        sdk.respond("a", Stall())

        def ask() -> None:
            with pytest.raises(httpx.ReadTimeout):
                client.post(
                    "https://api.openai.com/v1/chat/completions",
                    json={"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "stream": True},
                )

        (lane,) = lanes(traced(ask), "request")

    assert lane["state"] == "broken"
    assert (lane["events"][-1]["kind"], lane["events"][-1]["label"]) == ("fault", "broken by Stall")


def test_quota_that_is_left_is_a_fact() -> None:
    with MockStreamSDK() as sdk, httpx.Client() as client:
        sdk.inject(RateLimit(rpm=5))
        sdk.respond("hi")

        (lane,) = lanes(
            traced(
                lambda: client.post(
                    "https://api.openai.com/v1/chat/completions",
                    json={"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]},
                )
            ),
            "request",
        )

    assert ["quota left", "4 of 5 requests a minute"] in lane["facts"]


def test_frames_beyond_the_limit_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_mockstream.trace.recorder.MOST_BYTES", 1000)

    def ask() -> None:
        with MockStreamSDK() as sdk:
            sdk.respond("a b c d e f g h")
            body = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "stream": True}
            httpx.post("https://api.openai.com/v1/chat/completions", json=body)

    (lane,) = lanes(traced(ask), "request")

    assert "".join(lane["chunks"]["text"]) == "a b c d e f g h"
    frames = lane["chunks"]["frame"]
    assert 0 < sum(bool(frame and frame[2]) for frame in frames) < len(frames)
