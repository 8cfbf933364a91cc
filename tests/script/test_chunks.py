from __future__ import annotations

import dataclasses

import pytest

from pytest_mockstream import MockStreamClient, StreamChunk, Text, Usage


def test_content_is_all_text_up_to_and_including_the_chunk(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond(Text(["one ", "two ", "three"]))

    chunks = list(mock_stream_client.complete_stream("hi"))

    assert [chunk.content for chunk in chunks] == ["one ", "one two ", "one two three", "one two three"]


def test_content_can_be_asked_in_any_order(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond(Text(["a", "b", "c"]))

    chunks = list(mock_stream_client.complete_stream("hi"))

    assert [chunks[i].content for i in (2, 0, 3, 1, 2)] == ["abc", "a", "abc", "ab", "abc"]


def test_content_of_a_chunk_made_by_hand_is_its_delta() -> None:
    assert StreamChunk(index=7, delta="x").content == "x"


def test_chunk_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        StreamChunk(index=0).delta = "x"  # type: ignore[misc] # what is tested


def test_total_tokens_is_the_sum() -> None:
    assert Usage(prompt_tokens=3, completion_tokens=4).total_tokens == 7
