"""Traces of tests that failed, as the plugin wrote them, opened in a real browser from their files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import Show, needs_browser

needs_browser()

TESTS = """
import asyncio
import pytest
from pytest_mockstream import Wait, sweep_faults

async def pump(client, queue):
    async with client.complete_stream("hi") as stream:
        async for chunk in stream:
            await queue.put(chunk.delta)

async def test_leak(mock_stream_client):
    mock_stream_client.respond("Paris is lovely in spring.")
    queue = asyncio.Queue(maxsize=2)
    asyncio.create_task(pump(mock_stream_client, queue), name="pump")
    assert await queue.get() == "Paris "

async def test_cancelled(mock_stream_client):
    mock_stream_client.respond("Paris is ", Wait(30), "lovely.")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pump(mock_stream_client, asyncio.Queue()), 0.05)
    assert mock_stream_client.requests[0].state == "exhausted"

async def test_faults(mock_stream_client):
    mock_stream_client.respond("Paris is lovely.", times=None)
    await sweep_faults(lambda: pump(mock_stream_client, asyncio.Queue()), mock_stream_client)
"""


def lines(page: Any) -> list[str]:
    """Return the lines of source at which something broke."""
    return [re.sub(r"^▸ \d+", "", line).strip() for line in page.locator(".broke .here").all_text_contents()]


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run tests that fail, and return the folder of their traces."""
    folder = tmp_path_factory.mktemp("traced")
    (folder / "test_bot.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p asyncio -p mockstream"}
    command = [sys.executable, "-m", "pytest", "-q", "--mockstream-trace=failed", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert "3 traces in mockstream-trace" in done.stdout, done.stdout
    return folder / "mockstream-trace"


def test_leak_is_told_where_it_was_made_and_where_it_waits(show: Show, traces: Path) -> None:
    page = show(traces / "test_bot.py-test_leak.html")

    assert "'pump'" in page.locator(".broke h2").inner_text()
    assert lines(page) == [
        'asyncio.create_task(pump(mock_stream_client, queue), name="pump")',
        "await queue.put(chunk.delta)",
    ]
    assert page.locator(".lane:has([aria-current]) .badge").inner_text().endswith("leaked")


def test_stream_that_was_cancelled_has_its_text_and_the_assertion_that_failed(show: Show, traces: Path) -> None:
    page = show(traces / "test_bot.py-test_cancelled.html")

    assert page.locator(".broke h2").inner_text().startswith("AssertionError: assert 'c")
    assert lines(page) == ['assert mock_stream_client.requests[0].state == "exhausted"']
    assert page.locator(".said").all_text_contents() == ["Paris is "]


def test_sweep_of_faults_shows_the_bad_ones_and_each_ones_lanes(show: Show, traces: Path) -> None:
    page = show(traces / "test_bot.py-test_faults.html")

    bad = page.locator(".cell.is-bad")
    assert bad.count() > 0
    bad.last.click()
    assert page.locator(".broke .badge").first.inner_text().endswith("failed")
    assert page.locator(".alone pre").inner_text()
    assert page.locator(".lane[data-lane]").count() > 0
