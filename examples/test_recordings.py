"""A real conversation, recorded once: played for ever, broken, swept.

The recording was made with `pytest --mockstream-record=missing examples/test_recordings.py`, and is beside this file in
`streams/test_recordings/`. Nothing here needs a key or a network.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_mockstream import Disconnect, MockStreamSDK, Recording, Text, Truncate, sweep_faults

openai = pytest.importorskip("openai")

RECORDING = Path(__file__).parent / "streams" / "test_recordings" / "test_answer_as_it_was_recorded.toml"
QUESTION = "Name three cities of France."


async def ask(question: str) -> str:
    """The code under test: it reads a stream to its end, and takes one without a finish reason for broken."""
    text, finished = "", False
    async with openai.AsyncOpenAI(max_retries=0, timeout=0.5) as client:
        stream = await client.chat.completions.create(
            model="gpt-5", messages=[{"role": "user", "content": question}], stream=True
        )
        async with stream:
            async for chunk in stream:
                text += chunk.choices[0].delta.content or ""
                finished = finished or chunk.choices[0].finish_reason is not None
    if not finished:
        raise ConnectionError(f"the answer broke off after {text!r}")
    return text


@pytest.mark.mockstream_recorded
async def test_answer_as_it_was_recorded(mock_stream_sdk: MockStreamSDK) -> None:
    assert await ask(QUESTION) == "Paris, Lyon and Marseille."


async def test_the_same_answer_cut_off_without_an_error(mock_stream_sdk: MockStreamSDK) -> None:
    recorded = Recording.load(RECORDING).replies[0].script
    mock_stream_sdk.respond(*recorded.steps, Truncate())

    with pytest.raises(ConnectionError, match=r"broke off after 'Paris, Lyon and Marseille\.'"):
        await ask(QUESTION)


async def test_the_same_answer_reset_in_the_middle(mock_stream_sdk: MockStreamSDK) -> None:
    (text,) = Recording.load(RECORDING).replies[0].script.steps
    assert isinstance(text, Text)
    mock_stream_sdk.respond(Text(list(text.content)[:3]), Disconnect())

    with pytest.raises(openai.APIConnectionError):
        await ask(QUESTION)


async def test_the_same_answer_broken_at_every_chunk(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.load(RECORDING)

    await sweep_faults(lambda: ask(QUESTION), mock_stream_sdk)
