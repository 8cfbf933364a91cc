"""Requests of httpx, answered by pytest-httpx."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from left import leave_task, leave_thread

URL = "https://example.org/"


def test_answer(httpx_mock: Any) -> None:
    httpx_mock.add_response(text="hello")
    assert httpx.get(URL).text == "hello"


@pytest.mark.asyncio
async def test_answer_to_a_coroutine(httpx_mock: Any) -> None:
    httpx_mock.add_response(text="hello")
    async with httpx.AsyncClient() as client:
        assert (await client.get(URL)).text == "hello"


def test_leaves_a_thread(httpx_mock: Any) -> None:
    httpx_mock.add_response(text="hello")
    httpx.get(URL)
    leave_thread()


@pytest.mark.asyncio
async def test_leaves_a_task(httpx_mock: Any) -> None:
    httpx_mock.add_response(text="hello")
    async with httpx.AsyncClient() as client:
        await client.get(URL)
    leave_task()
