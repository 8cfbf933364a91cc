"""Where a test waits, it waits in virtual time: nothing here depends on how busy the machine is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version

import looptime
import pytest

from pytest_mockstream._base import order_memories


@pytest.fixture(autouse=True)
def no_memory() -> Iterator[None]:
    """Let no sweep of orders begin with what failed in an earlier run of the suite; runs within the run may."""
    kept = order_memories[:]
    order_memories.clear()
    yield
    order_memories[:] = kept


VIRTUAL = {"test_sweep_cancellation.py", "test_sweep_faults.py", "test_sweep_report.py"}

if version("pytest-asyncio") >= "1.4":

    def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
        """Run the tests of some files on a loop whose clock jumps."""
        if item.path.name in VIRTUAL:
            return {"virtual": lambda: looptime.new_event_loop(start=0)}
        return {"standard": asyncio.new_event_loop}

else:

    class _Virtual(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return looptime.patch_event_loop(asyncio.SelectorEventLoop(), start=0)  # its new_event_loop() comes here

    @pytest.fixture
    def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
        """Do the same as pytest-asyncio had it before that hook."""
        return _Virtual() if request.path.name in VIRTUAL else asyncio.DefaultEventLoopPolicy()
