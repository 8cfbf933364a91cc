"""Tasks that begin before whoever creates them goes on."""

from __future__ import annotations

import asyncio

import pytest
from left import KEPT

pytestmark = pytest.mark.asyncio


async def test_task_is_done_at_once() -> None:
    async def answer() -> int:
        return 42

    assert asyncio.create_task(answer()).done()


async def test_leaves_a_task_that_an_eager_one_started() -> None:
    async def start() -> None:
        KEPT.append(asyncio.create_task(asyncio.Event().wait()))

    await asyncio.create_task(start())
