from __future__ import annotations

import asyncio
import threading
import time

import pytest

from .verdict import clean, leaks
from .work import END, KEPT, forever, until_the_end


@clean(91)
@pytest.mark.asyncio
async def test_ten_virtual_hours_leave_nothing() -> None:
    await asyncio.create_task(asyncio.sleep(36000))


@clean(91)
@pytest.mark.asyncio
async def test_task_ends_within_a_virtual_grace_period() -> None:
    KEPT.append(asyncio.create_task(asyncio.sleep(1)))


@leaks(91, kinds="task")
@pytest.mark.asyncio
async def test_task_never_ends_in_virtual_time() -> None:
    KEPT.append(asyncio.create_task(forever()))


def stand_still() -> float:
    return 0.0


@clean(91)
def test_stopped_clock_leaves_the_grace_period_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    threading.Thread(target=END.wait, args=(0.005,)).start()
    monkeypatch.setattr(time, "monotonic", stand_still)


@leaks(91, kinds="thread")
def test_thread_is_left_while_the_clock_stands_still() -> None:
    threading.Thread(target=until_the_end, daemon=True).start()
    patch = pytest.MonkeyPatch()
    patch.setattr(time, "monotonic", stand_still)
    KEPT.append(patch)


def test_clock_goes_on_again() -> None:
    for patch in KEPT:
        if isinstance(patch, pytest.MonkeyPatch):
            patch.undo()
