"""The real SDKs, recorded: what they hear is what they hear without, and it is all in the recording."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from recorder import Recorder, Taken
from sdk_streams import ASYNC, SYNC
from sdk_talks import LITELLM_WARNS, TALKS, Said, Talk, is_installed

from pytest_mockstream import Gate, MockStreamSDK, ToolCall, sweep_cancellation
from pytest_mockstream._base.collector import collect
from pytest_mockstream.doors.server import MockStreamServer

pytestmark = [
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),  # google-genai
    *LITELLM_WARNS,
]


def each(things: Iterable[Any], *always: str) -> list[Any]:
    """Return what a test is for, all but a few of them for those who have the time."""
    return [
        pytest.param(thing, id=str(thing), marks=() if str(thing) in always else pytest.mark.slow) for thing in things
    ]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[MockStreamServer]:
    with MockStreamServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


async def over(taken: Taken) -> Taken:
    assert await asyncio.to_thread(taken.is_over.wait, 60)
    return taken


@pytest.mark.parametrize("talk", each(TALKS, "openai chat", "anthropic", "google-genai", "google-genai sync", "ollama"))
async def test_sdk_hears_what_it_hears_without(provider: MockStreamServer, talk: Talk) -> None:
    recorder = Recorder()
    provider.respond("Hello ", "there", times=2)
    without = await talk.ask()

    with MockStreamSDK(recordings=recorder) as sdk:
        recorded = await talk.ask()
        (request,) = sdk.requests

    assert recorded == without == Said("Hello there", without.finish)
    taken = await over(recorder.only)
    assert taken.ending == "end"
    assert b"Hello" in taken.body
    assert b"there" in taken.body
    assert request.state in {"exhausted", "closed"}
    assert provider.requests[1].state == "exhausted"


@pytest.mark.parametrize("name", each(ASYNC, "openai chat", "google-genai", "ollama"))
async def test_rest_is_read_of_what_an_sdk_leaves(provider: MockStreamServer, name: str) -> None:
    recorder, gate = Recorder(), Gate()
    provider.respond("Hello ", gate, "there")

    with MockStreamSDK(recordings=recorder) as sdk:
        opened = await ASYNC[name]()
        async for _ in opened.stream:
            break
        await opened.close()
        await opened.close_client()
        (request,) = sdk.requests
        async with asyncio.timeout(60):  # what generators hold inside of generators is closed by and by
            await request.wait_closed()
        assert request.state == "closed"
        gate.open()
        taken = await over(recorder.only)
    del opened
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):  # google-genai drops its connection
        collect()

    assert b"there" in taken.body
    assert taken.ending == "end"


@pytest.mark.parametrize("name", each(SYNC, "openai chat"))
def test_rest_is_read_of_what_a_sync_sdk_leaves(provider: MockStreamServer, name: str) -> None:
    recorder, gate = Recorder(), Gate()
    provider.respond("Hello ", gate, "there")

    with MockStreamSDK(recordings=recorder) as sdk:
        opened = SYNC[name]()
        for _ in opened.stream:
            break
        opened.close()
        opened.close_client()
        (request,) = sdk.requests
        assert request.state == "closed"
        gate.open()

    assert b"there" in recorder.only.body
    assert recorder.only.ending == "end"


@pytest.mark.skipif(not is_installed("boto3"), reason="boto3 is not installed")
@pytest.mark.parametrize("leaves", [False, True], ids=["reads all", "leaves"])
def test_boto3_is_recorded(provider: MockStreamServer, leaves: bool) -> None:
    import boto3

    recorder = Recorder()
    provider.respond("Hello ", ToolCall("get_weather", {"city": "Paris"}))
    heard = ""

    with MockStreamSDK(recordings=recorder) as sdk:
        client = boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=provider.url)
        with closing(client):
            messages = [{"role": "user", "content": [{"text": "hi"}]}]
            reply = client.converse_stream(modelId="anthropic.claude-sonnet-4", messages=messages)
            with closing(reply["stream"]) as stream:
                for event in stream:
                    heard += event.get("contentBlockDelta", {}).get("delta", {}).get("text", "")
                    if leaves and heard:
                        break
        (request,) = sdk.requests

    assert heard == "Hello "
    assert request.provider == "bedrock"
    assert recorder.only.ending == "end"
    assert b"get_weather" in recorder.only.body
    assert b"messageStop" in recorder.only.body


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a server in another process."""
    script = tmp_path / "replies.toml"
    script.write_text('[[script]]\nsteps = ["Hello ", "there"]\n')
    command = [sys.executable, "-m", "pytest_mockstream", "serve", str(script), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "plays on" in line)
        yield line.partition("plays on ")[2].split()[0]
        process.terminate()


async def test_provider_in_another_process_is_recorded(elsewhere: str) -> None:
    import openai

    recorder = Recorder()
    chat: Any = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]}

    with MockStreamSDK(recordings=recorder):
        async with openai.AsyncOpenAI(base_url=f"{elsewhere}/v1", api_key="none") as client:
            async with await client.chat.completions.create(**chat, stream=True) as stream:
                heard = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            whole = await client.chat.completions.create(**chat)

    assert heard == whole.choices[0].message.content == "Hello there"
    streamed, answered = recorder.takes
    assert streamed.body.endswith(b"data: [DONE]\n\n")
    assert b'"Hello there"' in answered.body


# httpx and ollama themselves leave connections open that are cancelled while they are being made.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest_mockstream.SweepWarning")  # over a network, not each run waits as often
@pytest.mark.parametrize("name", each(["openai chat", "google-genai", "ollama"], "ollama"))
async def test_cancelled_at_every_await_the_rest_is_read(provider: MockStreamServer, name: str) -> None:
    talk = next((talk for talk in TALKS if talk.name == name), None)
    if talk is None:
        pytest.skip(f"{name} is not installed")
    recorder = Recorder()
    provider.respond("Hello ", "there", times=None)

    with MockStreamSDK(recordings=recorder):
        await sweep_cancellation(talk.ask, again=False)
        begun = [taken for taken in recorder.takes if taken.status is not None]
        for taken in begun:
            await over(taken)
    collect()

    assert len(recorder.takes) > 5
    assert len(begun) > 3
    assert all(b"there" in taken.body and taken.ending == "end" for taken in begun)
    assert all("left" in taken.events for taken in recorder.takes if taken not in begun)
