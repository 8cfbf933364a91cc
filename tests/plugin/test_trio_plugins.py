"""Tests on trio: by anyio's plugin with its default of both backends, and by pytest-trio."""

from __future__ import annotations

import importlib.util

import pytest

HEAD = """
import threading
import anyio, pytest, trio
from pytest_mockstream import Gate, Wait
KEPT = []
"""
TESTS = """
@MARK
async def test_reads(mock_stream_client, TIME):
    gate = Gate()
    mock_stream_client.respond("a ", gate, "b")
    got = []
    async with anyio.create_task_group() as group, mock_stream_client.complete_stream("hi") as stream:
        async def read():
            async for chunk in stream:
                got.append(chunk.delta)
        group.start_soon(read)
        await gate.reached()
        assert got == ["a "]
        gate.open()
        await stream.request.wait_closed()
    assert got == ["a ", "b", ""]

@MARK
async def test_read_that_is_cancelled_loses_nothing(mock_stream_client, TIME):
    mock_stream_client.respond(Wait(0.2), "a")
    async with mock_stream_client.complete_stream("hi") as stream:
        with anyio.move_on_after(0.01):
            await stream.aread()
        assert await stream.aread() == "a"

@pytest.mark.mockstream(producer="background")
@MARK
async def test_background(mock_stream_client, TIME):
    async with mock_stream_client.complete_stream("hi") as stream:
        await anext(stream)
    stream.assert_closed(after_chunk=1)

@MARK
async def test_leaves_a_stream_open(mock_stream_client, TIME):
    KEPT.append(mock_stream_client.complete_stream("hi"))
    await anext(KEPT[-1])

@MARK
async def test_leaves_a_generator_of_an_sdk(mock_stream_sdk, TIME):
    httpx = pytest.importorskip("httpx")
    client = httpx.AsyncClient()
    request = client.build_request("POST", "https://api.openai.com/v1/chat/completions", json={
        "model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    response = await client.send(request, stream=True)
    KEPT.append(response.aiter_bytes())
    await anext(KEPT[-1])

@MARK
async def test_uses_a_worker_thread(TIME):
    assert trio.lowlevel.in_trio_task() is ON_TRIO
    await anyio.to_thread.run_sync(int)

@MARK
async def test_abandons_a_thread(TIME):
    begun = threading.Event()
    KEPT.append(over := threading.Event())
    def work():
        begun.set()
        over.wait(20)
    async with anyio.create_task_group() as group:
        async def give_away():
            await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        group.start_soon(give_away)
        while not begun.is_set():
            await anyio.sleep(0.001)
        group.cancel_scope.cancel()

@pytest.mark.mockstream_sweep("cancel")
@MARK
async def test_swept(mock_stream_client, TIME):
    mock_stream_client.respond("a b")
    async with mock_stream_client.complete_stream("hi") as stream:
        await stream.aread()
"""
LEAVE = ["test_leaves_a_stream_open", "test_leaves_a_generator_of_an_sdk", "test_abandons_a_thread"]


def _project(pytester: pytest.Pytester, mark: str, time: str, on_trio: str) -> None:
    pytester.makepyfile(test_it=HEAD + TESTS.replace("@MARK", mark).replace("TIME", time).replace("ON_TRIO", on_trio))


def _errors(result: pytest.RunResult) -> list[str]:
    """Return the tests with an error at their teardown, which is that of the leak check."""
    lines = [line for line in result.outlines if line.startswith("ERROR test_it.py::")]
    assert len(lines) == sum(line.startswith("LeakError: ") for line in result.outlines)
    return [line.partition("::")[2].partition(" ")[0] for line in lines]


def test_anyios_default_of_both_backends_just_works(pytester: pytest.Pytester, lean_pytest: None) -> None:
    _project(pytester, "@pytest.mark.anyio", "anyio_backend_name", "(anyio_backend_name == 'trio')")

    result = pytester.runpytest_subprocess("-p", "anyio", "-p", "asyncio", "-p", "mockstream", timeout=120)

    assert _errors(result) == [f"{name}[{backend}]" for backend in ("asyncio", "trio") for name in LEAVE]
    outcomes = result.parseoutcomes()
    assert (outcomes["passed"], outcomes.get("failed", 0)) == (16, 0)


@pytest.mark.skipif(importlib.util.find_spec("pytest_trio") is None, reason="pytest-trio is not installed")
@pytest.mark.parametrize("clock", ["autojump_clock", "request"])
def test_pytest_trio(pytester: pytest.Pytester, lean_pytest: None, clock: str) -> None:
    _project(pytester, "@pytest.mark.trio", clock, "True")

    result = pytester.runpytest_subprocess("-p", "trio", "-p", "asyncio", "-p", "mockstream", timeout=120)

    assert _errors(result) == LEAVE
    outcomes = result.parseoutcomes()
    assert (outcomes["passed"], outcomes.get("failed", 0)) == (8, 0)
