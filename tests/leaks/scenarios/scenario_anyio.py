from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from pytest_mockstream import MockStreamClient

from .verdict import clean, leaks
from .work import KEPT, forever, until_the_end

pytestmark = pytest.mark.anyio

needs_uvloop = pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed")
asyncio_only = pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(("asyncio", {}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop", marks=needs_uvloop),
    ],
)
BOTH = ("asyncio", "trio")


@leaks(39, kinds="task", case="asyncio")
@leaks(39, kinds="task", case="uvloop", needs="uvloop")
@asyncio_only
async def test_task_is_left() -> None:
    KEPT.append(asyncio.create_task(forever()))


@clean(39, case="asyncio")
@clean(39, case="uvloop", needs="uvloop")
@asyncio_only
async def test_task_is_cancelled_by_the_last_statement() -> None:
    task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    task.cancel()


@clean(39, case="asyncio")
@clean(39, case="trio")
async def test_task_group_is_left_properly() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 0)


@clean(39, case="asyncio")
@clean(39, case="trio")
async def test_worker_thread_is_idle() -> None:
    await anyio.to_thread.run_sync(int)


@leaks(39, kinds="thread", case="asyncio")
@leaks(39, kinds="thread", case="trio")
async def test_thread_is_left() -> None:
    threading.Thread(target=until_the_end, daemon=True).start()


@leaks(39, kinds="stream", case="asyncio")
@leaks(39, kinds="stream", case="trio")
async def test_stream_is_left_open(mock_stream_client: MockStreamClient) -> None:
    KEPT.append(mock_stream_client.complete_stream("hi"))


@clean(39, case="asyncio")
@clean(39, case="trio")
async def test_stream_is_closed(mock_stream_client: MockStreamClient) -> None:
    with mock_stream_client.complete_stream("hi") as stream:
        KEPT.append(stream)


@pytest.fixture
async def group(anyio_backend_name: str) -> AsyncIterator[None]:
    KEPT.append(anyio_backend_name)
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep_forever)
        yield
        group.cancel_scope.cancel()


@clean(39, case="asyncio")
@clean(39, case="trio")
@pytest.mark.usefixtures("group")
async def test_task_group_of_a_fixture_is_cancelled_by_it() -> None:
    await anyio.lowlevel.checkpoint()
