"""What a legacy completion says comes back as the script that says it, in every dialect."""

from __future__ import annotations

from typing import Any

import pytest
from decoding_laws import Asked, check_law, read, write
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mockstream import (
    Disconnect,
    End,
    ErrorEvent,
    HTTPError,
    KeepAlive,
    Malformed,
    Script,
    Stall,
    Text,
    Truncate,
    Usage,
)
from pytest_mockstream.wire import DIALECTS

CUTS = st.lists(st.integers(0, 60), max_size=20)


def asked(provider: str = "openai", **more: Any) -> Asked:
    """Return a request for a stream, in the dialect of a provider."""
    body = {"model": "m", "prompt": "hi", "stream": True, "stream_options": {"include_usage": True}}
    path = "/v1/completions" if provider == "openai" else f"/{provider}/v1/completions"
    return Asked(path, body | more)


@st.composite
def _scripts(draw: st.DrawFn) -> Script:
    counts = [draw(st.integers(0, 99)) for _ in range(4)]
    usage = Usage(
        prompt_tokens=counts[0] + counts[1],
        completion_tokens=counts[2] + counts[3],
        cached_tokens=counts[1],
        reasoning_tokens=counts[3],
    )
    return Script(
        *draw(st.lists(st.builds(Text, st.text() | st.lists(st.text(), max_size=3)), max_size=4)),
        chunking=draw(st.sampled_from(["word", "char", 3])),
        usage=draw(st.sampled_from([None, usage])),
        finish_reason=draw(st.sampled_from([None, "length", "content_filter"])),
        times=None,
    )


@pytest.mark.parametrize("provider", DIALECTS)
@given(data=st.data())
@settings(max_examples=10)
def test_streams_and_whole_replies(provider: str, data: st.DataObject) -> None:
    script, cuts = data.draw(_scripts()), data.draw(CUTS)
    check_law(script, asked(provider), cuts)
    check_law(script, asked(provider, stream=False), chunks_are_same=False)


@pytest.mark.parametrize(
    "script",
    [
        Script("one ", Truncate()),
        Script("one ", Truncate(inside_frame=True)),
        Script("one ", Disconnect()),
        Script("one ", Disconnect(how="cut", inside_frame=True)),
        Script(Disconnect()),
        Script("one ", End(), Disconnect()),
        Script("one ", Stall()),
        Script("one ", KeepAlive(), "two", KeepAlive()),
        Script("one ", Malformed(), "two", Malformed("{}")),
        Script("one ", ErrorEvent("overloaded", type="rate_limit_error")),
        Script(HTTPError(429, message="slow down", retry_after=2)),
        Script(HTTPError(500)),
    ],
    ids=repr,
)
def test_faults(script: Script) -> None:
    for cut in range(0, 60, 3):
        check_law(script, asked(), [cut])
    check_law(script, asked("openrouter"))


def test_every_cut_of_a_stream() -> None:
    written = write(Script("sö ", "ë\n", line_ending="\r\n"), asked())
    uncut = read(asked(), written)

    for cut in range(len(written.body)):
        assert read(asked(), written, [cut]) == uncut


@pytest.mark.parametrize("stream", [True, False])
def test_of_several_choices_the_first_is_heard(stream: bool) -> None:
    request = asked(n=2, logprobs=2, prompt=["a", "b"], stream=stream)

    heard = read(request, write(Script(Text(["so ", "it is"])), request))

    assert heard.steps == (Text(["so ", "it is"] if stream else ["so it is"]),)
    assert heard.finish == "stop"


@pytest.mark.parametrize("stream", [True, False])
@given(steps=st.lists(st.text(min_size=1).map(Text), max_size=3))
@settings(max_examples=20)
def test_prompt_that_is_repeated_is_none_of_the_text(stream: bool, steps: list[Text]) -> None:
    script = Script(*steps)

    check_law(script, asked(prompt="Say it: ", echo=True, stream=stream), chunks_are_same=stream)
