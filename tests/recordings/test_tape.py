"""A tape lets through what no script answers, plays what was recorded, and tells what differs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from pytest_mockstream import (
    MockStreamClient,
    MockStreamSDK,
    MockStreamServer,
    Recording,
    RecordingError,
    Script,
    ToolCall,
    UnexpectedRequestError,
    UnusedScriptError,
)
from pytest_mockstream.recordings import MODES, Mode, RecordedReply, Tape


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[MockStreamServer]:
    """Where code under test thinks that the provider is."""
    with MockStreamServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


def ask(text: str, **more: Any) -> str:
    with openai.OpenAI(max_retries=0) as client:
        said = client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}], **more)
        return said.choices[0].message.content or ""


def recorded(*asked: str, provider: MockStreamServer) -> Recording:
    """Return a recording of these questions, each answered by itself."""
    for text in asked:
        provider.when(contains=text).respond(f"to {text}")
    tape = Tape("all")
    with MockStreamSDK(recordings=tape) as sdk:
        tape.play_at(sdk._playbook)
        for text in asked:
            ask(text)
    return tape.recording()


def replay(recording: Recording, **options: Any) -> MockStreamSDK:
    sdk = MockStreamSDK()
    Tape("none", recording, **options).play_at(sdk._playbook)
    return sdk


def test_scripts_are_played_in_every_mode(provider: MockStreamServer) -> None:
    for mode in MODES:
        tape = Tape(mode)
        with MockStreamSDK(recordings=tape) as sdk:
            tape.play_at(sdk._playbook)
            sdk.respond("scripted")
            assert ask("hi") == "scripted"

        assert not tape.has_recorded
    assert provider.requests == []


@pytest.mark.parametrize("mode", ["missing", "all", "check"])
def test_what_no_script_answers_goes_to_the_provider(provider: MockStreamServer, mode: Mode) -> None:
    provider.respond("live")
    tape = Tape(mode)
    with MockStreamSDK(recordings=tape) as sdk:
        tape.play_at(sdk._playbook)
        assert ask("hi") == "live"
        assert [request.state for request in sdk.requests] == ["exhausted"]


def test_recordings_answer_in_any_order_and_the_same_ones_in_theirs(provider: MockStreamServer) -> None:
    recording = recorded("one", "two", provider=provider)
    recording.replies.append(recording.replies[0])
    recording.replies[2] = type(recording.replies[0])(**{**vars(recording.replies[0]), "script": Script("again")})

    with replay(recording) as sdk:
        assert [ask(text) for text in ("two", "one", "one")] == ["to two", "to one", "again"]
        sdk.verify()


def test_recording_that_nobody_asked_for_fails(provider: MockStreamServer) -> None:
    with replay(recorded("one", "two", provider=provider)) as sdk:
        ask("one")
        with pytest.raises(UnusedScriptError):
            sdk.verify()


def test_miss_shows_the_nearest_and_never_goes_out(provider: MockStreamServer) -> None:
    recording = recorded("the capital of France", "a poem", provider=provider)
    count = len(provider.requests)

    with replay(recording) as sdk:
        with pytest.raises(openai.BadRequestError):
            ask("the capital of Spain")
        with pytest.raises(UnexpectedRequestError) as caught:
            sdk.verify()

    told = str(caught.value)
    assert "The nearest recording is at" in told
    assert "France" in told
    assert "Spain" in told
    assert len(provider.requests) == count


def test_match_narrows_by_fields_or_by_a_function(provider: MockStreamServer) -> None:
    recording = recorded("one", provider=provider)

    with replay(recording, match=["messages[-1].content"]):
        assert ask("one", temperature=0.5) == "to one"
    with replay(recording, match=lambda request: request["messages"][0]["role"]):
        assert ask("two") == "to one"


def test_client_plays_a_recording_that_an_sdk_made(provider: MockStreamServer, tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    recorded("one", provider=provider).save(path)
    client = MockStreamClient()
    client.load(path)

    assert client.complete("one").content == "to one"
    client.verify()


def test_secrets_of_the_environment_are_in_no_recording(
    provider: MockStreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_DATABASE_PASSWORD", "correct-horse-battery")
    provider.respond("the word is correct-", "horse-", "battery")
    tape = Tape("all", frames=True)
    with MockStreamSDK(recordings=tape) as sdk:
        tape.play_at(sdk._playbook)
        assert "correct-horse-battery" in ask("what is correct-horse-battery?")

    recording = tape.recording()
    text = recording.text

    assert recording.replies[0].frames == ()
    assert "the frames as they came: a secret was in them" in recording.replies[0].lost
    assert "correct-horse" not in text
    assert "battery" not in text


def test_threads_and_tasks_that_ask_at_once_are_all_recorded_and_played(provider: MockStreamServer) -> None:
    questions = [f"question {number:02}" for number in range(20)]
    for text in questions:
        provider.when(contains=text).respond(f"to {text}")
    tape = Tape("all")
    with MockStreamSDK(recordings=tape) as sdk:
        tape.play_at(sdk._playbook)
        threads = [threading.Thread(target=ask, args=(text,)) for text in questions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    async def all_of_them() -> list[str]:
        async with openai.AsyncOpenAI(max_retries=0) as client:

            async def one(text: str) -> str:
                said = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
                return said.choices[0].message.content or ""

            return await asyncio.gather(*map(one, reversed(questions)))

    with replay(tape.recording()) as sdk:
        assert asyncio.run(all_of_them()) == [f"to {text}" for text in reversed(questions)]
        sdk.verify()


def test_frames_are_kept_as_they_came(provider: MockStreamServer) -> None:
    provider.respond("live")
    tape = Tape("all", frames=True)
    with MockStreamSDK(recordings=tape) as sdk:
        tape.play_at(sdk._playbook)
        ask("hi")

    (frame,) = tape.recording().replies[0].frames
    assert json.loads(frame)["choices"][0]["message"]["content"] == "live"


def test_short_password_that_stands_alone_is_refused(
    provider: MockStreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "tiger")
    provider.respond(ToolCall("login", {"word": "tiger"}))
    tape = Tape("all")
    with MockStreamSDK(recordings=tape) as sdk:
        tape.play_at(sdk._playbook)
        ask("hi")

    with pytest.raises(RecordingError, match=r"script 1, steps.*DB_PASSWORD"):
        tape.refuse_doubts(tape.recording())


def test_loaded_recording_is_played_as_often_as_it_is_asked_for(provider: MockStreamServer, tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    recording = recorded("one", "two", provider=provider)
    recording.replies.append(RecordedReply(**{**vars(recording.replies[0]), "script": Script("again")}))
    recording.save(path)

    with MockStreamSDK(intercept=[provider.url.removeprefix("http://")]) as sdk:
        sdk.load(path)
        assert [ask("one") for _ in range(4)] == ["to one", "again", "again", "again"]
        sdk.verify()


def test_turns_are_told_apart_where_keys_are_taken_out(provider: MockStreamServer, tmp_path: Path) -> None:
    tools: Any = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    provider.when(turn=1).respond(ToolCall("f", {}))
    provider.when(turn=2).respond("done")
    tape = Tape("all")
    with MockStreamSDK(recordings=tape) as sdk:
        tape.play_at(sdk._playbook)
        loop(tools)
    recording = tape.recording()
    for reply in recording.replies:
        reply.key = reply.request = None

    with replay(recording) as sdk:
        assert loop(tools) == "done"
        sdk.verify()


def loop(tools: Any) -> str:
    """Ask, and go on until the model calls no tool."""
    messages: Any = [{"role": "user", "content": "go"}]
    with openai.OpenAI(max_retries=0) as client:
        while True:
            said = client.chat.completions.create(model="m", messages=messages, tools=tools).choices[0].message
            if not said.tool_calls:
                return said.content or ""
            messages += [said, {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": "1"}]


def test_request_that_a_hook_changes_gets_its_key_anew(provider: MockStreamServer) -> None:
    recording = recorded("one", provider=provider)
    recording.replies[0].request = {**(recording.replies[0].request or {}), "model": "hidden"}

    Tape("all").renew_keys(recording)

    replay(recording)  # which refuses a key that is not of its request
