"""What a chat in OpenAI's format says comes back as the script that says it, in every dialect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from decoding_laws import Asked, check_law, read, write
from door import HELLO
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mockstream import (
    Citation,
    Disconnect,
    End,
    ErrorEvent,
    HTTPError,
    Image,
    Interleave,
    KeepAlive,
    Malformed,
    Reasoning,
    Refusal,
    Script,
    Stall,
    Text,
    Together,
    ToolCall,
    Truncate,
    Usage,
)
from pytest_mockstream.script.content import Content
from pytest_mockstream.wire import DIALECTS

HOSTS = {
    "openai": "api.openai.com",
    "azure": "x.openai.azure.com",
    "mistral": "api.mistral.ai",
    "groq": "api.groq.com",
    "xai": "api.x.ai",
    "openrouter": "openrouter.ai",
    "deepseek": "api.deepseek.com",
    "together": "api.together.xyz",
    "fireworks": "api.fireworks.ai",
    "perplexity": "api.perplexity.ai",
    "huggingface": "router.huggingface.co",
}
CUTS = st.lists(st.integers(0, 60), max_size=20)
_CHAT: dict[str, Any] = {"model": "m", "messages": HELLO}


def asked(provider: str, **more: Any) -> Asked:
    """Return a request for a stream, in the dialect of a provider; the name of one without a host is in the path."""
    host = HOSTS.get(provider, "localhost")
    path = "/v1/chat/completions" if host != "localhost" else f"/{provider}/v1/chat/completions"
    return Asked(path, _CHAT | {"stream": True, "stream_options": {"include_usage": True}} | more, host)


# No "<": where thoughts are in the text, what may be half of a mark comes with the next chunk.
_WORDS = st.text(st.characters(codec="utf-8", exclude_characters="<"), min_size=1, max_size=9)
_DELTAS = _WORDS | st.lists(_WORDS | st.just(""), max_size=3)
_TEXT, _REASONING, _REFUSAL = st.builds(Text, _DELTAS), st.builds(Reasoning, _DELTAS), st.builds(Refusal, _DELTAS)
_CALL = st.builds(
    ToolCall,
    st.from_regex(r"[a-z_]{1,9}", fullmatch=True),
    st.dictionaries(_WORDS, st.integers() | _WORDS | st.none(), max_size=2) | _WORDS,
    st.none() | st.just(""),
    fragments=st.sampled_from([None, "whole", "word", "char", 2]),
)
_INDEXED = st.builds(ToolCall, st.just("f"), fragments=st.just(["", '{"a"', None, ": 1}"]), index=st.integers(0, 3))
_CITATION = st.builds(Citation, _WORDS, _WORDS)
_IMAGE = st.builds(Image, st.binary(min_size=1, max_size=9), media_type=st.sampled_from(["image/png", "image/webp"]))
_TEXT_PART, _REASONING_PART = st.builds(Text, _WORDS), st.builds(Reasoning, _WORDS)
_TOGETHER = st.lists(st.sampled_from([0, 1, 2]), min_size=2, max_size=3, unique=True).flatmap(
    lambda kinds: st.tuples(*([_TEXT_PART, _REASONING_PART, _CALL][kind] for kind in kinds)).map(
        lambda parts: Together(*parts)
    )
)


@st.composite
def _interleaved(draw: st.DrawFn) -> Interleave:
    parts: list[Any] = draw(st.lists(_CALL, max_size=3))
    parts += draw(st.lists(_TEXT_PART, max_size=1)) + draw(st.lists(_REASONING_PART, max_size=1))
    parts = draw(st.permutations(parts)) if len(parts) > 1 else [Text("a"), ToolCall("f")]
    return Interleave(*parts)


_USAGE = st.builds(
    lambda plain, cached, written, heard, said, thought, spoken: Usage(
        prompt_tokens=plain + cached + written + heard,
        completion_tokens=said + thought + spoken,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=thought,
        prompt_audio_tokens=heard,
        completion_audio_tokens=spoken,
    ),
    *[st.integers(0, 99)] * 7,
)


# Citations first: behind a step that is no text, one is of an empty text.
_BESIDE = st.tuples(st.lists(_CITATION, max_size=2), st.lists(_CALL | _INDEXED | _IMAGE, max_size=3))
_IN_CONTENT = {"<think>", "thinking parts"}


def _steps(provider: str) -> st.SearchStrategy[list[Content]]:
    every = _TEXT | _REASONING | _CALL | _INDEXED | _CITATION | _IMAGE | _TOGETHER | _interleaved()
    return st.lists(every | _REFUSAL if DIALECTS[provider].refusals else every, max_size=5)


def _whole_steps(provider: str) -> st.SearchStrategy[list[Content]]:
    """Make steps of a reply that is not streamed, which has forgotten where calls and citations came in its content."""
    if DIALECTS[provider].reasoning not in _IN_CONTENT:
        return _steps(provider)
    prose = st.tuples(_REASONING_PART, _TEXT_PART).map(list) | st.lists(_REASONING_PART | _TEXT_PART, max_size=1)
    return st.tuples(prose, _BESIDE).map(lambda steps: [*steps[0], *steps[1][0], *steps[1][1]])


@st.composite
def _scripts(draw: st.DrawFn, provider: str, steps: list[Content]) -> Script:
    return Script(
        *steps,
        chunking=draw(st.sampled_from(["word", "char", 3])),
        usage=draw(st.none() | _USAGE),
        finish_reason=draw(st.sampled_from([None, *sorted(DIALECTS[provider].finish_reasons)])),
        times=None,
    )


def _check_stream(provider: str, data: st.DataObject) -> None:
    steps = data.draw(_steps(provider))
    if DIALECTS[provider].reasoning == "<think>":
        steps.append(Text("end"))  # a thought at the end is ended by a chunk that is heard as one more
    script, cuts = data.draw(_scripts(provider, steps)), data.draw(CUTS)
    check_law(script, asked(provider), cuts, chunks_are_same=not DIALECTS[provider].whole_calls)


def _check_whole(provider: str, data: st.DataObject) -> None:
    script = data.draw(_scripts(provider, data.draw(_whole_steps(provider))))
    check_law(script, asked(provider, stream=False), chunks_are_same=False)


@pytest.mark.parametrize("provider", DIALECTS)
@given(data=st.data())
@settings(max_examples=10)
def test_streams(provider: str, data: st.DataObject) -> None:
    _check_stream(provider, data)


@pytest.mark.parametrize("provider", DIALECTS)
@given(data=st.data())
@settings(max_examples=10)
def test_whole_replies(provider: str, data: st.DataObject) -> None:
    _check_whole(provider, data)


@pytest.mark.slow
@pytest.mark.parametrize("check", [_check_stream, _check_whole])
@pytest.mark.parametrize("provider", DIALECTS)
@given(data=st.data())
@settings(max_examples=60)
def test_many_more_replies(provider: str, check: Callable[[str, st.DataObject], None], data: st.DataObject) -> None:
    check(provider, data)


_FAULTS = [
    Script("one ", Truncate()),
    Script("one ", Truncate(inside_frame=True)),
    Script("one ", Disconnect()),
    Script("one ", Disconnect(how="cut", inside_frame=True)),
    Script(Disconnect()),
    Script("one ", End(), Disconnect()),
    Script("one ", Stall()),
    Script("one ", KeepAlive(), "two", KeepAlive()),
    Script("one ", Malformed(), "two"),
    Script("one ", Malformed("not JSON"), Malformed("{}"), "two"),
    Script("one ", Malformed("<html>\nNo\n\n", framed=False), "two"),
    Script(Malformed("<html>No</html>", framed=False), Truncate()),
    Script(ToolCall("f", {"a": 1}), Truncate()),
]
_ERRORS = [
    Script("one ", ErrorEvent("overloaded")),
    Script(ErrorEvent("overloaded", type="rate_limit_error")),
    Script(HTTPError(429, message="slow down", retry_after=2)),
    Script(HTTPError(400, type="content_filter", headers={"x-ratelimit-remaining-tokens": "0"})),
    *(Script(HTTPError(status)) for status in (401, 403, 404, 422, 500, 503)),
]


@pytest.mark.parametrize("script", _FAULTS, ids=repr)
@pytest.mark.parametrize("provider", ["openai", "openrouter"])
def test_faults(provider: str, script: Script) -> None:
    check_law(script, asked(provider), [7, 100])


@pytest.mark.parametrize("provider", DIALECTS)
def test_errors(provider: str) -> None:
    for script in _ERRORS:
        check_law(script, asked(provider), [7, 100])


def test_reason_that_is_an_error_is_one_with_nothing_before_it_too() -> None:
    for steps in ([], [Text([])], ["a"]):
        check_law(Script(*steps, finish_reason="error"), asked("openrouter"))


@pytest.mark.parametrize("provider", [name for name, dialect in DIALECTS.items() if dialect.has_codes])
def test_errors_with_codes(provider: str) -> None:
    check_law(Script("one ", ErrorEvent("no", code="insufficient_quota")), asked(provider))
    check_law(Script(HTTPError(429, code="insufficient_quota")), asked(provider))


@pytest.mark.parametrize(("provider", "line_ending"), [("openai", "\r\n"), ("perplexity", "\n")])
def test_every_cut_of_a_stream(provider: str, line_ending: Any) -> None:
    script = Script(Reasoning("ë"), "ö", ToolCall("f", fragments="whole"), line_ending=line_ending)
    written = write(script, asked(provider))
    uncut = read(asked(provider), written)

    for cut in range(len(written.body)):
        assert read(asked(provider), written, [cut]) == uncut


@pytest.mark.parametrize("path", ["/v1/fim/completions", "/v1/agents/completions"])
@pytest.mark.parametrize("stream", [True, False])
def test_what_only_mistral_has(path: str, stream: bool) -> None:
    body = {"model": "m", "agent_id": "a", "prompt": "hi", "messages": HELLO, "stream": stream}
    script = Script(Reasoning("hm"), "so ", ToolCall("f"))

    check_law(script, Asked(path, body, "api.mistral.ai"), chunks_are_same=False)


@pytest.mark.parametrize("provider", DIALECTS)
@given(data=st.data())
@settings(max_examples=2)
def test_several_choices_and_log_probabilities(provider: str, data: st.DataObject) -> None:
    """Each choice says the same, and each token has its probability where it comes; a whole text has one."""
    steps = [*data.draw(_steps(provider)), Text("end")]
    script = data.draw(_scripts(provider, steps))
    more: dict[str, Any] = {"n": 2, "logprobs": True, "top_logprobs": 2}

    check_law(script, asked(provider, **more), chunks_are_same=False)
    request = asked(provider, stream=False, **more)
    assert "end" in str(read(request, write(script, request)).steps)
