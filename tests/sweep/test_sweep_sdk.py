"""A small chat loop on the real SDK, swept end to end through the in-process door."""

from __future__ import annotations

import pytest

from pytest_mockstream import (
    Disconnect,
    MockStreamSDK,
    SweepError,
    SweepResult,
    Truncate,
    sweep_cancellation,
    sweep_faults,
)

openai = pytest.importorskip("openai")


async def chat(*, careful: bool = True, timeout: float = 0.2) -> str:
    text, reason = "", None
    async with openai.AsyncOpenAI(max_retries=0, timeout=timeout) as client:
        stream = await client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        async with stream:
            async for chunk in stream:
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    reason = choice.finish_reason or reason
    if careful and reason is None:
        raise ConnectionError
    return text


@pytest.mark.parametrize("late", [False, True])
async def test_chat_can_be_cancelled_at_every_point(mock_stream_sdk: MockStreamSDK, late: bool) -> None:
    mock_stream_sdk.respond("one two three")

    result = await sweep_cancellation(lambda: chat(timeout=60), late=late)

    assert result.points >= 5
    assert result.not_reached == ()


async def test_chat_that_looks_for_the_finish_reason_notices_every_fault(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("one two three")

    result = await sweep_faults(chat, mock_stream_sdk)

    assert result.points == 4 * 5


async def test_raw_stream_takes_every_truncation_for_success(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("one two three")

    with pytest.raises(SweepError) as caught:
        await sweep_faults(lambda: chat(careful=False), mock_stream_sdk, faults=[Truncate, Disconnect])

    result = caught.value.result
    assert isinstance(result, SweepResult)
    assert [visit.chunk for visit in result.bad] == [1, 2, 3, 4]
    assert all(visit.what.startswith("Truncate") for visit in result.bad)
