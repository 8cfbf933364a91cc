"""A pytest plugin: every asyncio test runs on uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.metadata import version

import pytest
import uvloop

if version("pytest-asyncio") >= "1.4":

    def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
        return {"uvloop": uvloop.new_event_loop}

else:

    @pytest.fixture(scope="session")
    def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
        """Do the same as pytest-asyncio had it before that hook."""
        policy: asyncio.AbstractEventLoopPolicy = uvloop.EventLoopPolicy()
        return policy
