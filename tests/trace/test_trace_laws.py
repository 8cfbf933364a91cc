"""What holds for every trace, whatever the script, the door, and the order in which things happen."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import httpx
import pytest
import virtual
from hypothesis import given, settings
from hypothesis import strategies as st
from traced import attempt, lanes, only_run, recording, traced

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    Frame,
    HTTPError,
    MockStreamClient,
    MockStreamSDK,
    MockStreamServer,
    Reasoning,
    Script,
    Text,
    ToolCall,
    Truncate,
    Wait,
)
from pytest_mockstream.script.steps import Step
from pytest_mockstream.trace.frames import coded, decoded

URL = "/v1/chat/completions"
BODY = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "stream": True}

words = st.text(st.sampled_from('ab é\n"\\'), min_size=1, max_size=6)
content: st.SearchStrategy[Step] = st.one_of(
    st.lists(words, min_size=1, max_size=4).map(Text),
    words.map(Reasoning),
    st.builds(ToolCall, st.sampled_from(["get", "put"]), st.dictionaries(words, words, max_size=2)),
    st.builds(Frame, st.dictionaries(words, words, max_size=2)),
)
times: st.SearchStrategy[Step] = st.sampled_from([0.5, 1, 3]).map(Wait)
faults: st.SearchStrategy[list[Step]] = st.sampled_from([[], [], [Truncate()], [Disconnect()], [ErrorEvent("busy")]])
scripts = st.builds(lambda steps, fault: Script(*steps, *fault), st.lists(content | times, max_size=5), faults)


@given(st.lists(st.none() | st.text(st.sampled_from("abc"), max_size=12), max_size=8))
def test_frames_decode_to_what_was_coded(frames: list[str | None]) -> None:
    assert [*decoded(coded(frames))] == frames


def test_frame_is_coded_by_what_differs() -> None:
    assert coded(["data: one\n\n", None, "data: none\n\n", ""]) == [
        (0, 0, "data: one\n\n"),
        None,
        (6, 5, "n"),
        (0, 0, ""),
    ]


@given(script=scripts)
@settings(max_examples=25)
def test_trace_of_a_client_has_what_its_reader_got(script: Script) -> None:
    client = MockStreamClient()
    client.respond(script)
    got: list[tuple[str, float, float]] = []

    async def read() -> None:
        clock = asyncio.get_running_loop().time
        with suppress(Exception):
            async with client.complete_stream("hi") as stream:
                async for chunk in stream:
                    said = chunk.delta or chunk.reasoning
                    if chunk.tool_call is not None:
                        said = (chunk.tool_call.name or "") + chunk.tool_call.arguments
                    got.append((said, chunk.timestamp, clock()))
                    await asyncio.sleep(0.25)

    (lane,) = lanes(traced(lambda: virtual.run(read())), "request")

    chunks = lane.get("chunks", {"text": [], "arrived": [], "read": []})
    assert chunks["text"] == [said for said, _, _ in got]
    assert chunks["arrived"] == [pytest.approx(arrived, abs=1e-5) for _, arrived, _ in got]
    assert chunks["read"] == [pytest.approx(read, abs=1e-5) for _, _, read in got]
    assert lane["state"] == client.requests[0].state


@given(script=scripts)
@settings(max_examples=12)
def test_frames_of_a_trace_are_the_bytes_that_were_sent(script: Script) -> None:
    with MockStreamSDK() as sdk, httpx.Client() as client:
        sdk.respond(script)
        got: list[bytes] = []

        def read() -> None:
            with suppress(httpx.HTTPError), client.stream("POST", f"https://api.openai.com{URL}", json=BODY) as answer:
                got.extend(answer.iter_raw())

        told = traced(read)

    (lane,) = lanes(told, "request")
    frames = "".join(frame or "" for frame in decoded(lane.get("chunks", {}).get("frame", [])))
    assert frames.encode("utf-8", "surrogateescape") == b"".join(got)


def test_server_tells_what_it_has_sent() -> None:
    with MockStreamServer() as server, httpx.Client() as client:
        server.respond("Paris is ", "lovely, é.", fragment="byte")
        server.respond(HTTPError(429, retry_after=3))
        got: list[bytes] = []
        with recording() as recorder:
            got += [client.post(server.url + URL, json=BODY).content for _ in range(2)]
            assert server.requests[-1].state == "broken"
            told = attempt(recorder)

    first, second = lanes(told, "request")
    for lane, content in zip((first, second), got, strict=True):
        assert "".join(filter(None, decoded(lane["chunks"]["frame"]))).encode("utf-8", "surrogateescape") == content
    assert "".join(first["chunks"]["text"]) == "Paris is lovely, é." == first["response"]["text"]
    assert ["asks to wait", "3 s"] in second["facts"]
    assert ["status", "429"] in second["facts"]
    assert second["events"][-1]["label"] == "broken by HTTP 429"


class Reader:
    """One reader of a stream: what it does after each chunk, and what it has seen."""

    def __init__(self, pauses: list[float], leaves_after: int, limit: float | None) -> None:
        self.pauses = pauses
        self.leaves_after = leaves_after
        self.limit = limit
        self.seen: list[tuple[float, str]] = []

    async def read(self, client: MockStreamClient) -> None:
        clock = asyncio.get_running_loop().time
        async with client.complete_stream("hi") as stream:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.limit):
                    for pause in self.pauses:
                        self.seen.append((clock(), (await anext(stream)).delta))
                        if len(self.seen) >= self.leaves_after:
                            return
                        await asyncio.sleep(pause)


readers = st.builds(
    Reader,
    st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=3, max_size=3),
    st.integers(1, 4),
    st.none() | st.sampled_from([0.75, 2.25]),
)


@given(st.lists(readers, min_size=1, max_size=4), st.sampled_from(["inline", "background"]))
@settings(max_examples=25)
def test_chunks_of_many_streams_stand_in_the_order_in_which_they_were_read(
    several: list[Reader], producer: Any
) -> None:
    client = MockStreamClient(producer=producer, default_text="one two three")
    order: list[str] = []

    async def main() -> None:
        async def one(number: int, reader: Reader) -> None:
            await reader.read(client)
            order.append(str(number))

        async with asyncio.TaskGroup() as group:
            for number, reader in enumerate(several):
                group.create_task(one(number, reader), name=str(number))

    told = traced(lambda: virtual.run(main()))

    tasks = {lane["id"]: int(lane["name"].split("'")[1]) for lane in lanes(told, "task")}
    all_read: list[tuple[int, float]] = []
    for lane in lanes(told, "request"):
        chunks = lane.get("chunks", {"read": [], "text": [], "n": []})
        seen = several[tasks[lane["parent"]]].seen
        assert chunks["text"] == [text for _, text in seen]
        assert chunks["read"] == [pytest.approx(at, abs=1e-5) for at, _ in seen]
        all_read += zip(chunks["n"], chunks["read"], strict=True)
    instants = [at for _, at in sorted(all_read)]
    assert instants == sorted(instants)
    assert only_run(told)["end"] >= max(instants)
