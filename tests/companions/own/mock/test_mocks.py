"""Parts of the standard library are replaced for a test, and the check goes by the real ones."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from left import leave_task, leave_thread


def test_sleep_is_replaced(mocker: Any) -> None:
    mocker.patch("time.sleep", side_effect=AssertionError)
    mocker.patch("time.monotonic", return_value=0.0)


def test_leaves_a_thread_while_the_clock_is_replaced(mocker: Any) -> None:
    mocker.patch("time.sleep", side_effect=AssertionError)
    mocker.patch("time.monotonic", return_value=0.0)
    leave_thread()


@pytest.mark.asyncio
async def test_sleep_of_the_loop_is_replaced(mocker: Any) -> None:
    slept = mocker.patch("asyncio.sleep", autospec=True)
    await asyncio.sleep(3600)
    slept.assert_called_once_with(3600)


@pytest.mark.asyncio
async def test_leaves_a_task_while_sleep_is_replaced(mocker: Any) -> None:
    mocker.patch("asyncio.sleep")
    leave_task()


def test_spy_on_a_thread(mocker: Any) -> None:
    started = mocker.spy(threading.Thread, "start")
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    assert started.call_count == 1


def test_leaves_a_thread_whose_start_is_spied_on(mocker: Any) -> None:
    mocker.spy(threading.Thread, "start")
    leave_thread()
