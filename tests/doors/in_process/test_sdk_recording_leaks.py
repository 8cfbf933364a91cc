"""What a test that records leaves behind: nothing of ours, and what is its own is reported as ever."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = """
import asyncio, sys
import pytest
from recorder import Recorder
from recorded_clients import CLIENTS
from pytest_mockstream import MockStreamSDK, Gate
from pytest_mockstream.doors.server import MockStreamServer

TAKES = []

@pytest.fixture(scope="session")
def provider():
    with MockStreamServer() as server:
        yield server

@pytest.fixture(params=CLIENTS)
def ask(request):
    return CLIENTS[request.param]

@pytest.fixture
def url(provider):
    provider.respond("one", "two", "three", delay=0.05)
    return provider.url + "/v1/chat/completions"

@pytest.fixture
def sdk():
    recorder = Recorder()
    with MockStreamSDK(recordings=recorder) as sdk:
        yield sdk
    TAKES.extend(recorder.takes)

async def leave(ask, url):
    async with ask(url) as reply:
        async for piece in reply.pieces:
            if b'"one"' in piece:
                return

def pytest_terminal_summary(terminalreporter):
    whole = [taken for taken in TAKES if taken.body.endswith(b"[DONE]\\n\\n") and taken.ending == "end"]
    terminalreporter.line(f"{len(whole)} of {len(TAKES)} are whole")
"""


def run(pytester: pytest.Pytester, code: str, *args: str) -> pytest.RunResult:
    settings = ["asyncio_default_fixture_loop_scope = function", "asyncio_mode = auto"]
    pytester.makeini("\n".join(["[pytest]", *settings, f"pythonpath = {Path(__file__).parent}"]))
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(f"from conftest import *\n{code}")
    with pytest.MonkeyPatch.context() as patch:  # to load the plugins of others takes longer than to run
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        plugins = ("-p", "pytest_asyncio.plugin", "-p", "pytest_mockstream.plugin")
        return pytester.runpytest_subprocess(*plugins, "-W", "error", *args)


def test_rest_is_read_and_blames_nobody(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
async def test_loop_of_test(sdk, ask, url):
    await leave(ask, url)

def test_loop_inside_test(sdk, ask, url):
    asyncio.run(leave(ask, url))

@pytest.mark.asyncio(loop_scope="session")
async def test_loop_of_session(sdk, ask, url):
    await leave(ask, url)

async def test_door_that_closes_in_a_loop(ask, provider):
    gate = Gate()
    provider.respond("one", gate, "two")
    recorder = Recorder(drain=0.2)
    with MockStreamSDK(recordings=recorder):
        await leave(ask, provider.url + "/v1/chat/completions")
    assert recorder.only.events[-1] == "left"
    gate.open()
""",
    )

    result.assert_outcomes(passed=24)
    result.stdout.fnmatch_lines(["18 of 18 are whole"])


def test_stream_that_is_left_open_is_a_leak(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
KEPT = []
async def test_it(sdk, ask, url):
    asking = ask(url)
    reply = await asking.__aenter__()
    KEPT.append((asking, reply))
    async for piece in reply.pieces:
        if b'"one"' in piece:
            break
""",
        "-W",
        "ignore",
        "-k",
        "httpx",
    )

    result.assert_outcomes(passed=4, errors=4)
    result.stdout.fnmatch_lines(
        ["LeakError: test_it[[]httpx] left * running*", "  stream 'openai /v1/chat/completions *"]
    )
