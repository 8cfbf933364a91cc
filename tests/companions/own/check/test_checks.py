"""Soft assertions."""

from __future__ import annotations

from typing import Any

from left import leave_thread


def test_checks(check: Any) -> None:
    check.equal(1, 1)
    with check:
        assert True


def test_leaves_a_thread_between_checks(check: Any) -> None:
    check.equal(1, 1)
    leave_thread()
    check.equal(2, 2)


def test_check_fails_after_a_thread_was_left(check: Any) -> None:
    leave_thread()
    check.equal(1, 2)
