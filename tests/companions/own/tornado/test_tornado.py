"""Tests of pytest-tornado: a loop for each, which is asyncio's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import tornado.web
from left import leave_task, leave_thread


class _Hello(tornado.web.RequestHandler):
    def get(self) -> None:
        self.write("hello")


class _Pump(tornado.web.RequestHandler):
    def get(self) -> None:
        leave_task()
        self.write("hello")


@pytest.fixture
def app() -> tornado.web.Application:
    return tornado.web.Application([("/", _Hello), ("/pump", _Pump)])


@pytest.mark.gen_test
async def test_answer(http_client: Any, base_url: str) -> None:
    assert (await http_client.fetch(base_url)).body == b"hello"


@pytest.mark.gen_test
async def test_task_is_awaited() -> None:
    await asyncio.create_task(asyncio.sleep(0))


@pytest.mark.gen_test
async def test_leaves_a_task() -> None:
    leave_task()


@pytest.mark.gen_test
async def test_leaves_a_task_of_a_handler(http_client: Any, base_url: str) -> None:
    assert (await http_client.fetch(f"{base_url}/pump")).body == b"hello"


@pytest.mark.gen_test
async def test_leaves_a_thread() -> None:
    leave_thread()


@pytest.mark.gen_test
async def test_afterwards() -> None:
    await asyncio.sleep(0)
