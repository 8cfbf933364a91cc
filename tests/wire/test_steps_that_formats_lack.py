"""What a format has no field for is refused wherever it stands in a script, streamed or not."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_mockstream import Interleave, Reasoning, Refusal, Script, ScriptError, Text, Together, ToolCall
from pytest_mockstream.wire import DIALECTS
from pytest_mockstream.wire.endpoints import ENDPOINTS
from pytest_mockstream.wire.format import ParsedRequest, WireFormat
from pytest_mockstream.wire.formats import openai_chat
from pytest_mockstream.wire.plain import PlainEndpoint

STEPS: dict[type, Any] = {Reasoning: Reasoning("hm"), Refusal: Refusal("no"), ToolCall: ToolCall("f")}
TEXT_ONLY: set[type] = {Reasoning, Refusal, ToolCall}
NO_CALLS: set[type] = {Reasoning, ToolCall}
LACKS: dict[str, set[type]] = {
    "OpenAI Completions": TEXT_ONLY,
    "OpenAI Chat Completions": set(),
    "OpenAI Transcriptions": TEXT_ONLY,
    "OpenAI Translations": TEXT_ONLY,
    "Mistral FIM": {Refusal},
    "Mistral Agents": {Refusal},
    "Mistral Conversations": {Reasoning},
    "Mistral Transcriptions": TEXT_ONLY,
    "Bedrock InvokeModel of Titan Text": NO_CALLS,
    "Bedrock InvokeModel of Llama": NO_CALLS,
    "Bedrock InvokeModel of Mistral": NO_CALLS,
    "Bedrock InvokeModel of Command R": NO_CALLS,
    "Hugging Face text generation": TEXT_ONLY,
    "Hugging Face streamed text generation": TEXT_ONLY,
    "Hugging Face inference": TEXT_ONLY,
}
FORMATS = {wire.name: wire for wire in ENDPOINTS if isinstance(wire, WireFormat)}
PLAIN = next(one for one in ENDPOINTS if isinstance(one, PlainEndpoint))


def refusal(wire: WireFormat, *steps: Any, streamed: bool) -> str:
    request = ParsedRequest(model="m", framing="sse" if streamed else None)
    script = Script(*steps, finish_reason="stop")
    with pytest.raises(ScriptError) as raised:
        wire.reply(request, script, number=1, prompt_tokens=1)
    return str(raised.value)


def test_formats_lack_what_their_providers_do() -> None:
    found = {name: set(FORMATS[name].lacks) for name in LACKS}

    assert found == LACKS
    assert not any(wire.lacks for name, wire in FORMATS.items() if name not in LACKS)
    assert {name for name, dialect in openai_chat.FORMAT.dialects.items() if not dialect.lacks} == {
        name for name, dialect in DIALECTS.items() if dialect.refusals
    }


LACKING = [
    *((FORMATS[name], kind) for name, kinds in LACKS.items() for kind in sorted(kinds, key=str)),
    *((PLAIN.scripted, kind) for kind in STEPS),
    (openai_chat.FORMAT.dialects["groq"], Refusal),
]


@pytest.mark.parametrize(("wire", "kind"), LACKING, ids=[f"{wire.name}-{kind.__name__}" for wire, kind in LACKING])
def test_a_step_that_a_format_lacks_is_refused_wherever_it_stands(wire: WireFormat, kind: type) -> None:
    step, why = STEPS[kind], f"it has no place for {STEPS[kind]!r}: {wire.lacks[kind]}"

    assert why in refusal(wire, step, streamed=True)
    assert why in refusal(wire, Text("so"), step, streamed=False)
    for both in (Interleave, Together):
        assert why in refusal(wire, both("so", step), streamed=False)
        assert "it has no" in refusal(wire, both("so", step), streamed=True)
