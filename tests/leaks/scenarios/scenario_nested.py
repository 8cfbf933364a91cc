from __future__ import annotations

import asyncio
import threading

import pytest

from .verdict import clean, leaks
from .work import KEPT, forever, until_the_end

INNER = """
    import asyncio

    KEPT = []

    async def test_leaks():
        KEPT.append(asyncio.create_task(asyncio.sleep(3600)))

    async def test_is_clean():
        await asyncio.create_task(asyncio.sleep(0))
"""

ARGS = ("-p", "asyncio", "-p", "mockstream", "-o", "asyncio_mode=auto", "--mockstream-grace=0.05")


@clean(94)
def test_inner_run_reports_its_own_leak(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(INNER)
    result = pytester.runpytest_inprocess(*ARGS)
    result.assert_outcomes(passed=2, errors=1)


@leaks(94, kinds="task", at="create_task(forever())")
def test_outer_run_still_sees_after_an_inner_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(INNER)
    pytester.runpytest_inprocess(*ARGS)

    async def leave() -> None:
        KEPT.append(asyncio.create_task(forever()))

    asyncio.run(leave())


@leaks(94, kinds="task")
@pytest.mark.asyncio
async def test_outer_run_still_sees_in_the_next_test() -> None:
    KEPT.append(asyncio.create_task(forever()))


@clean(94)
@pytest.mark.asyncio
async def test_outer_run_is_still_silent_in_the_next_test() -> None:
    await asyncio.create_task(asyncio.sleep(0))


@leaks(94, kinds="thread", owner="plugin", reported="allowed", at=None, outcomes=("passed",))
def test_plugin_of_an_inner_run_begins_with_a_thread(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_passes(): pass")
    pytester.runpytest_inprocess("-p", "xdist", "-p", "rerunfailures", *ARGS).assert_outcomes(passed=1)


@leaks(94, kinds="thread")
def test_users_own_plugin_of_an_inner_run_leaves_a_thread(pytester: pytest.Pytester) -> None:
    class Plugin:
        def pytest_configure(self) -> None:
            threading.Thread(target=until_the_end, daemon=True).start()

    pytester.makepyfile("def test_passes(): pass")
    pytester.inline_run(*ARGS, plugins=[Plugin()])
