"""Fixtures for the endpoints that are no chats: the real SDKs, through each door."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import openai
import pytest

from pytest_mockstream import MockStreamSDK, MockStreamServer

Door: TypeAlias = "MockStreamSDK | MockStreamServer"


@pytest.fixture(params=[MockStreamSDK, MockStreamServer], ids=["sdk", "server"])
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    with request.param() as opened:
        yield opened
        opened.verify()


@pytest.fixture
def gpt(door: Door) -> Iterator[openai.OpenAI]:
    base = door.base_url("openai") if isinstance(door, MockStreamServer) else None
    with openai.OpenAI(base_url=base, api_key="x", max_retries=0) as client:
        yield client
