"""What a test that records sees of real answers, and that their clients see no difference."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import re
import socket
from collections.abc import Iterator
from contextlib import aclosing, suppress
from typing import Any

import pytest
import trio
from recorded_clients import ASYNC, CHAT, CLIENTS, SYNC, Asking
from recorder import Recorder, Taken

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    Gate,
    HTTPError,
    MockStreamSDK,
    Stall,
    Text,
    Truncate,
    UnclosedStreamWarning,
)
from pytest_mockstream._base.collector import collect
from pytest_mockstream.doors.server import MockStreamServer

WORDS = ["one ", "two ", "three ", "four"]


@pytest.fixture
def provider() -> Iterator[MockStreamServer]:
    with MockStreamServer() as server:
        yield server


@pytest.fixture
def url(provider: MockStreamServer) -> str:
    return f"{provider.url}/v1/chat/completions"


@pytest.fixture(params=CLIENTS)
def ask(request: pytest.FixtureRequest) -> Asking:
    return CLIENTS[request.param]


async def over(taken: Taken) -> Taken:
    assert await asyncio.to_thread(taken.is_over.wait, 60)
    return taken


async def outcome(ask: Asking, url: str, **options: Any) -> tuple[int, bytes, str]:
    """Return the status, what was read, and the error at the end, with its causes."""
    status, read = 0, b""
    try:
        async with ask(url, **options) as reply:
            status = reply.status
            async for piece in reply.pieces:
                read += piece
    except Exception as error:
        return status, read, _told(error, url)
    return status, read, ""


def _told(error: BaseException | None, url: str) -> str:
    if error is None:
        return ""
    return f"{type(error).__qualname__}: {error} < {_told(error.__cause__ or error.__context__, url)}"


async def test_whole_stream_is_taken_as_it_comes(provider: MockStreamServer, url: str, ask: Asking) -> None:
    recorder = Recorder()
    provider.respond(Text(WORDS))

    with MockStreamSDK(recordings=recorder) as sdk:
        _, read, _ = await outcome(ask, url)
        (request,) = sdk.requests

    taken = recorder.only
    assert (taken.status, taken.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert taken.body == read
    assert all(word.encode() in taken.body for word in WORDS)
    assert taken.events == ["answered", *["received"] * len(taken.pieces), "ended"]
    assert taken.ending == "end"
    assert request.state == "exhausted"
    assert b'"gpt-5"' in taken.sent


async def test_client_gets_each_piece_when_it_comes(provider: MockStreamServer, url: str, ask: Asking) -> None:
    recorder, gates = Recorder(), [Gate(), Gate()]
    closed = iter(gates)
    provider.respond("one", gates[0], "two", gates[1], "three")

    with MockStreamSDK(recordings=recorder):
        async with ask(url) as reply:
            seen = b""
            async for piece in reply.pieces:
                seen += piece
                if b'"one"' in piece or b'"two"' in piece:
                    assert recorder.only.body == seen
                    next(closed).open()

    taken = recorder.only
    assert b'"three"' in seen
    assert len(taken.pieces) >= 3
    assert all(earlier < later for earlier, later in itertools.pairwise(taken.times))


FAULTS: dict[str, tuple[tuple[Any, ...], str]] = {
    "reset": (("one", Disconnect()), "reset"),
    "reset before the status": ((Disconnect(),), "reset"),
    "cut": (("one", Disconnect(how="cut")), "cut"),
    "cut before the status": ((Disconnect(how="cut"),), "cut"),
    "cut inside a frame": (("one", Disconnect(how="cut", inside_frame=True)), "cut"),
    "truncated": (("one", Truncate()), "end"),
    "silence": (("one", Stall()), "silence"),
    "silence before the status": ((Stall(),), "silence"),
    "status": ((HTTPError(429, retry_after=1),), "end"),
    "error event": (("one", ErrorEvent("overloaded")), "end"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_is_taken_and_its_client_sees_what_it_sees_without(
    provider: MockStreamServer, url: str, ask: Asking, fault: str
) -> None:
    steps, ending = FAULTS[fault]
    provider.respond(*steps, times=2)
    recorder = Recorder()
    timeout = 0.5 if "silence" in fault else 60.0
    without = await outcome(ask, url, timeout=timeout)
    provider.end_streams()

    with MockStreamSDK(recordings=recorder) as sdk:
        recorded = await outcome(ask, url, timeout=timeout)
        (request,) = sdk.requests

    assert _without_numbers(recorded) == _without_numbers(without)
    taken = recorder.only
    assert taken.ending == ending
    assert taken.body == recorded[1]
    assert request.state == ("exhausted" if fault in {"truncated", "error event"} else "broken")
    assert "left" not in taken.events


def _without_numbers(said: tuple[int, bytes, str]) -> tuple[int, str, str]:
    status, read, error = said
    return status, re.sub(r"chatcmpl-\w+|\d+", "#", read.decode()), re.sub(r"(0x|scope )[0-9a-f]+|\d+", "#", error)


async def test_provider_that_is_not_there_is_taken_as_reset(ask: Asking) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1/chat/completions"
        without = await outcome(ask, url)
        recorder = Recorder()

        with MockStreamSDK(recordings=recorder):
            recorded = await outcome(ask, url)

    assert _without_numbers(recorded) == _without_numbers(without)
    assert recorder.only.events == ["ended"]
    assert recorder.only.ending == "reset"


# Leaving.


async def test_rest_is_read_of_what_its_client_closes(provider: MockStreamServer, url: str, ask: Asking) -> None:
    recorder, gate = Recorder(), Gate()
    provider.respond("one", gate, "two")
    provider.respond("another")

    with MockStreamSDK(recordings=recorder) as sdk:
        async with ask(url) as reply:
            async for piece in reply.pieces:
                if b'"one"' in piece:
                    break
            await reply.close()
            assert sdk.requests[0].state == "closed"
            assert await reply.again() == 200  # with room for one connection
        gate.open()
        taken = await over(recorder.takes[0])

    assert b'"two"' in taken.body
    assert taken.body.endswith(b"data: [DONE]\n\n")
    assert taken.ending == "end"
    assert taken.events.index("left") < taken.events.index("ended")


async def test_rest_that_does_not_come_is_waited_for_so_long(provider: MockStreamServer, url: str, ask: Asking) -> None:
    recorder, gate = Recorder(drain=0.1), Gate()
    provider.respond("one", gate, "two")

    with MockStreamSDK(recordings=recorder):
        async with ask(url) as reply:
            async for piece in reply.pieces:
                if b'"one"' in piece:
                    break
        await provider_left(provider)

    assert recorder.only.events[-1] == "left"
    assert recorder.only.ending is None
    gate.open()


async def provider_left(provider: MockStreamServer) -> None:
    (request,) = provider.requests
    async with asyncio.timeout(60):
        await request.wait_closed()
    assert request.state == "closed"


@pytest.mark.parametrize("name", ASYNC)
async def test_rest_is_read_of_what_is_cancelled(provider: MockStreamServer, url: str, name: str) -> None:
    recorder, gate = Recorder(), Gate()
    provider.respond("one", gate, "two")

    async def read() -> None:
        async with ASYNC[name](url) as reply:
            async for _ in reply.pieces:
                pass

    with MockStreamSDK(recordings=recorder) as sdk:
        task = asyncio.create_task(read())
        await gate.reached()
        await asyncio.sleep(0.02)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert sdk.requests[0].state == "closed"
        gate.open()
        taken = await over(recorder.only)

    assert b'"two"' in taken.body
    assert taken.ending == "end"


@pytest.mark.parametrize("name", CLIENTS)
def test_rest_is_read_before_a_loop_closes(provider: MockStreamServer, url: str, name: str) -> None:
    recorder = Recorder()
    provider.respond("one", "two", "three", delay=0.05)

    async def leave() -> None:
        async with CLIENTS[name](url) as reply:
            async for piece in reply.pieces:
                if b'"one"' in piece:
                    break

    with MockStreamSDK(recordings=recorder):
        asyncio.run(leave())

    assert recorder.only.body.endswith(b"data: [DONE]\n\n")
    assert recorder.only.ending == "end"


def forget(things: list[Any]) -> None:
    things.clear()
    collect()


@pytest.mark.parametrize("library", ["httpx", "httpx2", "requests"])
def test_rest_is_read_of_what_is_dropped_and_never_closed(provider: MockStreamServer, url: str, library: str) -> None:
    recorder, gate = Recorder(), Gate()
    provider.respond("one", gate, "two")
    module: Any = importlib.import_module(library)
    client = module.Session() if library == "requests" else module.Client()

    with MockStreamSDK(recordings=recorder) as sdk, client:
        if library == "requests":
            replies = [client.post(url, json=CHAT, stream=True, timeout=5)]
        else:
            replies = [client.send(client.build_request("POST", url, json=CHAT), stream=True)]
        (request,) = sdk.requests
        with pytest.warns(UnclosedStreamWarning, match="was never closed"):
            forget(replies)
        gate.open()

    assert request.state == "dropped"
    assert recorder.only.body.endswith(b"data: [DONE]\n\n")
    assert recorder.only.ending == "end"


@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")  # of those of httpx, too
def test_rest_is_read_on_trio(provider: MockStreamServer, url: str) -> None:
    recorder, gate = Recorder(), Gate()
    provider.respond("one", gate, "two")

    async def leave() -> None:
        async with ASYNC["httpx-async"](url) as reply, aclosing(reply.pieces) as pieces:
            async for piece in pieces:
                if b'"one"' in piece:
                    break
        assert sdk.requests[0].state == "closed"
        gate.open()
        await trio.to_thread.run_sync(recorder.only.is_over.wait, 60)

    with MockStreamSDK(recordings=recorder) as sdk:
        trio.run(leave)

    assert b'"two"' in recorder.only.body
    assert recorder.only.ending == "end"


@pytest.mark.parametrize("name", SYNC)
async def test_end_that_is_not_read_is_no_early_leaving(provider: MockStreamServer, url: str, name: str) -> None:
    recorder = Recorder()
    provider.respond("one")

    with MockStreamSDK(recordings=recorder) as sdk:
        async with CLIENTS[name](url) as reply:
            async for piece in reply.pieces:
                if b"[DONE]" in piece:
                    break
        (request,) = sdk.requests

    assert recorder.only.ending == "end"
    assert request.state in {"exhausted", "closed"}  # as the bytes happen to come
