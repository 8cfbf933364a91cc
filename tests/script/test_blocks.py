"""A step that begins a block of its own says so, in chunks that are else the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_mockstream import Citation, MockStreamClient, Reasoning, Refusal, Script, ScriptError, Text, Together


@pytest.mark.parametrize("kind", [Text, Reasoning, Refusal, Citation])
def test_what_is_no_flag_is_refused(kind: Callable[..., Any]) -> None:
    with pytest.raises(ScriptError, match=rf"{kind.__name__}\(new_block='yes'\): give True or False"):
        kind("a", new_block="yes")


def test_parts_of_one_chunk_begin_no_block() -> None:
    with pytest.raises(ScriptError, match=r"Together\(\.\.\.\) has a part with new_block=True"):
        Together("a", Reasoning("b", new_block=True))


def test_text_shows_that_it_begins_a_block_only_where_it_does() -> None:
    assert repr((Text("a"), Text("a", new_block=True))) == "(Text(content='a'), Text(content='a', new_block=True))"


def test_default_client_gets_one_text() -> None:
    client = MockStreamClient()
    client.respond("one ", Text("two ", new_block=True), Text("", new_block=True), "three", times=2)

    with client.complete_stream("hi") as stream:
        assert stream.deltas() == ["one ", "two ", "three"]
    assert client.complete("hi").content == "one two three"


def test_empty_block_is_a_chunk() -> None:
    assert Script("a", Text("", new_block=True)).chunk_count == Script("a", Text([""])).chunk_count
