"""A test is recorded through ``mock_stream_server``: clients in other processes, that leave, and that forget to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pytest_mockstream import Disconnect, Gate, MockStreamServer, Recording, Text

HEAD = """
import os
import subprocess
import sys

import openai
import pytest

PROGRAM = '''
import openai
messages = [{"role": "user", "content": "hi"}]
with openai.OpenAI(max_retries=0) as client:
    stream = client.chat.completions.create(model="gpt-5", messages=messages, stream=True)
    for chunk in stream:
        print(chunk.choices[0].delta.content or "", end="")
'''

def opened():
    client = openai.OpenAI(max_retries=0)
    messages = [{"role": "user", "content": "hi"}]
    return client.chat.completions.create(model="gpt-5", messages=messages, stream=True)
"""
Run = Callable[..., pytest.RunResult]


@pytest.fixture
def provider() -> Iterator[MockStreamServer]:
    with MockStreamServer() as server:
        yield server


@pytest.fixture
def run(
    pytester: pytest.Pytester, provider: MockStreamServer, monkeypatch: pytest.MonkeyPatch, lean_pytest: None
) -> Run:
    """Runs a test that finds the provider by a name in its environment."""
    monkeypatch.setenv("OPENAI_BASE_URL", provider.base_url("openai").replace("127.0.0.1", "localhost"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real-0123456789abcdefghijklmnop")
    monkeypatch.delenv("CI", raising=False)

    def run(test: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_bot=HEAD + test)
        return pytester.runpytest_subprocess("-p", "asyncio", "-p", "mockstream", *options)

    return run


def recorded(pytester: pytest.Pytester) -> Recording:
    return Recording.load(pytester.path / "streams" / "test_bot" / "test_it.toml")


@pytest.mark.slow
def test_a_program_is_recorded_and_played(run: Run, pytester: pytest.Pytester, provider: MockStreamServer) -> None:
    test = """
@pytest.mark.mockstream_recorded
def test_it(mock_stream_server):
    for expected in ("Hello from afar", "Hello"):
        run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
        assert run.stdout == expected
        assert ("APIConnectionError" in run.stderr) == (expected == "Hello")
"""
    provider.respond("Hello from afar")
    provider.respond("Hello", Disconnect())

    run(test, "--mockstream-record=missing").assert_outcomes(passed=1)
    assert provider.requests[0].headers["authorization"] != ""
    provider.stop()

    run(test).assert_outcomes(passed=1)
    whole, broken = recorded(pytester).replies
    assert whole.script.steps == (Text(["Hello ", "from ", "afar"]),)
    assert broken.script.steps == (Text(["Hello"]), Disconnect())


@pytest.mark.slow
def test_a_client_that_leaves_does_not_cut_the_recording(
    run: Run, pytester: pytest.Pytester, provider: MockStreamServer
) -> None:
    test = """
@pytest.mark.mockstream_recorded
def test_it(mock_stream_server):
    with opened() as stream:
        assert next(stream).choices[0].delta.content == ""
        assert next(stream).choices[0].delta.content == "one "
    mock_stream_server.requests[0].assert_closed()
"""
    provider.respond("one ", "two ", "three", delay=0.05)

    run(test, "--mockstream-record=missing").assert_outcomes(passed=1)

    [reply] = recorded(pytester).replies
    assert reply.script.steps == (Text(["one ", "two ", "three"]),)
    assert reply.left_after == 1
    run(test).assert_outcomes(passed=1)


def test_a_live_stream_that_is_left_open_is_a_leak(
    run: Run, provider: MockStreamServer, pytester: pytest.Pytester
) -> None:
    test = """
LEFT = []

@pytest.mark.mockstream_recorded
def test_it(mock_stream_server):
    LEFT.append(opened())
"""
    provider.respond("one ", Gate())

    result = run(test, "--mockstream-record=missing")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*LeakError: *left 1 thing running*", "  stream 'openai /v1/chat/completions (request 1)'"]
    )
    assert not list(pytester.path.glob("streams/**/*"))
