"""Sweeps on the loops there are: looptime, uvloop and eager tasks."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import looptime
import pytest

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    Malformed,
    MockStreamClient,
    Stall,
    SweepError,
    Truncate,
    Wait,
    sweep_cancellation,
    sweep_faults,
)
from sweep import planted
from sweep.planted import line


def virtual() -> asyncio.AbstractEventLoop:
    return looptime.new_event_loop(start=0)


def uv() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


def eager() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    if sys.version_info >= (3, 12):
        loop.set_task_factory(asyncio.eager_task_factory)
    return loop


# By marks, not in the functions: there the coroutine of the sweep is made already, and would never be awaited.
NEEDS_UVLOOP = pytest.mark.skipif(find_spec("uvloop") is None, reason="uvloop is not for this platform")
NEEDS_EAGER_TASKS = pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
LOOPS = pytest.mark.parametrize(
    "loop",
    [
        pytest.param(asyncio.new_event_loop, id="stdlib"),
        pytest.param(virtual, id="looptime"),
        pytest.param(uv, id="uvloop", marks=NEEDS_UVLOOP),
        pytest.param(eager, id="eager", marks=NEEDS_EAGER_TASKS),
    ],
)
Loop = Callable[[], asyncio.AbstractEventLoop]


def run(loop: Loop, main: Any) -> Any:
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main)


@LOOPS
@pytest.mark.parametrize("producer", ["inline", "background"])
def test_default_client_passes_on_every_loop(loop: Loop, producer: Any) -> None:
    client = MockStreamClient(producer=producer)
    client.respond("a b c")

    result = run(loop, sweep_cancellation(lambda: planted.closes(client)))

    assert result.ok
    assert result.not_reached == ()


@LOOPS
@pytest.mark.parametrize("buggy", [planted.started_before_try, planted.cleans_up_slowly, planted.swallows])
def test_planted_bug_is_found_on_every_loop(loop: Loop, buggy: planted.Making) -> None:
    with pytest.raises(SweepError, match=f"planted.py:{line(buggy, 'here')}"):
        run(loop, sweep_cancellation(buggy, grace=0.01))


@LOOPS
def test_faults_are_swept_on_every_loop(loop: Loop) -> None:
    client = MockStreamClient()
    client.respond("a b")

    reader = planted.Waits(client, limit=60)
    result = run(loop, sweep_faults(reader.on_stream, client, faults=[Truncate, Disconnect, ErrorEvent, Malformed]))

    assert result.points == 3 * 4


def test_long_waits_cost_nothing_in_virtual_time() -> None:
    client = MockStreamClient()
    client.respond("a", Wait("10h"), "b", times=None)

    async def patient() -> None:
        async with asyncio.timeout(24 * 3600), client.complete_stream("hi") as stream:
            await stream.aread()

    assert run(virtual, sweep_cancellation(patient)).ok
    assert run(virtual, sweep_faults(patient, client, faults=[Stall], patience="30h")).ok


def test_thread_has_its_time_where_the_clock_jumps() -> None:
    with ThreadPoolExecutor(1) as pool:

        async def waits_for_thread() -> None:
            await asyncio.get_running_loop().run_in_executor(pool, time.sleep, 0.02)
            await asyncio.sleep(0)

        assert run(virtual, sweep_cancellation(waits_for_thread, point=2)).steady
