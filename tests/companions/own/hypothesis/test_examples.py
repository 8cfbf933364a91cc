"""A leak in one of many examples is the test's."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from left import leave_task, leave_thread

few = settings(max_examples=10, database=None, deadline=None, derandomize=True)


@few
@given(st.integers())
def test_examples(number: int) -> None:
    thread = threading.Thread(target=abs, args=(number,))
    thread.start()
    thread.join()


@few
@given(st.integers(min_value=1))
@example(0)
def test_leaves_a_thread_in_one_example(number: int) -> None:
    if number == 0:
        leave_thread()


@few
@given(st.integers())
@pytest.mark.asyncio
async def test_examples_of_a_coroutine(number: int) -> None:
    await asyncio.create_task(asyncio.sleep(0, number))


@few
@given(st.integers(min_value=1))
@example(0)
@pytest.mark.asyncio
async def test_leaves_a_task_in_one_example(number: int) -> None:
    if number == 0:
        leave_task()
