"""A test that is not run again while what it depends on stays as it is, and one that leaks, which is."""

from __future__ import annotations

from left import leave_thread
from shelf import books


def test_books() -> None:
    assert books() == 3


def test_leaves_a_thread_and_books() -> None:
    leave_thread()
    assert books() == 3
