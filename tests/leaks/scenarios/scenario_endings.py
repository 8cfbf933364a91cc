from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from .verdict import clean, leaks
from .work import END, KEPT, forever, until_the_end


@pytest.fixture(scope="session")
def server_thread() -> Iterator[None]:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    yield
    over.set()
    thread.join()


@clean(81, outcomes=())
@pytest.mark.usefixtures("server_thread")
@pytest.mark.asyncio
async def test_interrupt_after_a_task() -> None:
    KEPT.append(asyncio.create_task(forever()))
    await asyncio.sleep(0)
    raise KeyboardInterrupt


@clean(81, outcomes=())
def test_interrupt_after_a_thread() -> None:
    threading.Thread(target=until_the_end, daemon=True).start()
    raise KeyboardInterrupt


@clean(81, outcomes=())
@pytest.mark.usefixtures("server_thread")
def test_exit_after_a_thread() -> None:
    threading.Thread(target=until_the_end, daemon=True).start()
    pytest.exit("enough")


@leaks(81, kinds="thread", outcomes=("failed",))
def test_failure_after_a_thread() -> None:
    threading.Thread(target=until_the_end, daemon=True).start()
    pytest.fail("its own failure")


@clean(80, outcomes=("failed",))
@pytest.mark.usefixtures("server_thread")
def test_stops_the_run() -> None:
    threading.Thread(target=END.wait, args=(0.005,)).start()
    pytest.fail("its own failure")


@clean(80, outcomes=())
@pytest.mark.usefixtures("server_thread")
def test_is_never_run() -> None:
    pass


@clean(80)
@pytest.mark.usefixtures("server_thread")
def test_runs_beside_a_crash() -> None:
    pass


@clean(80, outcomes=("failed",), says="crashed")
@pytest.mark.usefixtures("server_thread")
def test_crashes_its_worker() -> None:
    os._exit(7)
