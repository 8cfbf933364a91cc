"""A sweep over the server: what one run still has under way is never taken for the next run's."""

from __future__ import annotations

from typing import Any

import openai

from pytest_mockstream import MockStreamServer, sweep_cancellation

MESSAGES: Any = [{"role": "user", "content": "hi"}]


async def test_code_that_lets_go_of_its_stream_is_found_good_over_http(mock_stream_server: MockStreamServer) -> None:
    mock_stream_server.respond("one two")

    async def ask() -> None:
        async with (
            openai.AsyncOpenAI(max_retries=0) as client,
            await client.chat.completions.create(model="m", messages=MESSAGES, stream=True) as stream,
        ):
            async for _ in stream:
                pass

    result = await sweep_cancellation(ask)

    assert result.ok, str(result)
