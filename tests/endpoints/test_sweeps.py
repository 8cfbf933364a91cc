"""Sweeps run code that uploads and transcribes again and again: each run begins with what was there before."""

from __future__ import annotations

import openai

from pytest_mockstream import Disconnect, MockStreamSDK, Truncate, sweep_cancellation, sweep_faults

WAV = ("a.wav", b"RIFF0000")


async def test_each_run_of_a_sweep_has_the_files_that_were_there_before() -> None:
    counts = []

    async def upload() -> None:
        async with openai.AsyncOpenAI(api_key="x", max_retries=0) as client:
            await client.files.create(file=WAV, purpose="user_data")
            counts.append(len([file async for file in client.files.list()]))

    with MockStreamSDK():
        async with openai.AsyncOpenAI(api_key="x") as client:
            await client.files.create(file=WAV, purpose="user_data")

        result = await sweep_cancellation(upload)

    assert result.points > 1
    assert set(counts) == {2}


async def test_transcription_can_break_at_every_chunk() -> None:
    heard = []

    async def transcribe() -> None:
        async with openai.AsyncOpenAI(api_key="x", max_retries=0) as client:
            stream = await client.audio.transcriptions.create(model="gpt-4o-transcribe", file=WAV, stream=True)
            async with stream:
                events = [event async for event in stream]
        if not events or events[-1].type != "transcript.text.done":
            raise ConnectionError("the end is missing")
        heard.append(events[-1].text)

    with MockStreamSDK() as sdk:
        sdk.respond("one two three")

        result = await sweep_faults(transcribe, sdk, faults=(Truncate, Disconnect))

    assert result.points == 2 * 4
    assert set(heard) == {"one two three"}
