"""A test is recorded against a real server by the real SDK, and plays its file ever after."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_mockstream import Disconnect, HTTPError, MockStreamServer, Recording, Script, Text, ToolCall

BOT = """
import openai
import pytest

def ask(text, **more):
    client = openai.OpenAI(max_retries=0)
    messages = [{"role": "user", "content": text}]
    stream = client.chat.completions.create(model="gpt-5", messages=messages, stream=True, **more)
    with stream:
        return [chunk.choices[0].delta.content for chunk in stream if chunk.choices and chunk.choices[0].delta.content]
"""
Run = Callable[..., pytest.RunResult]


@pytest.fixture
def provider() -> Iterator[MockStreamServer]:
    """Where the recorded test thinks that the real provider is."""
    with MockStreamServer() as server:
        yield server


@pytest.fixture
def run(
    pytester: pytest.Pytester, provider: MockStreamServer, monkeypatch: pytest.MonkeyPatch, lean_pytest: None
) -> Run:
    """Runs tests that ask the provider."""
    for name, value in provider.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real-0123456789abcdefghijklmnop")
    monkeypatch.delenv("CI", raising=False)

    def run(*options: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess("-p", "asyncio", "-p", "mockstream", *options)

    return run


def test_recorded_once_and_played_for_ever(run: Run, pytester: pytest.Pytester, provider: MockStreamServer) -> None:
    pytester.makepyfile(
        test_bot=f"""{BOT}
@pytest.mark.mockstream_recorded
def test_paris(mock_stream_sdk):
    assert ask("What is the capital of France?") == ["Par", "is."]
"""
    )
    provider.respond("Par", "is.")

    run("--mockstream-record=missing").assert_outcomes(passed=1)

    path = pytester.path / "streams" / "test_bot" / "test_paris.toml"
    recorded = tomllib.loads(path.read_text())
    assert recorded["script"][0]["steps"] == [{"text": ["Par", "is."]}]
    assert recorded["recording"]["models"] == ["gpt-5"]
    assert "sk-real" not in path.read_text()
    provider.stop()
    run().assert_outcomes(passed=1)
    run("--mockstream-record=missing").assert_outcomes(passed=1)


def test_without_a_recording_no_request_goes_out(
    run: Run, pytester: pytest.Pytester, provider: MockStreamServer
) -> None:
    pytester.makepyfile(
        test_bot=f"""{BOT}
@pytest.mark.mockstream_recorded
def test_paris(mock_stream_sdk):
    ask("hi")
"""
    )

    result = run()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*RecordingError: streams/test_bot/test_paris.toml is not there: record it with *"])
    assert provider.requests == []


def test_request_that_was_not_recorded_shows_the_nearest_one(
    run: Run, pytester: pytest.Pytester, provider: MockStreamServer
) -> None:
    test = f"""{BOT}
@pytest.mark.mockstream_recorded
def test_paris(mock_stream_sdk):
    ask("What is the capital of QUESTION?")
"""
    provider.respond("Paris")
    pytester.makepyfile(test_bot=test.replace("QUESTION", "France"))
    run("--mockstream-record=missing").assert_outcomes(passed=1)
    pytester.makepyfile(test_bot=test.replace("QUESTION", "Spain"))

    result = run()

    result.stdout.fnmatch_lines(["*The nearest recording is at *test_paris.toml:*", "*France*", "*Spain*"])
    assert len(provider.requests) == 1


def test_test_that_fails_writes_nothing(run: Run, pytester: pytest.Pytester, provider: MockStreamServer) -> None:
    pytester.makepyfile(
        test_bot=f"""{BOT}
@pytest.mark.mockstream_recorded
def test_paris(mock_stream_sdk):
    ask("hi")
    assert False
"""
    )

    run("--mockstream-record=all").assert_outcomes(failed=1)

    assert not (pytester.path / "streams").exists()


@pytest.mark.slow
def test_faults_and_retries_are_recorded_in_their_places(
    run: Run, pytester: pytest.Pytester, provider: MockStreamServer
) -> None:
    pytester.makepyfile(
        test_bot=f"""{BOT}
@pytest.mark.mockstream_recorded
def test_retries(mock_stream_sdk):
    with pytest.raises(openai.RateLimitError) as caught:
        ask("hi")
    assert caught.value.response.headers["retry-after"] == "2"
    with pytest.raises(openai.APIConnectionError):
        ask("hi")
    assert ask("hi") == ["Hello"]
"""
    )
    provider.respond(HTTPError(429, retry_after=2, message="slow down"))
    provider.respond("Hel", Disconnect())
    provider.respond("Hello")
    run("--mockstream-record=missing").assert_outcomes(passed=1)
    provider.stop()

    run().assert_outcomes(passed=1)

    recording = Recording.load(pytester.path / "streams" / "test_bot" / "test_retries.toml")
    kinds = [type(reply.script.steps[-1]).__name__ for reply in recording.replies]
    assert kinds == ["HTTPError", "Disconnect", "Text"]


@pytest.mark.slow
def test_tool_calls_come_back_fragment_by_fragment(
    run: Run, pytester: pytest.Pytester, provider: MockStreamServer
) -> None:
    pytester.makepyfile(
        test_bot=f"""{BOT}
@pytest.mark.mockstream_recorded
def test_tool(mock_stream_sdk):
    client = openai.OpenAI()
    messages = [{{"role": "user", "content": "weather?"}}]
    with client.chat.completions.create(model="m", messages=messages, stream=True) as stream:
        deltas = [chunk.choices[0].delta for chunk in stream if chunk.choices]
        calls = [delta.tool_calls[0] for delta in deltas if delta.tool_calls]
    assert [call.function.arguments for call in calls] == ["", '{{"city":', '"Paris"}}']
    assert calls[0].id == "call_x"
"""
    )
    provider.respond(ToolCall("get_weather", fragments=["", '{"city":', '"Paris"}'], id="call_x"))
    run("--mockstream-record=missing").assert_outcomes(passed=1)
    provider.stop()

    run().assert_outcomes(passed=1)


def test_recording_is_refused_in_ci_unless_the_command_line_asks(
    run: Run, pytester: pytest.Pytester, provider: MockStreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    pytester.makepyfile(
        test_bot=f"""{BOT}
@pytest.mark.mockstream_recorded
def test_paris(mock_stream_sdk):
    ask("hi")
"""
    )
    provider.respond("Hello")

    refused = run("-o", "mockstream_record=missing")

    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*mockstream_record='missing' is refused where CI is set*"])
    assert provider.requests == []
    run("--mockstream-record=missing").assert_outcomes(passed=1)


@pytest.mark.slow
def test_speed_plays_the_gaps(run: Run, pytester: pytest.Pytester, provider: MockStreamServer) -> None:
    test = f"""{BOT}
import time
@pytest.mark.mockstream_recorded(speed=SPEED)
def test_paris(mock_stream_sdk):
    before = time.perf_counter()
    ask("hi")
    mock_stream_sdk.took = time.perf_counter() - before
    assert mock_stream_sdk.took >= LEAST
"""
    pytester.makepyfile(test_bot=test.replace("SPEED", "1").replace("LEAST", "0.4"))
    provider.respond("one ", "two ", delay=0.2)
    run("--mockstream-record=missing").assert_outcomes(passed=1)

    run().assert_outcomes(passed=1)

    path: Path = pytester.path / "streams" / "test_bot" / "test_paris.toml"
    assert sum(Recording.load(path).replies[0].gaps) >= 0.4


def test_check_tells_what_the_provider_says_now(
    run: Run, pytester: pytest.Pytester, provider: MockStreamServer
) -> None:
    pytester.makepyfile(
        test_bot=f"""{BOT}
@pytest.mark.mockstream_recorded
def test_paris(mock_stream_sdk):
    ask("hi")
"""
    )
    provider.respond("Hello", times=2)
    run("--mockstream-record=missing").assert_outcomes(passed=1)
    before = (pytester.path / "streams" / "test_bot" / "test_paris.toml").read_text()
    run("--mockstream-record=check").assert_outcomes(passed=1)
    provider.respond(ToolCall("f", {"a": 1}))

    changed = run("--mockstream-record=check")

    changed.assert_outcomes(passed=1, errors=1)
    changed.stdout.fnmatch_lines(["*new field choices*.delta.tool_calls*"])
    assert (pytester.path / "streams" / "test_bot" / "test_paris.toml").read_text() == before


@pytest.mark.slow
def test_the_server_records_and_plays_too(run: Run, pytester: pytest.Pytester, provider: MockStreamServer) -> None:
    pytester.makepyfile(
        test_bot=f"""{BOT}
@pytest.mark.mockstream_recorded
def test_paris(mock_stream_server):
    assert ask("What is the capital of France?") == ["Par", "is."]
"""
    )
    provider.respond("Par", "is.")
    run("--mockstream-record=missing").assert_outcomes(passed=1)
    assert len(provider.requests) == 1
    provider.stop()

    run().assert_outcomes(passed=1)


MODULE = f"""{BOT}
@pytest.mark.mockstream_recorded
def test_one(mock_stream_sdk):
    ask("one")

@pytest.mark.mockstream_recorded("streams/test_bot/test_one.toml")
def test_two(mock_stream_sdk):
    ask("two")

@pytest.mark.mockstream_recorded("../outside.toml")
def test_outside(mock_stream_sdk):
    ask("three")

@pytest.mark.mockstream_recorded
@pytest.mark.parametrize("name", ["a/b", "ü" * 200])
def test_names(mock_stream_sdk, name):
    ask("four")
"""


def test_files_have_one_owner_and_stay_inside(run: Run, pytester: pytest.Pytester, provider: MockStreamServer) -> None:
    pytester.makepyfile(test_bot=MODULE)

    result = run("--mockstream-record=missing")

    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines_random(
        [
            "*RecordingError: streams/test_bot/test_one.toml is the recording of test_bot.py::test_one: two*",
            "*RecordingError: */outside.toml is outside of *",
        ]
    )
    assert [request.text for request in provider.requests] == ["one", "four", "four"]
    names = sorted(path.name for path in (pytester.path / "streams" / "test_bot").iterdir())
    assert len(names) == 3
    assert all(name.isascii() and name.endswith(".toml") and len(name) < 150 for name in names)
    result.stdout.fnmatch_lines(["*= recordings =*", "streams/test_bot/test_names*.toml*"])


def test_hook_takes_out_what_only_the_user_knows(
    run: Run, pytester: pytest.Pytester, provider: MockStreamServer
) -> None:
    pytester.makeconftest(
        """
def pytest_mockstream_scrub(recording):
    for reply in recording.replies:
        reply.frames = ()
        reply.when = {"contains": "hi"}
        reply.key = reply.request = None
"""
    )
    pytester.makepyfile(
        test_bot=f"""{BOT}
@pytest.mark.mockstream_recorded(frames=True)
def test_paris(mock_stream_sdk):
    assert ask("hi, it is Ada Lovelace") == ["Hel", "lo"]
"""
    )
    provider.respond("Hel", "lo")
    run("--mockstream-record=all").assert_outcomes(passed=1)

    text = (pytester.path / "streams" / "test_bot" / "test_paris.toml").read_text()

    assert "Lovelace" not in text
    assert "frames" not in text
    run().assert_outcomes(passed=1)


@pytest.mark.slow
def test_only_marked_tests_are_checked_and_a_broken_file_is_recorded_anew(
    run: Run, pytester: pytest.Pytester, provider: MockStreamServer
) -> None:
    pytester.makepyfile(
        test_bot=f"""{BOT}
@pytest.mark.mockstream_recorded
def test_marked(mock_stream_sdk):
    ask("hi")

def test_scripted(mock_stream_sdk):
    mock_stream_sdk.respond("scripted")
    client = openai.OpenAI(base_url="https://api.openai.com/v1")
    assert client.responses.create(model="m", input="hi").output_text == "scripted"
"""
    )
    path = pytester.path / "streams" / "test_bot" / "test_marked.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[[script]]\nsteps = ["half')
    broken = run()
    broken.assert_outcomes(passed=1, errors=1)
    broken.stdout.fnmatch_lines(["*streams/test_bot/test_marked.toml: this is not TOML: *"])
    provider.respond("Hello", times=2)

    run("--mockstream-record=all").assert_outcomes(passed=2)

    assert [file.name for file in path.parent.iterdir()] == [path.name]
    run("--mockstream-record=check").assert_outcomes(passed=2)
    assert len(provider.requests) == 2


@pytest.mark.slow
def test_what_nobody_asks_for_any_more_is_told_while_it_is_recorded(
    run: Run, pytester: pytest.Pytester, provider: MockStreamServer
) -> None:
    test = f"""{BOT}
@pytest.mark.mockstream_recorded
def test_paris(mock_stream_sdk):
    ask("QUESTION")
"""
    pytester.makepyfile(test_bot=test.replace("QUESTION", "one"))
    run("--mockstream-record=missing").assert_outcomes(passed=1)
    pytester.makepyfile(test_bot=test.replace("QUESTION", "two"))

    result = run("--mockstream-record=missing")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["no request of test_bot.py::test_paris asked for *test_paris.toml:*-record=all leaves*"]
    )
    run().stdout.fnmatch_lines(["*--mockstream-record=all records the test anew*"])
    run("--mockstream-record=all").assert_outcomes(passed=1)
    run().assert_outcomes(passed=1)


def test_rest_of_an_answer_is_recorded_whose_async_reader_stopped(
    run: Run, pytester: pytest.Pytester, provider: MockStreamServer
) -> None:
    pytester.makepyfile(
        test_bot="""
import openai
import pytest

@pytest.mark.asyncio
@pytest.mark.mockstream_recorded
async def test_stops(mock_stream_sdk):
    messages = [{"role": "user", "content": "hi"}]
    async with openai.AsyncOpenAI() as client:
        async with await client.chat.completions.create(model="m", messages=messages, stream=True) as stream:
            async for chunk in stream:
                if chunk.choices[0].delta.content:
                    break
"""
    )
    provider.respond("one ", "two ", "three", delay=0.05)

    run("--mockstream-record=missing").assert_outcomes(passed=1)

    (reply,) = Recording.load(pytester.path / "streams" / "test_bot" / "test_stops.toml").replies
    assert reply.script == Script(Text(["one ", "two ", "three"]), usage=reply.script.usage, times=reply.script.times)
    assert reply.left_after == 1
