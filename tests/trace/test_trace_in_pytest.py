"""What a recorder sees of tests that pytest runs: swept by a marker, async, with fixtures."""

from __future__ import annotations

import json

import pytest
from traced import check

pytestmark = pytest.mark.usefixtures("lean_pytest")
PLUGINS = ("-p", "asyncio", "-p", "mockstream")
CONFTEST = """
import json
import pytest
from pytest_mockstream.trace import Recorder

recorder = Recorder()

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    recorder.start()
    try:
        result = yield
        attempt = recorder.attempt(outcome="failed", duration=0.0)
        with open(f"{item.name}.json", "w") as file:
            json.dump(attempt, file)
        return result
    finally:
        recorder.stop()

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item):
    with recorder.phase("test", "call"):
        return (yield)
"""


def test_sweeps_of_markers_and_async_tests_are_shown(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        import asyncio
        import pytest
        from pytest_mockstream import Disconnect, StreamDisconnected

        async def chat(client):
            try:
                async with client.complete_stream("Tell me") as stream:
                    return await stream.aread()
            except StreamDisconnected:
                return ""

        @pytest.mark.mockstream_sweep("cancel")
        async def test_cancel(mock_stream_client):
            mock_stream_client.respond("one ", "two")
            await chat(mock_stream_client)

        @pytest.mark.mockstream_sweep("faults", faults=[Disconnect])
        async def test_faults(mock_stream_client):
            mock_stream_client.respond("one ", "two")
            await chat(mock_stream_client)

        @pytest.mark.mockstream_sweep("faults", faults=[Disconnect])
        def test_threads(mock_stream_client):
            mock_stream_client.respond("one ", "two")
            with mock_stream_client.complete_stream("Tell me") as stream:
                stream.read()

        @pytest.mark.mockstream_sweep("orders")
        async def test_orders(mock_stream_client):
            mock_stream_client.respond("one ", "two", times=2)
            await asyncio.gather(chat(mock_stream_client), chat(mock_stream_client))

        async def test_plain(mock_stream_client):
            mock_stream_client.respond("one ", "two")
            task = asyncio.create_task(chat(mock_stream_client), name="chat")
            await task
        """
    )
    pytester.runpytest_subprocess(*PLUGINS, "--asyncio-mode=auto")

    told = {path.stem: json.loads(path.read_text()) for path in pytester.path.glob("*.json")}
    for attempt in told.values():
        for run in attempt["runs"]:
            check(run)
    kinds = {name: attempt["sweep"]["kind"] for name, attempt in told.items() if "sweep" in attempt}
    assert kinds == {
        "test_cancel": "cancel",
        "test_faults": "faults",
        "test_threads": "threads",
        "test_orders": "orders",
    }
    names = {name: [run["name"] for run in attempt["runs"]] for name, attempt in told.items()}
    assert names["test_cancel"][:2] == ["the first run, which is not cancelled", names["test_cancel"][1]]
    assert names["test_cancel"][1].startswith("point 1: cancelled at test_")
    assert [run["outcome"] for run in told["test_faults"]["runs"]] == ["passed", "failed", "failed", "failed"]
    assert names["test_threads"][1].startswith("point 1: Disconnect before chunk 1 of answer 1 at ")
    assert names["test_orders"][:2] == ["the first run, in which everything comes by default", "order 1"]
    assert names["test_plain"] == [""]
    lanes = {lane["kind"]: lane for lane in told["test_plain"]["runs"][0]["lanes"]}
    assert [*lanes] == ["test", "task", "request"]
    assert lanes["task"]["parent"] == lanes["test"]["id"]
    assert lanes["request"]["parent"] == lanes["task"]["id"]


def test_run_without_a_trace_loads_nothing_of_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import sys

        async def test_it(mock_stream_client, mock_stream_sdk):
            mock_stream_client.complete_stream("hi").read()
            assert "pytest_mockstream.trace" not in sys.modules
        """
    )

    pytester.runpytest_subprocess(*PLUGINS, "--asyncio-mode=auto").assert_outcomes(passed=1)
