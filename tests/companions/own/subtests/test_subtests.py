"""Leaks within subtests are their test's."""

from __future__ import annotations

import unittest
from typing import Any

import pytest
from left import leave_task, leave_thread


def test_subtests(subtests: Any) -> None:
    for number in range(2):
        with subtests.test(number=number):
            assert number < 2


def test_leaves_a_thread_in_a_subtest(subtests: Any) -> None:
    for number in range(2):
        with subtests.test(number=number):
            if number == 0:
                leave_thread()


@pytest.mark.asyncio
async def test_leaves_a_task_in_a_subtest(subtests: Any) -> None:
    with subtests.test("first"):
        leave_task()
    with subtests.test("second"):
        pass


class TestOfUnittest(unittest.TestCase):
    def test_subtests(self) -> None:
        for number in range(2):
            with self.subTest(number=number):
                pass

    def test_leaves_a_thread_in_a_subtest(self) -> None:
        with self.subTest("first"):
            leave_thread()
        with self.subTest("second"):
            pass
