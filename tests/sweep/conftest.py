"""Where a test waits, it waits in virtual time: nothing here depends on how busy the machine is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import looptime
import pytest

VIRTUAL = {"test_sweep_cancellation.py", "test_sweep_faults.py", "test_sweep_report.py"}


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the tests of some files on a loop whose clock jumps."""
    if item.path.name in VIRTUAL:
        return {"virtual": lambda: looptime.new_event_loop(start=0)}
    return {"standard": asyncio.new_event_loop}
