"""An application of aiohttp behind the client of pytest-aiohttp."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from left import leave_task

pytestmark = pytest.mark.asyncio


async def _hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def _pump(request: web.Request) -> web.Response:
    leave_task()
    return web.Response(text="hello")


@pytest_asyncio.fixture
async def client(aiohttp_client: Any) -> Any:
    app = web.Application()
    app.router.add_get("/", _hello)
    app.router.add_get("/pump", _pump)
    return await aiohttp_client(app)


async def test_answer(client: Any) -> None:
    assert await (await client.get("/")).text() == "hello"


async def test_leaves_a_task_of_a_handler(client: Any) -> None:
    assert await (await client.get("/pump")).text() == "hello"


async def test_server(aiohttp_server: Any) -> None:
    server = await aiohttp_server(web.Application())
    assert server.port
