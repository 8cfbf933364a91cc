from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from .server import Server
from .verdict import leaks
from .work import AFTERWARDS, KEPT, forever


@pytest.fixture(scope="session")
def forgetful_server() -> Server:
    server = Server()
    AFTERWARDS.callback(server.stop)
    return server


@leaks(28, kinds="thread thread", owner="fixture:forgetful_server:session", outcomes=("passed",))
def test_shared_server_is_forgotten_by_its_fixture(forgetful_server: Server) -> None:
    KEPT.append(forgetful_server)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def forgetful_ticker() -> AsyncIterator[None]:
    KEPT.append(asyncio.create_task(forever()))
    yield


@leaks(30, kinds="task", owner="fixture:forgetful_ticker:module", outcomes=("passed",))
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.usefixtures("forgetful_ticker")
async def test_shared_task_is_forgotten_by_its_fixture() -> None:
    pass


def test_last_of_the_run_in_whose_teardown_wide_fixtures_end() -> None:
    for server in KEPT:
        if isinstance(server, Server):
            server.ask()
