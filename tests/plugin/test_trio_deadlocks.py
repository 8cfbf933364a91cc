"""Tests on trio under a virtual clock, by pytest-trio and by anyio's plugin: what can never end fails at once."""

from __future__ import annotations

import importlib.util

import pytest

HEAD = """
import threading, time
import anyio, pytest, trio
from trio.testing import MockClock
from pytest_mockstream import Gate
"""
ANYIO = """
@pytest.fixture(params=[pytest.param(("trio", {"clock": MockClock(autojump_threshold=0)}), id="trio"), "asyncio"])
def anyio_backend(request):
    return request.param

@pytest.fixture
def clock(anyio_backend_name):
    return anyio_backend_name
"""
STUCK = """
@MARK
async def test_locks(CLOCK):
    one, other = anyio.Lock(), anyio.Lock()
    async def locks(first, second):
        async with first:
            await anyio.sleep(0.1)
            async with second:
                pass
    async with anyio.create_task_group() as group:
        group.start_soon(locks, one, other, name="there")
        group.start_soon(locks, other, one, name="back")

@MARK
async def test_gate(mock_stream_client, CLOCK):
    mock_stream_client.respond("a", Gate(), "b")
    async with mock_stream_client.complete_stream("hi") as stream:
        await stream.aread()

@MARK
async def test_shield(CLOCK):
    with anyio.CancelScope(shield=True):
        await anyio.Event().wait()

@MARK
@pytest.mark.mockstream_sweep("cancel")
async def test_swept(mock_stream_client, CLOCK):
    await anyio.Event().wait()
"""
ENDS = """
@MARK
async def test_timer(CLOCK):
    await anyio.sleep(0.5)

@MARK
async def test_job(CLOCK):
    await anyio.to_thread.run_sync(time.sleep, 0.05)

@MARK
async def test_thread(CLOCK):
    done, token = anyio.Event(), anyio.lowlevel.current_token()
    def work():
        time.sleep(0.05)
        anyio.from_thread.run_sync(done.set, token=token)
    thread = threading.Thread(target=work)
    thread.start()
    await done.wait()
    thread.join()
"""

with_pytest_trio = pytest.mark.skipif(
    importlib.util.find_spec("pytest_trio") is None, reason="pytest-trio is not installed"
)
on_both = pytest.mark.parametrize("plugin", [pytest.param("trio", marks=with_pytest_trio), "anyio"])


def _run(pytester: pytest.Pytester, plugin: str, tests: str, select: str) -> pytest.RunResult:
    tests = tests.replace("@MARK", f"@pytest.mark.{plugin}")
    tests = tests.replace("CLOCK", "autojump_clock" if plugin == "trio" else "clock")
    pytester.makepyfile(test_it=HEAD + (ANYIO if plugin == "anyio" else "") + tests)
    return pytester.runpytest_subprocess("-p", plugin, "-p", "asyncio", "-p", "mockstream", "-k", select, timeout=60)


@on_both
def test_test_under_a_virtual_clock_fails_at_once(pytester: pytest.Pytester, lean_pytest: None, plugin: str) -> None:
    result = _run(pytester, plugin, STUCK, "not asyncio")

    result.assert_outcomes(failed=4, deselected=4 if plugin == "anyio" else 0)
    test = "the task of test_"
    result.stdout.fnmatch_lines_random(
        [
            "*DeadlockError: deadlock: nothing can happen any more:",
            "*  'back' waits for the lock that 'there' holds at test_it.py:*, at test_it.py:* in test_locks.*",
            f"*  {test}locks waits for 'back' and 'there', at test_it.py:*",
            f"*  {test}gate waits for a stream that stands still, at test_it.py:* in test_gate: await stream.aread()",
            f"*  {test}shield waits for the event, at test_it.py:*",
            f"*  {test}swept waits for the event, at test_it.py:*",
            "*trio.fail_after()*",
        ]
    )
    assert "in pytest_runtest_call" not in result.stdout.str()


@on_both
def test_test_that_waits_for_what_comes_passes(pytester: pytest.Pytester, lean_pytest: None, plugin: str) -> None:
    result = _run(pytester, plugin, ENDS, "test")

    result.assert_outcomes(passed=6 if plugin == "anyio" else 3)
