"""What a consumer sends back is in the record as it came; what cannot be answered is refused, not passed over."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest
from door import HELLO, Door
from google import genai

from pytest_mockstream import Reasoning, Script, ToolCall, UnexpectedRequestError

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aaaa"}}
CACHED = {"cache_control": {"type": "ephemeral"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}


def messages_of(path: str, body: dict[str, Any]) -> Any:
    door = Door()
    door.post(path, {"model": "m", **body})
    assert not door.playbook.unexpected
    for field, value in body.items():
        assert door.request.body[field] == value
    return door.request.messages


def of_anthropic(*messages: Any, **more: Any) -> Any:
    return messages_of("/v1/messages", {"messages": list(messages), "max_tokens": 9, **more})


TOOL_USE = {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Paris"}}
THINKING = {"type": "thinking", "thinking": "hm", "signature": "c2lnbmVk"}


def test_signed_thinking_stays_beside_its_tool_use() -> None:
    (message,) = of_anthropic({"role": "assistant", "content": [THINKING, {"type": "text", "text": "so"}, TOOL_USE]})

    assert message["content"] == [THINKING, {"type": "text", "text": "so"}]
    assert message["tool_calls"] == [CALL]


def test_text_alone_beside_a_tool_use_is_one_text() -> None:
    (message,) = of_anthropic({"role": "assistant", "content": [{"type": "text", "text": "so"}, TOOL_USE]})

    assert message == {"role": "assistant", "content": "so", "tool_calls": [CALL]}


def test_marks_of_the_cache_are_kept_wherever_they_stand() -> None:
    system, call, result = of_anthropic(
        {"role": "assistant", "content": [TOOL_USE | CACHED]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "rain"} | CACHED]},
        system=[{"type": "text", "text": "be brief"} | CACHED],
    )

    assert system["content"] == [{"type": "text", "text": "be brief"} | CACHED]
    assert call["tool_calls"] == [CALL | CACHED]
    assert result == {"role": "tool", "tool_call_id": "c1", "content": "rain"} | CACHED


def test_image_in_the_result_of_a_tool_is_kept() -> None:
    content = [{"type": "text", "text": "rain"}, IMAGE]
    result = {"type": "tool_result", "tool_use_id": "c1", "content": content, "is_error": True}
    door = Door()

    door.post("/v1/messages", {"model": "m", "messages": [{"role": "user", "content": [result]}]})

    (message,) = door.request.messages
    assert message == {"role": "tool", "tool_call_id": "c1", "content": content, "is_error": True}
    assert door.request.tool_results == ["rain"]


def test_signature_of_gemini_stays_beside_its_call_and_its_thought() -> None:
    thought = {"text": "hm", "thought": True, "thoughtSignature": "c2lnbmVk"}
    call = {"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Paris"}}, "thoughtSignature": "c2lnbmVk"}
    response = {"functionResponse": {"name": "weather", "response": {"r": 1}, "willContinue": True}}

    said, result = messages_of(
        "/v1/models/m:generateContent",
        {"contents": [{"role": "model", "parts": [thought, call]}, {"role": "user", "parts": [response]}]},
    )

    assert said["content"] == [thought]
    assert said["tool_calls"] == [CALL | {"thoughtSignature": "c2lnbmVk"}]
    assert result["willContinue"] is True


def test_items_of_responses_keep_their_ids_and_what_is_encrypted() -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2lnbmVk"}
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather", "arguments": '{"city": "Paris"}'}
    image = [{"type": "input_image", "image_url": "data:image/png;base64,aaaa"}]
    output = {"type": "function_call_output", "call_id": "c1", "output": image}
    answer = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": "Rain."}

    got = messages_of("/v1/responses", {"input": [reasoning, call, output, answer]})

    assert got == [
        {**reasoning, "role": "assistant"},
        {"role": "assistant", "content": "", "tool_calls": [CALL], "id": "fc_1"},
        {"role": "tool", "tool_call_id": "c1", "content": image},
        {"role": "assistant", "content": "Rain.", "id": "msg_1", "status": "completed"},
    ]


def test_messages_of_a_chat_are_as_they_came() -> None:
    messages = [
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [CALL], "audio": {"id": "a"}},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "rain"}]},
    ]

    assert messages_of("/v1/chat/completions", {"messages": messages}) == messages


@pytest.mark.parametrize("keep", [True, False])
def test_loop_that_loses_signed_thinking_can_be_told_from_one_that_keeps_it(keep: bool) -> None:
    door = Door(Script(Reasoning("I need the weather"), ToolCall("weather", {"city": "Paris"}), times=2))
    client: anthropic.Anthropic = door.anthropic()
    first = client.messages.create(model="c", max_tokens=9, messages=HELLO)
    said: Any = [block.model_dump(exclude_none=True) for block in first.content if keep or block.type != "thinking"]

    client.messages.create(model="c", max_tokens=9, messages=[*HELLO, {"role": "assistant", "content": said}])

    assert ("I need the weather" in repr(door.request.messages)) is keep


@pytest.mark.parametrize("stream", [True, False])
def test_reasoning_that_is_to_be_encrypted_is(stream: bool) -> None:
    door = Door(Script(Reasoning("hm"), "so"))
    client: openai.OpenAI = door.openai()
    ask: Any = {"model": "m", "input": "hi", "include": ["reasoning.encrypted_content"], "store": False}

    if stream:
        events = list(client.responses.create(**ask, stream=True))
        response: Any = next(event.response for event in events if event.type == "response.completed")
    else:
        response = client.responses.create(**ask)

    assert response.output[0].encrypted_content


GENERATE = "/v1/models/m:generateContent"


@pytest.mark.parametrize(
    ("path", "asks", "said"),
    [
        ("/v1/chat/completions", {"n": 0}, "'n' must be a whole number from 1 to 128, but it is 0"),
        ("/v1/chat/completions", {"top_logprobs": 2}, "'top_logprobs' is set, but 'logprobs' is not true"),
        ("/v1/chat/completions", {"prompt_logprobs": 2}, "a script has no log probabilities of its prompt"),
        ("/v1/completions", {"logprobs": 6}, "'logprobs' must be a whole number from 0 to 5, but it is 6"),
        ("/v1/completions", {"best_of": 2, "n": 3}, "'best_of' must be a whole number, and at least 'n', which is 3"),
        ("/v1/completions", {"prompt": [1, 2], "echo": True}, "the text of a prompt that is tokens is not known"),
        ("/v1/completions", {"prompt": []}, "'prompt' must be text, a list of tokens, or a list of such"),
        ("/v1/fim/completions", {"prompt": ""}, "'prompt' must be text and not empty, but it is ''"),
        ("/v1/chat/completions", {"modalities": ["text", "audio"]}, "a script says text and images only"),
        ("/v1/chat/completions", {"audio": {"voice": "a"}}, "'audio' is {'voice': 'a'}: a script says text only"),
        ("/v1/chat/completions", {"stream_options": "usage"}, "'stream_options' must be an object, but it is 'usage'"),
        ("/v1/responses", {"top_logprobs": 21}, "'top_logprobs' must be a whole number from 0 to 20, but it is 21"),
        (GENERATE, {"generationConfig": {"candidateCount": 2}}, "'candidateCount' is 2: a script is one reply"),
        (GENERATE, {"generation_config": {"candidate_count": 2}}, "'candidate_count' is 2: a script is one reply"),
        (GENERATE, {"generationConfig": {"responseLogprobs": True}}, "a script has no log probabilities"),
        (GENERATE, {"generationConfig": {"responseModalities": ["AUDIO"]}}, "a script says text and images only"),
        ("/api/chat", {"logprobs": True}, "'logprobs' is True: a script has no log probabilities"),
        ("/api/generate", {"top_logprobs": 2}, "'top_logprobs' is 2: a script has no log probabilities"),
    ],
)
def test_what_cannot_be_answered_is_refused(path: str, asks: dict[str, Any], said: str) -> None:
    door = Door(Script("Hello"))

    answered = door.post(path, WHOLE[path] | asks)

    assert answered.status == 400
    with pytest.raises(UnexpectedRequestError) as caught:
        door.playbook.verify()
    assert said in str(caught.value)
    assert door.request.body == WHOLE[path] | asks


WHOLE: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "m", "messages": HELLO},
    "/v1/completions": {"model": "m", "prompt": "hi"},
    "/v1/fim/completions": {"model": "m", "prompt": "hi"},
    "/v1/responses": {"model": "m", "input": "hi"},
    "/v1/messages": {"model": "m", "messages": HELLO, "max_tokens": 9},
    GENERATE: {"contents": [{"parts": [{"text": "hi"}]}]},
    "/api/chat": {"model": "m", "messages": HELLO},
    "/api/generate": {"model": "m", "prompt": "hi"},
}
SCHEMA = {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("path", "asks"),
    [
        ("/v1/chat/completions", {"n": 1, "logprobs": False, "top_logprobs": 0, "modalities": ["text"], "audio": None}),
        ("/v1/chat/completions", {"store": True, "service_tier": "flex", "stream_options": None, "seed": 1}),
        ("/v1/chat/completions", {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}),
        ("/v1/responses", {"background": False, "top_logprobs": 0, "include": [], "service_tier": "auto"}),
        ("/v1/responses", {"previous_response_id": "resp_1", "conversation": "conv_1"}),
        ("/v1/messages", {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}),
        (GENERATE, {"generationConfig": {"candidateCount": 1, "responseModalities": ["TEXT"]}}),
        (GENERATE, {"generationConfig": {"responseMimeType": "application/json", "responseSchema": SCHEMA}}),
        ("/api/chat", {"format": "json", "logprobs": False, "keep_alive": 1}),
        ("/api/generate", {"format": SCHEMA, "raw": True}),
    ],
)
def test_what_changes_nothing_in_a_scripted_reply_is_answered(path: str, asks: dict[str, Any]) -> None:
    door = Door(Script("Hello"))

    assert door.post(path, WHOLE[path] | asks).status == 200
    door.playbook.verify()


def test_refusal_reaches_the_caller_of_an_sdk() -> None:
    door = Door(Script("Hello"))
    client: genai.Client = door.gemini()

    with pytest.raises(genai.errors.ClientError, match="a script is one reply"):
        client.models.generate_content(model="m", contents="hi", config={"candidate_count": 2})
