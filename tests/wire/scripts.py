"""Scripts made by hypothesis, and what any reader must get from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from pytest_mockstream import Reasoning, Script, Text, ToolCall, Usage

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_USAGES = st.builds(
    lambda prompt, said, thought: Usage(
        prompt_tokens=prompt, completion_tokens=said + thought, reasoning_tokens=thought
    ),
    st.integers(1, 10**6),
    st.integers(1, 10**6),
    st.integers(0, 10**6),
)
TEXTS = st.text(min_size=1, max_size=30)
BORDERS = st.sampled_from([False, False, True])
_TEXT_STEPS = st.builds(Text, TEXTS, new_block=BORDERS)
_REASONING_STEPS = st.builds(Reasoning, TEXTS, new_block=BORDERS)
_CALLS = st.builds(
    ToolCall,
    st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,15}", fullmatch=True),
    st.dictionaries(st.text(max_size=8), _JSON, max_size=3),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader got.

    Attributes:
        text: the content.
        reasoning: the reasoning.
        calls: (name, arguments) of each tool call.
        finish: why the model stopped, in the provider's word.
        usage: tokens in, tokens out, tokens of reasoning.
    """

    text: str
    reasoning: str
    calls: tuple[tuple[str, Any], ...]
    finish: str | None
    usage: tuple[int, int, int] | None


def scripts(*, calls: bool = True) -> st.SearchStrategy[Script]:
    """Make scripts, cut and framed in every way."""
    steps = st.lists(_TEXT_STEPS | _REASONING_STEPS | (_CALLS if calls else _TEXT_STEPS), max_size=5)
    options = st.fixed_dictionaries(
        {"usage": _USAGES, "times": st.none()},
        optional={
            "chunking": st.sampled_from(["char", "word", 3]),
            "fragment": st.sampled_from(["byte", "random", 7, 1000]),
            "line_ending": st.sampled_from(["\n", "\r\n"]),
            "seed": st.integers(0, 9),
        },
    )
    return st.builds(lambda steps, options: Script(*steps, **options), steps, options)


def expected(script: Script, finish: str) -> Reading:
    """Return what a script says."""
    assert script.usage is not None
    usage = (script.usage.prompt_tokens, script.usage.completion_tokens, script.usage.reasoning_tokens)
    return Reading(
        text="".join(step.text for step in script.steps if isinstance(step, Text)),
        reasoning="".join(step.text for step in script.steps if isinstance(step, Reasoning)),
        calls=tuple((step.name, json.loads(step.json)) for step in script.steps if isinstance(step, ToolCall)),
        finish=finish,
        usage=usage,
    )
