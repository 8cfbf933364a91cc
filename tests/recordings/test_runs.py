"""Recordings beside other plugins, and in runs that end otherwise: in workers, run again, skipped, failed, killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from pytest_mockstream import Gate, MockStreamServer, Recording, Text

BOT = """
import openai
import pytest

pytestmark = pytest.mark.mockstream_recorded

def ask(text):
    with openai.OpenAI(max_retries=0) as client:
        reply = client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": text}])
    return reply.choices[0].message.content
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
    """Runs tests that ask the provider."""
    for name, value in provider.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CI", raising=False)

    def run(test: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_bot=BOT + test)
        return pytester.runpytest_subprocess("-p", "asyncio", "-p", "mockstream", *options)

    return run


def files(pytester: pytest.Pytester) -> list[str]:
    return sorted(path.name for path in (pytester.path / "streams").rglob("*") if path.is_file())


MANY = """
@pytest.mark.parametrize("number", range(8))
def test_it(mock_stream_sdk, number):
    assert ask(f"say {number}") == f"said {number}"
"""


@pytest.mark.slow
def test_workers_record_and_play(run: Run, pytester: pytest.Pytester, provider: MockStreamServer) -> None:
    for number in range(8):
        provider.when(contains=f"say {number}").respond(f"said {number}")

    recorded = run(MANY, "-p", "xdist", "-n2", "--mockstream-record=missing")

    recorded.assert_outcomes(passed=8)
    assert files(pytester) == [f"test_it[{number}].toml" for number in range(8)]
    recorded.stdout.fnmatch_lines_random([f"streams/test_bot/test_it?{number}?.toml" for number in range(8)])
    provider.stop()
    run(MANY, "-p", "xdist", "-n2").assert_outcomes(passed=8)


def test_run_again_writes_what_passed(run: Run, pytester: pytest.Pytester, provider: MockStreamServer) -> None:
    provider.respond("wrong")
    provider.respond("right")
    test = """
def test_it(mock_stream_sdk):
    assert ask("hi") == "right"
"""

    result = run(test, "-p", "pytest_rerunfailures", "--reruns=1", "--mockstream-record=missing")

    result.stdout.fnmatch_lines(["*1 passed, 1 rerun*"])
    (reply,) = Recording.load(pytester.path / "streams" / "test_bot" / "test_it.toml").replies
    assert reply.script.steps == (Text(["right"]),)
    provider.stop()
    run(test).assert_outcomes(passed=1)


OTHERWISE = """
def test_skipped(mock_stream_sdk):
    ask("hi")
    pytest.skip("not today")

@pytest.mark.xfail
def test_xfailed(mock_stream_sdk):
    ask("hi")
    assert False

@pytest.mark.xfail(strict=True)
def test_xpassed_strictly(mock_stream_sdk):
    ask("hi")

@pytest.fixture
def broken():
    yield
    assert False

def test_teardown_fails(broken, mock_stream_sdk):
    ask("hi")

def test_other_teardown_fails(mock_stream_sdk, broken):
    ask("hi")
"""


def test_test_that_did_not_pass_writes_nothing(run: Run, pytester: pytest.Pytester, provider: MockStreamServer) -> None:
    result = run(OTHERWISE, "--mockstream-record=all")

    result.assert_outcomes(skipped=1, xfailed=1, failed=1, passed=2, errors=2)
    assert len(provider.requests) == 5
    assert not (pytester.path / "streams").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_while_a_reply_comes_leaves_the_old_file(
    run: Run, pytester: pytest.Pytester, provider: MockStreamServer
) -> None:
    test = """
def test_it(mock_stream_sdk):
    ask("hi")
"""
    provider.respond("old")
    run(test, "--mockstream-record=all").assert_outcomes(passed=1)
    path = pytester.path / "streams" / "test_bot" / "test_it.toml"
    old = path.read_bytes()
    gate = Gate()
    provider.respond("new", gate)

    command = [sys.executable, "-m", "pytest", "-p", "asyncio", "-p", "mockstream", "--mockstream-record=all"]
    process = subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    gate.wait_reached(60)
    process.send_signal(signal.SIGKILL)
    process.wait(30)

    assert process.returncode == -signal.SIGKILL
    assert path.read_bytes() == old
    assert files(pytester) == ["test_it.toml"]
