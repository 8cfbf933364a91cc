"""Does a sweep's runs in whichever event loop runs here."""

from __future__ import annotations

from pytest_mockstream._base.loops import trio_here

from .on_asyncio import on_asyncio
from .on_trio import on_trio
from .probe import R, Sweep


async def in_this_loop(sweep: Sweep[R]) -> R:
    """Call a function with what starts runs of the code under test in the running event loop, and return its result."""
    return await (on_asyncio if trio_here() is None else on_trio)(sweep)
