"""Each test runs in a process of its own; one also forks by itself."""

from __future__ import annotations

import os
import threading

import pytest
from left import leave_task, leave_thread


def test_parent_is_the_run() -> None:
    assert os.getppid() != os.getpid()


def test_leaves_a_thread_in_its_process() -> None:
    leave_thread()
    assert threading.active_count() > 1


@pytest.mark.asyncio
async def test_leaves_a_task_in_its_process() -> None:
    leave_task()


def test_forks_itself() -> None:
    child = os.fork()
    if child == 0:
        leave_thread()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.fixture(scope="module")
def forgetful() -> None:
    leave_thread()


def test_leaves_a_thread_of_a_module_fixture(forgetful: None) -> None:
    pass
