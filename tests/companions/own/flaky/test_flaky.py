"""A first attempt that fails and leaks, and a second that does neither; a leak alone is no reason for a second one."""

from __future__ import annotations

import itertools

import pytest
from flaky import flaky
from left import leave_thread

_failing, _both = itertools.count(1), itertools.count(1)


@flaky
def test_first_attempt_fails() -> None:
    assert next(_failing) == 2


@flaky
def test_first_attempt_fails_and_is_left_behind() -> None:
    if next(_both) == 1:
        leave_thread()
        pytest.fail("the first time")


@flaky
def test_leaves_a_thread() -> None:
    leave_thread()


@flaky(min_passes=2)
def test_passes_twice() -> None:
    pass
