"""Time stands still while a test runs, and the check waits in real time."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterator

import freezegun
import pytest
from left import KEPT, leave_task, leave_thread


@pytest.fixture
def past() -> Iterator[object]:
    with freezegun.freeze_time("2020-01-01") as clock:
        yield clock


def _year() -> int:
    return datetime.datetime.now(tz=datetime.UTC).year


def test_function(past: object) -> None:
    assert _year() == 2020


@freezegun.freeze_time("2020-01-01")
def test_decorated() -> None:
    assert _year() == 2020


@pytest.mark.asyncio
async def test_coroutine(past: object) -> None:
    await asyncio.create_task(asyncio.sleep(0))
    assert _year() == 2020


@pytest.mark.asyncio
async def test_leaves_a_task(past: object) -> None:
    leave_task()


def test_leaves_a_thread(past: object) -> None:
    leave_thread()


@freezegun.freeze_time("2020-01-01")
def test_leaves_a_thread_decorated() -> None:
    leave_thread()


@pytest.mark.asyncio
async def test_task_ends_soon(past: object) -> None:
    KEPT.append(asyncio.create_task(asyncio.to_thread(int, "1")))
    await asyncio.sleep(0)
