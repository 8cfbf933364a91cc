"""Loops whose clock is virtual in a test and real again when it is judged, as looptime's plugin has it."""

from __future__ import annotations

import pytest
from leak_runs import Runner

pytest.importorskip("looptime")


_TESTS = """
pytestmark = pytest.mark.looptime
async def test_hours_pass(): await asyncio.sleep(36000)
async def test_sleeps_on(): leak_task(5)
async def test_sleeps_for_hours(): leak_task(36000)
async def test_sleeps_on_after_hours():
    await asyncio.sleep(36000)
    leak_task(5)
async def test_ends_soon(): leak_task(0.02)
async def test_ends_soon_after_hours():
    await asyncio.sleep(3600000)
    leak_task(0.02)
async def test_waits_for_ever(): KEPT.append(asyncio.create_task(asyncio.Event().wait()))
@pytest.fixture
async def ticker():
    async def tick():
        while True:
            await asyncio.sleep(1)
    task = asyncio.create_task(tick())
    yield
    task.cancel()
async def test_fixture_of_its_own(ticker): await asyncio.sleep(20)
@pytest.mark.looptime(False)
async def test_real_time(): leak_task(5)
@pytest.mark.looptime(False)
async def test_ends_soon_in_real_time(): leak_task(0.02)
async def test_polls():
    async def poll():
        while True:
            await asyncio.sleep(5)
    KEPT.append(asyncio.create_task(poll()))
    await asyncio.sleep(20)
"""
_LEAKING = [
    "test_sleeps_on",
    "test_sleeps_for_hours",
    "test_sleeps_on_after_hours",
    "test_waits_for_ever",
    "test_real_time",
    "test_polls",
]


@pytest.mark.parametrize("scope", ["function", "session"])
def test_what_sleeps_in_virtual_time_is_judged_by_that(run_leaks: Runner, scope: str) -> None:
    scopes = [f"asyncio_default_{of}_loop_scope={scope}" for of in ("test", "fixture")]

    run = run_leaks(_TESTS, "-p", "looptime_plugin", "-o", scopes[0], "-o", scopes[1])

    run.result.assert_outcomes(passed=11, errors=len(_LEAKING))
    assert [leak[0] for leak in run.leaks] == _LEAKING
