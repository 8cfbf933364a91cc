"""The report says which task awaits a leaking one, and which to cancel, where asyncio notes that: from 3.14 on."""

from __future__ import annotations

import sys

import pytest
from leak_runs import Runner

IS_NOTED = sys.version_info >= (3, 14)
NOT_NOTED = "It is sleeping. Cancel and await it when it is no longer needed."
HEAD = """
async def inner():
    await asyncio.sleep(3600)
async def keep(coroutine, name):
    KEPT.append(asyncio.create_task(coroutine, name=name))
    await asyncio.sleep(0.001)
"""


def said(run: Runner, source: str, what: str) -> str:
    """Return the last line of what the report says of one leak."""
    lines = run(HEAD + source, ini="mockstream_grace = 0.02\n").text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(f"  {what}"))
    return lines[first + 2].strip()


@pytest.mark.parametrize(
    ("body", "what"),
    [
        pytest.param("    await asyncio.create_task(inner(), name='inner')", "task 'inner'", id="await"),
        pytest.param("    await asyncio.gather(inner(), inner())", "2 tasks", id="gather"),
        pytest.param(
            "    async with asyncio.TaskGroup() as group: group.create_task(inner(), name='inner')",
            "task 'inner'",
            id="group",
        ),
        pytest.param(
            "    await asyncio.wait_for(asyncio.create_task(inner(), name='inner'), 60)", "task 'inner'", id="wait_for"
        ),
    ],
)
def test_task_that_ends_with_its_awaiter(run_leaks: Runner, body: str, what: str) -> None:
    source = f"async def outer():\n{body}\nasync def test_a():\n    await keep(outer(), 'outer')\n"

    line = said(run_leaks, source, what)

    assert line == (
        "It is sleeping. Task 'outer' awaits it at test_it.py:19."
        " Cancel and await task 'outer' when it is no longer needed: this one ends with it."
        if IS_NOTED
        else NOT_NOTED
    )


def test_outermost_of_a_chain_is_to_be_cancelled(run_leaks: Runner) -> None:
    source = (
        "async def middle():\n    await asyncio.create_task(inner(), name='inner')\n"
        "async def outer():\n    await asyncio.create_task(middle(), name='middle')\n"
        "async def test_a():\n    await keep(outer(), 'outer')\n"
    )

    line = said(run_leaks, source, "task 'inner'")

    assert line == (
        "It is sleeping. Task 'middle' awaits it at test_it.py:19."
        " Cancel and await task 'outer' when it is no longer needed: this one ends with it."
        if IS_NOTED
        else NOT_NOTED
    )


@pytest.mark.parametrize("wait", ["asyncio.shield(task)", "asyncio.wait([task])"])
def test_task_that_outlives_its_awaiter_is_to_be_cancelled_itself(run_leaks: Runner, wait: str) -> None:
    source = (
        "async def outer():\n    task = asyncio.create_task(inner(), name='inner')\n"
        f"    await {wait}\nasync def test_a():\n    await keep(outer(), 'outer')\n"
    )

    line = said(run_leaks, source, "task 'inner'")

    assert line == (
        "It is sleeping. Task 'outer' awaits it at test_it.py:20. Cancel and await it when it is no longer needed."
        if IS_NOTED
        else NOT_NOTED
    )


def test_task_that_two_await_is_to_be_cancelled_itself(run_leaks: Runner) -> None:
    source = (
        "async def outer(task):\n    await task\nasync def test_a():\n    await keep(inner(), 'inner')\n"
        "    for name in 'ab': await keep(outer(KEPT[0]), name)\n"
    )

    assert said(run_leaks, source, "task 'inner'") == NOT_NOTED
