"""The leak table as its users meet it: each SDK, each way to leave a stream, and whether the test is failed for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sdk_streams import ASYNC

#: These send their request when the first chunk is asked for: never read, nothing is open.
LAZY = {"google-genai", "ollama", "langchain"}
#: Their streams are not in a cycle, so the loop closes them as soon as they are forgotten.
CLOSED_WHEN_FORGOTTEN = {"anthropic raw", "ollama", "langchain"}
#: The way to leave a stream, and the SDKs whose test fails for it.
LEAKS = {
    "read": set(),
    "closed": {"google-genai"} & set(ASYNC),  # its aclose() leaves the connection open
    "kept": set(ASYNC),
    "forgotten": set(ASYNC) - CLOSED_WHEN_FORGOTTEN,
    "cancelled": set(),
    "cancelled_between_chunks": set(ASYNC),
    "never_read": set(ASYNC) - LAZY,
}

TESTS = """
import asyncio, gc, sys
import pytest
sys.path.insert(0, {here!r})
from sdk_streams import ASYNC
from pytest_mockstream import Gate

KEPT = []

async def three(opened):
    count = 0
    async for _ in opened.stream:
        count += 1
        if count == 3:
            return

async def cancelled(consumer):
    consumer.cancel()
    await asyncio.wait([consumer])

@pytest.fixture(autouse=True)
def no_collector():
    gc.disable()
    yield
    gc.enable()

@pytest.mark.parametrize("name", ASYNC)
class Test:
    async def test_read(self, name, mock_stream_sdk):
        opened = await ASYNC[name]()
        KEPT.append(opened)
        async for _ in opened.stream:
            pass

    async def test_closed(self, name, mock_stream_sdk):
        opened = await ASYNC[name]()
        KEPT.append(opened)
        await three(opened)
        await opened.close()

    async def test_kept(self, name, mock_stream_sdk):
        opened = await ASYNC[name]()
        KEPT.append(opened)
        await three(opened)

    async def test_forgotten(self, name, mock_stream_sdk):
        opened = await ASYNC[name]()
        KEPT.append(opened.client)
        await three(opened)

    async def test_cancelled(self, name, mock_stream_sdk):
        gate = Gate()
        mock_stream_sdk.respond("a b c ", gate, "d")
        opened = await ASYNC[name]()
        KEPT.append(opened)
        async def read():
            async for _ in opened.stream:
                pass
        consumer = asyncio.create_task(read())
        await gate.reached()
        await cancelled(consumer)

    async def test_cancelled_between_chunks(self, name, mock_stream_sdk):
        opened = await ASYNC[name]()
        KEPT.append(opened)
        busy = asyncio.Event()
        async def read():
            await three(opened)
            busy.set()
            await asyncio.Event().wait()
        consumer = asyncio.create_task(read())
        await busy.wait()
        await cancelled(consumer)

    async def test_never_read(self, name, mock_stream_sdk):
        KEPT.append(await ASYNC[name]())
"""


_BLAMED = re.compile(r"ERROR test_verdicts\.py::Test::test_(\w+\[[^]]+\])")


def test_each_way_to_leave_each_sdk_s_stream_gets_its_verdict(pytester: pytest.Pytester, lean_pytest: None) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nasyncio_mode = auto\n")
    pytester.makepyfile(test_verdicts=TESTS.format(here=str(Path(__file__).parent)))

    result = pytester.runpytest_subprocess("-p", "asyncio", "-p", "mockstream", "-p", "no:warnings", "-rE")

    blamed = {found[1] for line in result.outlines if (found := _BLAMED.match(line))}
    assert blamed == {f"{way}[{name}]" for way in LEAKS for name in LEAKS[way]}
    result.assert_outcomes(passed=len(LEAKS) * len(ASYNC), errors=len(blamed))
