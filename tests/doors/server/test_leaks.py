"""A stream left open on the server fails its test, once, and the line is named; the server itself is no leak."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run

SDK = """
import openai

LEFT = []

def left_open(client):
    stream = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)
    LEFT.append((client, stream))
    next(stream)
"""


def leaks(path: Path) -> list[dict[str, Any]]:
    """Return what the report says that leaked."""
    found: list[dict[str, Any]] = json.loads(path.read_text())["leaks"]
    return found


def test_the_line_that_opened_the_stream_is_named(run_pytest: Run) -> None:
    result = run_pytest(
        f"""{SDK}
def test_1(mock_stream_server):
    mock_stream_server.respond("one ", "two ", ttft=0, delay="10h")
    left_open(openai.OpenAI())
"""
    )

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "LeakError: test_1 left 1 thing running*",
            "  stream 'openai /v1/chat/completions (request 1)'",
            "    opened at test_it.py:* in left_open",
            "    Its consumer read 1 of 3 chunks and never closed it.*",
            "  To exempt what is meant to live on: *ignore=[[]'left_open']*",
        ],
        consecutive=True,
    )


def test_a_stream_that_only_the_closing_of_its_loop_closes_was_left_open(run_pytest: Run) -> None:
    result = run_pytest(
        """
import openai

LEFT = []

async def test_1(mock_stream_server):
    mock_stream_server.respond("one ", "two ", ttft=0, delay="10h")
    client = openai.AsyncOpenAI()
    stream = await client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    LEFT.append((client, stream))
    async for _ in stream:
        break
"""
    )

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["LeakError: test_1 left 1 thing *", "    opened at test_it.py:* in test_1"])


@pytest.mark.parametrize(
    "test",
    [
        pytest.param("async def test_1(mock_stream_server, hanging): pass", id="async test"),
        pytest.param("def test_1(request): request.getfixturevalue('hanging')", id="server that the test starts"),
        pytest.param("def test_1(mock_stream_server, hanging): mock_stream_server.requests", id="record looked at"),
        pytest.param("def test_1(hanging, worker_id): pass", id="xdist"),
    ],
)
def test_the_stream_is_the_only_leak(run_pytest: Run, pytester: pytest.Pytester, test: str) -> None:
    options = ("-p", "xdist.plugin", "-n1") if "worker_id" in test else ()

    result = run_pytest(f"{test}\ndef test_2(mock_stream_server): pass", "--mockstream-report=leaks.json", *options)

    result.assert_outcomes(passed=2, errors=1)
    (leak,) = leaks(pytester.path / "leaks.json")
    assert (leak["test"], leak["kind"]) == ("test_it.py::test_1", "stream")
    assert leak["created_at"].startswith("test_it.py:")


def test_what_a_server_does_that_a_test_took_down_is_not_the_test_s(run_pytest: Run, pytester: pytest.Pytester) -> None:
    tests = """
def test_1(mock_stream_server):
    with mock_stream_server.down():
        pass

def test_2(hanging):
    pass
"""

    run_pytest(tests, "--mockstream-report=leaks.json").assert_outcomes(passed=2, errors=1)

    assert [leak["kind"] for leak in leaks(pytester.path / "leaks.json")] == ["stream"]


def test_a_client_in_another_process_is_named_with_its_port(run_pytest: Run) -> None:
    tests = """
import subprocess, sys
CODE = '''
import os, urllib.request
body = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
response = urllib.request.urlopen(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body)
print(flush=True)
input()
'''

def test_1(mock_stream_server):
    mock_stream_server.respond("one", ttft="10h")
    process = subprocess.Popen([sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    SOCKETS.append(process)
"""

    result = run_pytest(tests)

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["    opened at Python-urllib/*, 127.0.0.1:* in a client that shows no line"])


def test_a_test_that_failed_is_told_of_its_stream_too(run_pytest: Run) -> None:
    result = run_pytest("def test_1(hanging): assert 0")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*leaks at teardown*", "  stream 'openai /v1/chat/completions (request 1)'"])


CLEAN = f"""{SDK}
import asyncio, sys, threading, urllib.request
import aiohttp, requests, uvloop

BODY = {{"model": "m", "stream": True, "messages": [{{"role": "user", "content": "hi"}}]}}

@pytest.fixture
def server(mock_stream_server):
    mock_stream_server.respond("one ", "two ", ttft=0, delay="10h")
    return mock_stream_server

def test_sdk(server):
    with openai.OpenAI() as client, client.chat.completions.create(**BODY) as stream:
        next(stream)

def test_client_that_lives_on(server):
    LEFT.append(openai.OpenAI())
    with LEFT[-1].chat.completions.create(**BODY) as stream:
        next(stream)

async def asking():
    async with openai.AsyncOpenAI() as client, await client.chat.completions.create(**BODY) as stream:
        await anext(stream)

async def test_async_sdk(server):
    await asking()

@pytest.mark.asyncio(loop_scope="session")
async def test_loop_that_lives_on(server):
    await asking()

async def test_cancelled_task(server):
    task = asyncio.create_task(asking())
    while not server.requests:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

def test_uvloop(server):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asking())

def test_thread(server):
    thread = threading.Thread(target=asyncio.run, args=(asking(),))
    thread.start()
    thread.join()

async def test_aiohttp(server):
    await asking_aiohttp(server)

@pytest.mark.asyncio(loop_scope="session")
async def test_aiohttp_in_a_loop_that_lives_on(server):
    await asking_aiohttp(server)

async def asking_aiohttp(server):
    async with aiohttp.ClientSession(server.base_url("openai") + "/") as session:
        async with session.post("chat/completions", json=BODY) as response:
            await response.content.readany()

def test_requests(server):
    with requests.post(server.base_url("openai") + "/chat/completions", json=BODY, stream=True) as response:
        next(response.iter_lines())

def test_dropped_socket(server):
    opened(server)
"""


def test_tests_that_leave_nothing_are_silent(run_pytest: Run) -> None:
    result = run_pytest(CLEAN, "-W", "error", "-W", "ignore:unclosed:ResourceWarning")

    result.assert_outcomes(passed=CLEAN.count("def test_"))


def test_a_server_of_the_test_s_own_warns_of_what_it_ended(run_pytest: Run) -> None:
    result = run_pytest(
        f"""{SDK}
from pytest_mockstream import MockStreamServer

def test_1():
    with MockStreamServer(delay="10h", ttft=0) as server:
        left_open(openai.OpenAI(base_url=server.base_url("openai"), api_key="k"))
"""
    )

    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*test_it.py:*: UnclosedStreamWarning: *it ended with its server.*"])
