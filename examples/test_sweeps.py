"""A small chat loop, cancelled at every place where it waits and broken at every chunk it reads."""

from __future__ import annotations

import asyncio

import pytest

from pytest_mockstream import MockStreamClient, sweep_cancellation, sweep_faults


class BotOffline(Exception):
    """The one error that callers of the bot have to know."""


class Bot:
    """Answers, with the typing indicator on as long as it does."""

    def __init__(self, client: MockStreamClient) -> None:
        self.client = client
        self.typing = False

    async def ask(self, prompt: str) -> str:
        """Return the whole answer, or raise ``BotOffline``."""
        self.typing = True
        try:
            async with asyncio.timeout(0.5), self.client.complete_stream(prompt) as stream:
                chunks = [chunk async for chunk in stream]
        except Exception as error:
            raise BotOffline from error
        finally:
            self.typing = False
        if not chunks or not chunks[-1].done:
            raise BotOffline
        return chunks[-1].content


async def test_bot_can_be_cancelled_anywhere(mock_stream_client: MockStreamClient) -> None:
    bot = Bot(mock_stream_client)
    mock_stream_client.respond("Paris is lovely.")

    result = await sweep_cancellation(lambda: bot.ask("Paris?"), check=lambda: not bot.typing)

    print(result)


async def test_bot_says_so_when_a_stream_breaks(mock_stream_client: MockStreamClient) -> None:
    bot = Bot(mock_stream_client)
    mock_stream_client.respond("Lovely.")

    await sweep_faults(lambda: bot.ask("Paris?"), mock_stream_client, raises=BotOffline)


@pytest.mark.mockstream_sweep("cancel")
async def test_that_is_its_own_sweep(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("Paris is lovely.")

    assert await Bot(mock_stream_client).ask("Paris?") == "Paris is lovely."
