"""A first attempt that fails, or leaks, and a second that does neither."""

from __future__ import annotations

import itertools

import pytest
from left import leave_task, leave_thread

_failing, _leaking, _both = itertools.count(1), itertools.count(1), itertools.count(1)


@pytest.mark.flaky(reruns=1)
def test_first_attempt_fails() -> None:
    assert next(_failing) == 2


@pytest.mark.flaky(reruns=1)
def test_first_attempt_is_left_behind() -> None:
    if next(_leaking) == 1:
        leave_thread()


@pytest.mark.flaky(reruns=1)
@pytest.mark.asyncio
async def test_first_attempt_fails_and_is_left_behind() -> None:
    if next(_both) == 1:
        leave_task()
        pytest.fail("the first time")
