"""Tests of pytest-twisted: the reactor keeps its pool, and tests leave what they leave."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest_twisted
from left import OVER, leave_thread
from twisted.internet import reactor, task, threads


@pytest_twisted.ensureDeferred
async def test_leaves_a_job_in_the_pool() -> None:
    threads.deferToThread(_wait)


def _wait() -> None:
    OVER.wait(60)


@pytest_twisted.inlineCallbacks
def test_callbacks() -> Iterator[Any]:
    yield task.deferLater(reactor, 0.001, lambda: None)


@pytest_twisted.ensureDeferred
async def test_coroutine() -> None:
    await task.deferLater(reactor, 0.001, lambda: None)


@pytest_twisted.ensureDeferred
async def test_job_in_the_pool() -> None:
    assert await threads.deferToThread(int, "1") == 1


@pytest_twisted.ensureDeferred
async def test_two_jobs_in_the_pool() -> None:
    first, second = threads.deferToThread(int, "1"), threads.deferToThread(int, "2")
    assert [await first, await second] == [1, 2]


@pytest_twisted.ensureDeferred
async def test_leaves_a_thread() -> None:
    leave_thread()


@pytest_twisted.ensureDeferred
async def test_leaves_a_thread_of_a_job() -> None:
    await threads.deferToThread(leave_thread)


def test_afterwards() -> None:
    pass
