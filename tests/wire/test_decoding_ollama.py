"""What Ollama says comes back as the script that says it."""

from __future__ import annotations

import pytest
from decoding_laws import Asked, check_law
from door import HELLO
from hypothesis import given
from hypothesis import strategies as st
from scripts import scripts

from pytest_mockstream import Disconnect, ErrorEvent, HTTPError, Interleave, Script, Text, Together, ToolCall, Truncate

CHAT = Asked("/api/chat", {"model": "m", "messages": HELLO})
GENERATE = Asked("/api/generate", {"model": "m", "prompt": "hi"})
WHOLE_CHAT = Asked("/api/chat", {"model": "m", "messages": HELLO, "stream": False})
CUTS = st.lists(st.integers(0, 40), max_size=20)


@given(script=scripts(calls=False), cuts=CUTS)
def test_chat(script: Script, cuts: list[int]) -> None:
    check_law(script, CHAT, cuts)


@given(script=scripts(), cuts=CUTS)
def test_chat_with_calls(script: Script, cuts: list[int]) -> None:
    check_law(script, CHAT, cuts, chunks_are_same=False)


@given(script=scripts(calls=False), cuts=CUTS)
def test_generate(script: Script, cuts: list[int]) -> None:
    check_law(script, GENERATE, cuts)


@given(script=scripts(), cuts=CUTS)
def test_whole_chat(script: Script, cuts: list[int]) -> None:
    check_law(script, WHOLE_CHAT, cuts, chunks_are_same=False)


@pytest.mark.parametrize(
    "script",
    [
        Script("one ", Truncate()),
        Script("one ", Truncate(inside_frame=True)),
        Script("one ", Disconnect()),
        Script("one ", Disconnect(how="cut", inside_frame=True)),
        Script(Disconnect()),
        Script("one ", ErrorEvent("overloaded")),
        Script(HTTPError(429, message="slow down", retry_after=2)),
        Script(Together("text", ToolCall("f", {"a": 1}))),
        Script(Interleave(Text(["a", "b", "c"]), ToolCall("f", {"a": 1}))),
    ],
    ids=repr,
)
def test_faults_and_parts(script: Script) -> None:
    for cut in range(40):
        check_law(script, CHAT, [cut], chunks_are_same=False)
