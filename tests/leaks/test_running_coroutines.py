"""A coroutine that runs is never asked what it awaits: CPython 3.11 and 3.12 read a stack that is not there."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

# CPython takes the counter of an instruction that it tries to specialise for the next instruction. The counter goes
# down with each run, so that one run in some dozens looks like a suspended coroutine.
READERS = {
    "suspect": "from pytest_mockstream.leaks.stacks import stops_of_task as look",
    "request": """
from pytest_mockstream._base.callsite import awaiting_site
def look(_task):
    awaiting_site(sys._getframe())
""",
    "sweep": """
from pytest_mockstream.sweep.positions import position_of
def look(task):
    position_of(task.get_coro())
""",
}
RUNNING = {
    "async generator": "async for _ in chunks({count}): pass",
    "property": "for _ in range({count}): Looks().told",
    "call": "for _ in range({count}): call(look_here)",
}
PROGRAM = """
import asyncio, sys
{reader}

def look_here():
    look(asyncio.current_task())

async def chunks(count):
    for _ in range(count):
        yield look_here()

class Looks:
    @property
    def told(self):
        look_here()

    def __getattribute__(self, name):
        return object.__getattribute__(self, name)

class Callable:
    def __call__(self, function):
        function()

call = Callable()

async def run():
    for _ in range(300):
        {running}
asyncio.run(run())
"""


@pytest.mark.parametrize("running", RUNNING.values(), ids=RUNNING)
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_what_a_running_coroutine_awaits_is_not_asked(reader: str, running: str) -> None:
    for count in range(1, 6):
        program = PROGRAM.format(reader=reader, running=running.format(count=count))
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

        assert (ended.returncode, ended.stderr) == (0, "")


def test_frames_of_a_suspended_chain_are_all_there() -> None:
    program = """
    import asyncio, types
    from pytest_mockstream.leaks.stacks import stops_of_task

    async def sleeps():
        await asyncio.sleep(60)

    async def chunks():
        yield 1
        await sleeps()

    @types.coroutine
    def old_style():
        yield from reads().__await__()

    async def reads():
        async for _ in chunks():
            pass

    async def main():
        task = asyncio.create_task(outer())
        await asyncio.sleep(0.01)
        print(*[stop.code.co_name for stop in stops_of_task(task)])
        task.cancel()

    async def outer():
        await old_style()

    asyncio.run(main())
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=True
    )

    assert ran.stdout == "sleep sleeps chunks reads old_style outer\n"
