"""A reply that is not streamed says one behind the other what came by turns, and comes back as the script of that."""

from __future__ import annotations

from typing import Any

import pytest
from decoding_laws import Asked, check_law, wire_of
from door import HELLO
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_laws_of_all_steps import SPOKEN

from pytest_mockstream import Interleave, Reasoning, Refusal, Script, ScriptError, Text, Together, ToolCall
from pytest_mockstream.script.content import Content

_CONVERSE: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": "hello there"}]}]}
_CHAT: dict[str, Any] = {"model": "m", "messages": HELLO}
ASKED = {
    "anthropic": Asked("/v1/messages", _CHAT | {"max_tokens": 9}),
    "chat": Asked("/v1/chat/completions", _CHAT),
    "cohere": Asked("/v2/chat", _CHAT),
    "conversations": Asked("/v1/conversations", {"model": "m", "inputs": "hi"}, "api.mistral.ai"),
    "converse": Asked("/model/anthropic.claude-3/converse", _CONVERSE),
    "gemini": Asked("/v1beta/models/m:generateContent", {"contents": [{"parts": [{"text": "hi"}]}]}),
    "mistral": Asked("/v1/chat/completions", _CHAT, "api.mistral.ai"),
    "nova": Asked("/model/amazon.nova-lite-v1:0/invoke", _CONVERSE),
    "ollama": Asked("/api/chat", _CHAT | {"stream": False}),
    "openrouter": Asked("/api/v1/chat/completions", _CHAT, "openrouter.ai"),
    "responses": Asked("/v1/responses", {"model": "m", "input": "hi"}),
}
LONG = ToolCall("f", {"a": 1, "b": 2})
SCRIPTS = [
    Script(Interleave(LONG, Text("a b")), "c"),
    Script(Interleave(LONG, Reasoning("a b")), Reasoning("c"), "d"),
    Script(Interleave(Text("a b"), Reasoning("c d e")), Reasoning("f"), "g"),
    Script(Interleave(ToolCall("f"), LONG, Text("a b")), Interleave(Text("c"), LONG)),
    Script(Together("a", LONG), Together("b", Reasoning("c")), "d"),
    Script(Interleave(LONG, Text("a b"), Refusal("c")), Refusal("d"), "e"),
]


def can_say(asked: Asked, script: Script) -> bool:
    wire, parsed = wire_of(asked)
    try:
        wire.reply(parsed, script, number=1, prompt_tokens=0)
    except ScriptError:
        return False
    return True


@pytest.mark.parametrize("name", ASKED)
def test_prose_behind_prose_is_one_block(name: str) -> None:
    scripts = [script for script in SCRIPTS if can_say(ASKED[name], script)]

    assert scripts
    for script in scripts:
        found = check_law(script, ASKED[name], chunks_are_same=False)
        assert not any(isinstance(step, Interleave) for step in found.steps)


@pytest.mark.parametrize(
    "asked",
    [Asked("/v2/chat", _CHAT), Asked("/v1/chat/completions", _CHAT, "api.mistral.ai")],
    ids=["cohere", "mistral"],
)
def test_reasoning_without_a_signature_goes_on_where_none_has_one(asked: Asked) -> None:
    found = check_law(Script(Reasoning("a", signature=False), Reasoning("b"), "c"), asked, chunks_are_same=False)

    assert found.steps == (Reasoning(["ab"]), Text(["c"]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ASKED)
@given(steps=st.lists(SPOKEN, max_size=5))
@settings(max_examples=100)
def test_many_more(name: str, steps: list[Content]) -> None:
    script = Script(*steps, times=None)
    assume(can_say(ASKED[name], script))

    check_law(script, ASKED[name], chunks_are_same=False)
