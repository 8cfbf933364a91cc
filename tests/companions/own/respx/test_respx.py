"""Requests of httpx, answered by respx."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from left import leave_task, leave_thread

URL = "https://example.org/"


def test_answer(respx_mock: Any) -> None:
    respx_mock.get(URL).respond(text="hello")
    assert httpx.get(URL).text == "hello"


@pytest.mark.asyncio
async def test_answer_to_a_coroutine(respx_mock: Any) -> None:
    respx_mock.get(URL).respond(text="hello")
    async with httpx.AsyncClient() as client:
        assert (await client.get(URL)).text == "hello"


def test_leaves_a_thread(respx_mock: Any) -> None:
    respx_mock.get(URL).respond(text="hello")
    httpx.get(URL)
    leave_thread()


@pytest.mark.asyncio
async def test_leaves_a_task(respx_mock: Any) -> None:
    respx_mock.get(URL).respond(text="hello")
    async with httpx.AsyncClient() as client:
        await client.get(URL)
    leave_task()
