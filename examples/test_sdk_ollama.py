"""Ollama, which listens on loopback: its port is answered, every other one is let out."""

from __future__ import annotations

import contextlib

import pytest

from pytest_mockstream import ErrorEvent, MockStreamSDK

ollama = pytest.importorskip("ollama")


def first_word(question: str) -> str:
    """The code under test: reads as little as it needs, and closes what it opened."""
    stream = ollama.chat(model="llama3.2", messages=[{"role": "user", "content": question}], stream=True)
    with contextlib.closing(stream):
        word: str = next(stream).message.content
    return word.strip()


def test_first_word(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("Paris is lovely.")

    assert first_word("Tell me about Paris") == "Paris"

    request = mock_stream_sdk.requests[0]
    request.assert_closed(after_chunk=1)
    assert request.state == "closed"


def test_error_in_mid_stream_is_raised(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond(ErrorEvent("model runner has stopped"))

    with pytest.raises(ollama.ResponseError, match="model runner has stopped"):
        first_word("Tell me about Paris")
