"""Several choices, log probabilities that are made up, and the legacy completions, read by OpenAI's SDK."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from decoders import decode_sse
from door import HELLO, Door
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from scripts import TEXTS
from test_frames_fit_sdk_models import STREAM_EVENT, unknown_fields

from pytest_mockstream import Reasoning, Script, ScriptError, ToolCall, Usage
from pytest_mockstream.wire.logprobs import MOST, probable

CHAT: dict[str, Any] = {"model": "m", "messages": HELLO}
COMPLETIONS: dict[str, Any] = {"model": "m", "prompt": "Say it: "}
RESPONSES: dict[str, Any] = {"model": "m", "input": "hi"}


def streamed(path: str, body: dict[str, Any], script: Script) -> list[dict[str, Any]]:
    events = decode_sse(Door(script).body(path, body | {"stream": True}))
    return [json.loads(event.data) for event in events if event.data != "[DONE]"]


def whole(path: str, body: dict[str, Any], script: Script) -> Any:
    return json.loads(Door(script).body(path, body))


# Log probabilities.


@given(token=st.text(min_size=1), top=st.integers(0, MOST), seed=st.integers())
def test_a_token_is_likelier_than_its_alternatives_and_all_together_are_not_certain(
    token: str, top: int, seed: int
) -> None:
    told = probable(token, top=top, seed=seed)

    likely = told["top_logprobs"]
    assert len(likely) == top == len({one["token"] for one in likely})
    assert told["logprob"] < 0
    assert sum(math.exp(one["logprob"]) for one in likely) < 1
    assert likely == sorted(likely, key=lambda one: -one["logprob"])
    assert top == 0 or likely[0]["token"] == token
    assert bytes(told["bytes"]).decode() == token.encode(errors="replace").decode()
    assert told == probable(token, top=top, seed=seed)


def test_another_seed_makes_up_others() -> None:
    asks = CHAT | {"logprobs": True}

    found = [whole("/v1/chat/completions", asks, Script("so it is", seed=seed)) for seed in (1, 1, 2)]

    first, same, other = (reply["choices"][0]["logprobs"] for reply in found)
    assert first == same != other


@settings(max_examples=25)
@given(text=TEXTS, top=st.integers(0, 3))
def test_a_stream_and_a_whole_reply_have_the_same_log_probabilities(text: str, top: int) -> None:
    script = Script(Reasoning("hm"), text, times=None)
    asks = CHAT | {"logprobs": True, "top_logprobs": top}

    chunks = streamed("/v1/chat/completions", asks, script)
    reply = ChatCompletion.model_validate(whole("/v1/chat/completions", asks, script))

    told = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    at_text = [bool(chunk["choices"][0]["delta"].get("content")) for chunk in chunks]
    assert [one is not None for one in told] == at_text
    assert reply.choices[0].logprobs is not None
    in_reply: list[Any] = [token.to_dict() for token in reply.choices[0].logprobs.content or ()]
    assert [token for one in told if one for token in one["content"]] == in_reply
    assert "".join(token["token"] for token in in_reply) == text
    assert {len(token["top_logprobs"]) for token in in_reply} == {top}


def test_nobody_who_does_not_ask_gets_log_probabilities() -> None:
    assert whole("/v1/chat/completions", CHAT, Script("so"))["choices"][0]["logprobs"] is None


@settings(max_examples=25)
@given(texts=st.lists(TEXTS, min_size=1, max_size=3))
def test_log_probabilities_of_responses_fit_the_models_and_are_the_same_in_a_stream(texts: list[str]) -> None:
    steps = [step for text in texts for step in (text, ToolCall("time"))]
    asks = RESPONSES | {"include": ["message.output_text.logprobs"], "top_logprobs": 2}

    events = [STREAM_EVENT.validate_python(event) for event in streamed("/v1/responses", asks, Script(*steps))]
    reply = Response.model_validate(whole("/v1/responses", asks, Script(*steps)))

    assert [list(unknown_fields(event)) for event in [*events, reply]] == [[]] * (len(events) + 1)
    said = [part.logprobs for item in reply.output if item.type == "message" for part in item.content]  # type: ignore[union-attr] # no refusals here
    assert ["".join(one.token for one in told or ()) for told in said] == texts
    last = events[-1].response
    assert said == [part.logprobs for item in last.output if item.type == "message" for part in item.content]
    in_events = [one.token for event in events if event.type == "response.output_text.delta" for one in event.logprobs]
    assert "".join(in_events) == "".join(texts)


# Several choices.


def test_each_choice_says_the_script_chunk_by_chunk() -> None:
    script = Script("so ", ToolCall("time"), usage=None)
    asks = CHAT | {"n": 3, "stream_options": {"include_usage": True}}

    *chunks, last = streamed("/v1/chat/completions", asks, script)

    assert [chunk["choices"][0]["index"] for chunk in chunks] == [0, 1, 2] * (len(chunks) // 3)
    said = [[chunk["choices"][0] for chunk in chunks if chunk["choices"][0]["index"] == index] for index in range(3)]
    assert [[one | {"index": 0} for one in choice] for choice in said] == [said[0]] * 3
    assert last["usage"]["completion_tokens"] == 9


def test_each_choice_of_a_whole_reply_says_the_script() -> None:
    door = Door(Script("so it is"))

    reply = ChatCompletion.model_validate_json(door.body("/v1/chat/completions", CHAT | {"n": 2}))

    assert [(choice.index, choice.message.content) for choice in reply.choices] == [(0, "so it is"), (1, "so it is")]
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 6


def test_usage_that_a_script_says_is_that_of_all_choices() -> None:
    script = Script("so", usage=Usage(prompt_tokens=7, completion_tokens=5))

    assert whole("/v1/chat/completions", CHAT | {"n": 2}, script)["usage"]["completion_tokens"] == 5


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_a_chunk_that_came_for_all_choices_counts_once(path: str) -> None:
    door = Door(Script("so it is"))

    door.body(path, (CHAT | COMPLETIONS) | {"n": 2, "stream": True})

    assert (door.request.chunks_sent, door.request.chunk_count) == (4, 4)


# Legacy completions.


def test_completions_are_read_by_the_sdk() -> None:
    door = Door(Script("so it is", finish_reason="length", times=None))
    client = door.openai()

    reply = client.completions.create(model="m", prompt="Say it: ")
    stream = client.completions.create(model="m", prompt="x", stream=True, stream_options={"include_usage": True})
    chunks = list(stream)

    assert (reply.choices[0].text, reply.choices[0].finish_reason) == ("so it is", "length")
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "so it is"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3
    assert door.playbook.requests[0].text == "Say it: "


@settings(max_examples=25)
@given(text=TEXTS, count=st.integers(1, 3), prompts=st.integers(1, 2), logprobs=st.none() | st.integers(0, 5))
def test_completions_say_the_same_streamed_and_whole(text: str, count: int, prompts: int, logprobs: int | None) -> None:
    asked = ["a", "bc"][:prompts]
    asks = {"model": "m", "prompt": asked, "n": count, "echo": True, "logprobs": logprobs}

    chunks = streamed("/v1/completions", asks, Script(text))
    reply = Completion.model_validate(whole("/v1/completions", asks, Script(text)))

    assert list(unknown_fields(reply)) == []
    assert [choice.text for choice in reply.choices] == [prompt + text for prompt in asked for _ in range(count)]
    for choice in reply.choices:
        parts = [one for chunk in chunks for one in chunk["choices"] if one["index"] == choice.index]
        assert "".join(part["text"] for part in parts) == choice.text
        assert parts[-1]["finish_reason"] == choice.finish_reason == "stop"
        if choice.logprobs is None:
            assert logprobs is None
            continue
        told = [part["logprobs"] for part in parts[:-1]]
        for name, value in choice.logprobs.to_dict().items():
            assert [one for part in told for one in part[name]] == value
        tokens, offsets = choice.logprobs.tokens or [], choice.logprobs.text_offset or []
        assert [choice.text[offset:].startswith(token) for token, offset in zip(tokens, offsets, strict=True)] == [
            True
        ] * len(tokens)


def test_completions_have_nothing_but_text() -> None:
    door = Door(Script(ToolCall("time"), finish_reason="stop"))

    assert door.post("/v1/completions", COMPLETIONS).status == 400
    with pytest.raises(ScriptError, match=r"OpenAI Completions cannot express .* its choices have nothing but text"):
        door.playbook.verify()


def test_prompts_of_tokens_are_read() -> None:
    door = Door(Script("so", times=None))

    assert door.post("/v1/completions", COMPLETIONS | {"prompt": [1, 2]}).status == 200
    assert door.request.text == "1 2"
    assert door.post("/v1/completions", COMPLETIONS | {"prompt": [[1, 2], [3]]}).status == 200
    assert [message["content"] for message in door.request.messages] == ["1 2", "3"]


def test_code_is_completed_as_a_chat_is() -> None:
    door = Door(Script("return 1", times=None))
    asks = {"model": "codestral", "prompt": "def one():", "suffix": "# end"}

    reply = json.loads(door.body("/v1/fim/completions", asks))

    assert reply["choices"][0]["message"]["content"] == "return 1"
    assert reply["usage"]["prompt_tokens"] == 2
    assert (door.request.text, door.request.params) == ("def one():", {"suffix": "# end"})
    chunks = streamed("/v1/fim/completions", asks, Script("so"))
    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == ["", "so", ""]
