"""Each provider of OpenAI's format says some of it in its own way; what each says, from its reference or its SDK."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import groq
import groq.types.chat
import huggingface_hub
import pytest
from decoders import decode_sse
from door import HELLO, Door, frames
from hypothesis import given, settings
from hypothesis import strategies as st
from mistralai.client.models import ChatCompletionResponse, CompletionChunk
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel
from scripts import scripts
from test_frames_fit_sdk_models import unknown_fields

from pytest_mockstream import (
    Citation,
    ErrorEvent,
    HTTPError,
    Image,
    Interleave,
    KeepAlive,
    MockStreamSDK,
    Reasoning,
    Refusal,
    Script,
    ScriptError,
    Text,
    Together,
    ToolCall,
    UnexpectedRequestError,
    Usage,
)
from pytest_mockstream.wire import DIALECTS

USAGE = Usage(prompt_tokens=7, completion_tokens=5, reasoning_tokens=2)
CALLS = (ToolCall("weather", {"city": "Paris", "days": 2}), ToolCall("time"))


@dataclass(frozen=True)
class Facts:
    """What one provider is known to say.

    Attributes:
        base: of its URLs.
        reasoning: the delta that says the reasoning "hm", after the first chunk; without the role.
        message: what a whole message has of that reasoning, and of the text "so".
        usage_in: which chunks with a choice say the usage, and whether there is one without: not asked for, and asked.
        usage: what it says besides the three sums.
        own_words: its own finish reasons.
        first: the first delta of a text "so".
        fragments: in how many deltas the first of two calls comes.
        error: the body of a status 429 that says "slow down".
    """

    base: str
    reasoning: dict[str, Any]
    message: dict[str, Any]
    usage_in: tuple[str, str]
    usage: dict[str, Any]
    first: dict[str, Any]
    error: dict[str, Any]
    own_words: tuple[str, ...] = ()
    fragments: int = 5


def openai_error(**more: Any) -> dict[str, Any]:
    return {"message": "slow down", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded", **more}


OWN = ("nowhere", "own chunk")
LAST = ("last chunk", "last chunk")
CONTENT = {"reasoning_content": "hm", "content": "so"}
PLAIN = {"reasoning": "hm", "content": "so"}
OPENAI_DETAILS = {
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 2,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
ROLE = {"role": "assistant", "content": ""}
CACHED = {"prompt_tokens_details": {"cached_tokens": 0}}
FACTS = {
    "openai": Facts(
        base="https://api.openai.com/v1",
        reasoning={"reasoning_content": "hm"},
        message=CONTENT,
        usage_in=OWN,
        usage=OPENAI_DETAILS,
        first={"role": "assistant", "content": "", "refusal": None},
        error={"error": openai_error()},
    ),
    "azure": Facts(
        base="https://mine.openai.azure.com/openai/deployments/gpt",
        reasoning={"reasoning_content": "hm"},
        message=CONTENT,
        usage_in=OWN,
        usage=OPENAI_DETAILS,
        first={"role": "assistant", "content": "", "refusal": None},
        error={"error": {"code": "429", "message": "slow down"}},
    ),
    "mistral": Facts(
        base="https://api.mistral.ai/v1",
        reasoning={"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
        message={
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": "so"},
            ]
        },
        usage_in=LAST,
        usage=CACHED,
        own_words=("model_length", "error"),
        first=ROLE,
        fragments=1,
        error={"object": "error", **openai_error()},
    ),
    "groq": Facts(
        base="https://api.groq.com/openai/v1",
        reasoning={"reasoning": "hm"},
        message=PLAIN,
        usage_in=LAST,
        usage={
            "queue_time": 0.01,
            "prompt_time": pytest.approx(0.0007),
            "completion_time": pytest.approx(0.005),
            "total_time": pytest.approx(0.0057),
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
        first=ROLE,
        fragments=1,
        error={"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}},
    ),
    "xai": Facts(
        base="https://api.x.ai/v1",
        reasoning={"reasoning_content": "hm"},
        message=CONTENT,
        usage_in=OWN,
        usage={
            "completion_tokens": 3,  # reasoning comes on top
            "prompt_tokens_details": {"text_tokens": 7, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": 0},
            "completion_tokens_details": OPENAI_DETAILS["completion_tokens_details"],
            "num_sources_used": 0,
        },
        first={"role": "assistant", "content": "so"},
        fragments=1,
        error={"code": "rate_limit_exceeded", "error": "slow down"},
    ),
    "openrouter": Facts(
        base="https://openrouter.ai/api/v1",
        reasoning={
            "content": "",
            "reasoning": "hm",
            "reasoning_details": [{"type": "reasoning.text", "text": "hm", "format": "unknown", "index": 0}],
        },
        message=PLAIN,
        usage_in=("empty chunk", "empty chunk"),
        usage={
            **OPENAI_DETAILS,
            "cost": pytest.approx(17e-6),
            "is_byok": False,
            "cost_details": {
                "upstream_inference_cost": None,
                "upstream_inference_prompt_cost": pytest.approx(7e-6),
                "upstream_inference_completions_cost": pytest.approx(1e-5),
            },
        },
        own_words=("error",),
        first={"role": "assistant", "content": "so"},
        error={"error": {"code": 429, "message": "slow down"}},
    ),
    "deepseek": Facts(
        base="https://api.deepseek.com",
        reasoning={"content": None, "reasoning_content": "hm"},
        message=CONTENT,
        usage_in=LAST,
        usage={
            **CACHED,
            "completion_tokens_details": {"reasoning_tokens": 2},
            "prompt_cache_hit_tokens": 0,
            "prompt_cache_miss_tokens": 7,
        },
        own_words=("insufficient_system_resource",),
        first=ROLE,
        error={"error": openai_error()},
    ),
    "together": Facts(
        base="https://api.together.xyz/v1",
        reasoning={"reasoning": "hm"},
        message=PLAIN,
        usage_in=LAST,
        usage={},
        own_words=("eos",),
        first={"role": "assistant", "content": "so"},
        fragments=1,
        error={"error": openai_error()},
    ),
    "fireworks": Facts(
        base="https://api.fireworks.ai/inference/v1",
        reasoning={"reasoning_content": "hm"},
        message=CONTENT,
        usage_in=LAST,
        usage=CACHED,
        first={"role": "assistant"},
        error={"error": {"object": "error", **openai_error()}},
    ),
    "perplexity": Facts(
        base="https://api.perplexity.ai",
        reasoning={"content": "<think>hm"},
        message={"content": "<think>hm</think>so"},
        usage_in=("each chunk", "each chunk"),
        usage={
            "search_context_size": "low",
            "reasoning_tokens": 2,
            "cost": {
                "input_tokens_cost": pytest.approx(7e-6),
                "output_tokens_cost": pytest.approx(1e-5),
                "request_cost": 0.005,
                "total_cost": pytest.approx(0.005017),
            },
        },
        first={"role": "assistant", "content": "so"},
        fragments=1,
        error={"error": {"code": 429, "message": "slow down", "type": "rate_limit_error"}},
    ),
    "huggingface": Facts(
        base="https://router.huggingface.co/v1",
        reasoning={"reasoning": "hm"},
        message=PLAIN,
        usage_in=OWN,
        usage={},
        own_words=("eos_token", "stop_sequence"),
        first={"role": "assistant", "content": "so"},
        fragments=1,
        error={"error": "slow down", "error_type": "overloaded"},
    ),
    "vllm": Facts(
        base="http://localhost:8000/vllm/v1",
        reasoning={"reasoning": "hm"},
        message=PLAIN,
        usage_in=OWN,
        usage={},
        own_words=("abort",),
        first=ROLE,
        error={"error": openai_error(code=429)},
    ),
    "llama.cpp": Facts(
        base="http://localhost:8080/llama.cpp/v1",
        reasoning={"reasoning_content": "hm"},
        message=CONTENT,
        usage_in=OWN,
        usage=CACHED,
        first={"role": "assistant", "content": None},
        error={"error": {"code": 429, "message": "slow down", "type": "rate_limit_error"}},
    ),
}
BY_PROVIDER = pytest.mark.parametrize("provider", FACTS)


def asked(provider: str, script: Script, **body: Any) -> tuple[Door, int, bytes]:
    """Ask a provider for a chat; return the door, the status and the body."""
    door = Door(script)
    url = FACTS[provider].base + "/chat/completions"
    answered = door.answer("POST", url, {}, {"model": "m", "messages": HELLO, **body})
    return door, answered.status, b"".join(frames(answered))


def chunks(provider: str, *steps: Any, asks: dict[str, Any] | None = None, **options: Any) -> list[dict[str, Any]]:
    """Return the chunks of a stream, without the end."""
    _, status, body = asked(provider, Script(*steps, **options), stream=True, **(asks or {}))
    assert status == 200
    return [json.loads(event.data) for event in decode_sse(body) if event.data != "[DONE]"]


def whole(provider: str, *steps: Any, asks: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """Return a reply that is not streamed."""
    _, status, body = asked(provider, Script(*steps, **options), **(asks or {}))
    assert status == 200
    reply: dict[str, Any] = json.loads(body)
    return reply


def deltas(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in found for choice in chunk["choices"]]


def test_each_dialect_has_its_facts() -> None:
    assert list(FACTS) == list(DIALECTS)


@BY_PROVIDER
def test_reasoning_is_where_the_provider_puts_it(provider: str) -> None:
    said = deltas(chunks(provider, Reasoning("hm"), "so"))

    without_role = [{name: value for name, value in delta.items() if name != "role"} for delta in said]
    assert FACTS[provider].reasoning in without_role

    message = whole(provider, Reasoning("hm"), "so")["choices"][0]["message"]

    assert {name: message[name] for name in FACTS[provider].message} == FACTS[provider].message


@BY_PROVIDER
def test_first_delta_is_the_providers(provider: str) -> None:
    assert deltas(chunks(provider, "so"))[0] == FACTS[provider].first


def usage_in(found: list[dict[str, Any]]) -> str:
    """Say which chunks of a stream tell the usage."""
    telling = [chunk for chunk in found if chunk.get("usage")]
    if len(telling) == len(found):
        return "each chunk"
    if not telling:
        return "nowhere"
    assert telling == [found[-1]]
    if not found[-1]["choices"]:
        return "own chunk"
    return "last chunk" if found[-1]["choices"][0]["finish_reason"] else "empty chunk"


@BY_PROVIDER
def test_usage_is_where_the_provider_puts_it(provider: str) -> None:
    unasked = chunks(provider, "so it is", usage=USAGE)
    asked_for = chunks(provider, "so it is", usage=USAGE, asks={"stream_options": {"include_usage": True}})

    assert (usage_in(unasked), usage_in(asked_for)) == FACTS[provider].usage_in
    told = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12} | FACTS[provider].usage
    assert asked_for[-1]["usage"] == told
    assert whole(provider, "so it is", usage=USAGE)["usage"] == told


@BY_PROVIDER
@pytest.mark.parametrize("asks", [{}, {"stream_options": {"include_usage": True}}], ids=["unasked", "asked"])
def test_usage_of_completions_is_that_of_a_chat(provider: str, asks: dict[str, Any]) -> None:
    url = FACTS[provider].base + "/completions"
    body = {"model": "m", "prompt": "hi", "stream": True, **asks}

    answered = Door(Script("so it is", usage=USAGE)).answer("POST", url, {}, body)
    found = [json.loads(event.data) for event in decode_sse(b"".join(frames(answered))) if event.data != "[DONE]"]

    place = FACTS[provider].usage_in[bool(asks)]
    assert usage_in(found) == {"empty chunk": "own chunk", "each chunk": "last chunk"}.get(place, place)
    if place != "nowhere":
        told = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12} | FACTS[provider].usage
        assert found[-1]["usage"] == told
        whole = Door(Script("so it is", usage=USAGE)).answer("POST", url, {}, body | {"stream": False})
        assert json.loads(b"".join(frames(whole)))["usage"] == told


@BY_PROVIDER
def test_tool_calls_are_cut_as_the_provider_cuts_them(provider: str) -> None:
    fragments = [
        call for delta in deltas(chunks(provider, *CALLS)) for call in delta.get("tool_calls", ()) if call["index"] == 0
    ]

    assert len(fragments) == FACTS[provider].fragments
    assert (fragments[0]["id"], fragments[0]["function"]["name"]) == ("call_1", "weather")
    arguments = "".join(fragment["function"].get("arguments", "") for fragment in fragments)
    assert json.loads(arguments) == {"city": "Paris", "days": 2}
    assert ("arguments" in fragments[0]["function"]) is (provider != "vllm")


@BY_PROVIDER
def test_finish_reasons_are_the_providers(provider: str) -> None:
    for word in FACTS[provider].own_words:
        assert whole(provider, "so", finish_reason=word)["choices"][0]["finish_reason"] == word

    door, status, _ = asked(provider, Script("so", finish_reason="tired"))

    assert status == 400
    with pytest.raises(ScriptError, match=f"not a finish reason of {DIALECTS[provider].title} Chat Completions"):
        door.playbook.verify()


def test_finish_reason_of_another_dialect_is_told_with_its_provider() -> None:
    door, _, _ = asked("openai", Script("so", finish_reason="error"))

    with pytest.raises(ScriptError, match=r"It is one of mistral and openrouter: .* with provider='mistral'$"):
        door.playbook.verify()


@BY_PROVIDER
def test_errors_have_the_providers_shape(provider: str) -> None:
    _, status, body = asked(provider, Script(HTTPError(429, message="slow down")))

    assert (status, json.loads(body)) == (429, FACTS[provider].error)


@BY_PROVIDER
def test_refusals_are_for_those_who_have_a_field_for_them(provider: str) -> None:
    door, status, body = asked(provider, Script(Refusal("no")))

    if provider in {"openai", "azure", "xai", "openrouter"}:
        assert json.loads(body)["choices"][0]["message"]["refusal"] == "no"
    else:
        assert status == 400
        with pytest.raises(ScriptError, match="has no field for refusals"):
            door.playbook.verify()


#: Further fields of a whole reply, of its choice, and of the headers, where a provider has some.
BESIDE: dict[str, tuple[set[str], set[str], set[str]]] = {
    "openai": ({"service_tier", "system_fingerprint"}, {"logprobs"}, set()),
    "azure": (
        {"system_fingerprint", "prompt_filter_results"},
        {"logprobs", "content_filter_results"},
        {"apim-request-id", "x-ms-region"},
    ),
    "mistral": (set(), set(), {"mistral-correlation-id"}),
    "groq": (
        {"system_fingerprint", "usage_breakdown", "x_groq", "service_tier"},
        {"logprobs"},
        {"x-groq-region"},
    ),
    "xai": ({"system_fingerprint"}, set(), set()),
    "openrouter": (
        {"provider", "system_fingerprint"},
        {"logprobs", "native_finish_reason"},
        {"x-generation-id"},
    ),
    "deepseek": ({"system_fingerprint"}, {"logprobs"}, {"x-ds-trace-id"}),
    "together": ({"prompt"}, {"logprobs"}, {"x-together-traceid"}),
    "fireworks": (set(), set(), set()),
    "perplexity": ({"citations", "search_results"}, {"delta"}, set()),
    "huggingface": ({"system_fingerprint"}, {"logprobs"}, set()),
    "vllm": (
        {"service_tier", "system_fingerprint", "prompt_logprobs", "prompt_token_ids", "kv_transfer_params"},
        {"logprobs", "stop_reason"},
        set(),
    ),
    "llama.cpp": ({"system_fingerprint", "timings"}, set(), set()),
}


@BY_PROVIDER
def test_a_whole_reply_has_the_fields_of_the_provider_and_no_others(provider: str) -> None:
    door = Door(Script("so"))
    url = FACTS[provider].base + "/chat/completions"

    answered = door.answer("POST", url, {}, {"model": "m", "messages": HELLO})
    reply = json.loads(b"".join(frames(answered)))

    beside, in_choice, headers = BESIDE[provider]
    assert set(reply) == {"id", "object", "created", "model", "choices", "usage"} | beside
    assert set(reply["choices"][0]) == {"index", "message", "finish_reason"} | in_choice
    assert set(answered.headers) == {"content-type", "x-request-id", "request-id"} | headers
    starts = {"openrouter": "gen-1", **dict.fromkeys(("openai", "azure", "groq", "vllm", "llama.cpp"), "chatcmpl-1")}
    assert reply["id"] == starts.get(provider, "1")


@BY_PROVIDER
def test_chunks_before_the_usage_say_null_where_the_provider_says_it(provider: str) -> None:
    unasked = chunks(provider, "so it is")[-2]
    asked_for = chunks(provider, "so it is", asks={"stream_options": {"include_usage": True}})[-3]

    said = ["usage" in chunk and chunk["usage"] is None for chunk in (unasked, asked_for)]
    assert said == [provider == "deepseek", provider in {"openai", "azure", "deepseek"}]


def test_comments_of_openrouter_say_that_it_works() -> None:
    _, _, body = asked("openrouter", Script("so", KeepAlive(), " it is"), stream=True)

    assert b": OPENROUTER PROCESSING\n\n" in body


def test_openrouter_ends_a_failed_choice_with_an_error_beside_it() -> None:
    last = chunks("openrouter", "Par", ErrorEvent("Provider disconnected"))[-1]

    assert last["error"] == {"code": 500, "message": "Provider disconnected"}
    assert last["choices"][0]["finish_reason"] == last["choices"][0]["native_finish_reason"] == "error"

    last = chunks("openrouter", "Par", finish_reason="error")[-1]

    assert (last["choices"][0]["finish_reason"], last["error"]["code"]) == ("error", 500)


def test_openrouter_says_who_answered() -> None:
    assert all(chunk["provider"] for chunk in chunks("openrouter", "so"))
    assert whole("openrouter", "so")["choices"][0]["native_finish_reason"] == "stop"


def test_azure_says_first_what_its_filter_found_in_the_prompt() -> None:
    first, *others = chunks("azure", "so")

    assert first["choices"] == []
    assert first["prompt_filter_results"][0]["content_filter_results"]["hate"] == {
        "filtered": False,
        "severity": "safe",
    }
    found = [chunk["choices"][0]["content_filter_results"] for chunk in others]
    assert [sorted(one) for one in found] == [[], ["hate", "self_harm", "sexual", "violence"], []]


def test_azure_says_what_its_filter_cut_off() -> None:
    last = chunks("azure", "so", finish_reason="content_filter")[-1]

    assert last["choices"][0]["content_filter_results"]["violence"] == {"filtered": True, "severity": "medium"}


def test_groq_says_its_own_in_the_first_chunk_and_the_last() -> None:
    found = chunks("groq", "so it is", usage=USAGE)

    assert ["x_groq" in chunk for chunk in found] == [True, False, False, False, True]
    assert found[-1]["x_groq"]["usage"] == found[-1]["usage"]
    assert whole("groq", "so")["service_tier"] == "on_demand"


def test_llama_cpp_says_how_long_it_took() -> None:
    assert chunks("llama.cpp", "so", usage=USAGE)[-1]["timings"]["predicted_n"] == 5
    assert whole("llama.cpp", "so", usage=USAGE)["timings"]["prompt_n"] == 7


def test_perplexity_says_the_message_so_far_in_each_chunk() -> None:
    found = chunks("perplexity", "so it is")

    assert [chunk["choices"][0]["message"]["content"] for chunk in found] == ["so ", "so it ", "so it is", "so it is"]
    assert [chunk["usage"]["completion_tokens"] for chunk in found] == [1, 2, 3, 3]
    assert found[0]["citations"] == []


def test_perplexity_says_the_message_so_far_of_each_choice() -> None:
    found = chunks("perplexity", "so it", asks={"n": 2})

    said = [(chunk["choices"][0]["index"], chunk["choices"][0]["message"]["content"]) for chunk in found]
    assert said == [(0, "so "), (1, "so "), (0, "so it"), (1, "so it"), (0, "so it"), (1, "so it")]


def test_together_numbers_the_calls_of_a_whole_message() -> None:
    calls = whole("together", *CALLS)["choices"][0]["message"]["tool_calls"]

    assert [call["index"] for call in calls] == [0, 1]
    assert "index" not in whole("openai", *CALLS)["choices"][0]["message"]["tool_calls"][0]


def test_azure_says_what_its_filter_found_in_a_prompt_that_it_refuses() -> None:
    error = openai_error(code="content_filter")

    told = DIALECTS["azure"].error(400, error)["error"]

    assert (told["code"], told["param"], told["innererror"]["code"]) == (
        "content_filter",
        "prompt",
        "ResponsibleAIPolicyViolation",
    )
    assert DIALECTS["azure"].error(400, openai_error()) == {"error": openai_error()}


def test_thoughts_in_a_text_are_closed() -> None:
    said = [delta["content"] for delta in deltas(chunks("perplexity", Reasoning("hm hm"), "so ", "it is"))]
    assert "".join(said) == "<think>hm hm</think>so it is"

    said = [delta["content"] for delta in deltas(chunks("perplexity", Reasoning("hm")))]
    assert "".join(said) == "<think>hm</think>"


@pytest.mark.parametrize(
    "step", [Citation("https://a.example"), Image(), ToolCall("f")], ids=lambda step: type(step).__name__
)
def test_thoughts_in_a_text_are_closed_before_what_is_no_text(step: Any) -> None:
    said = [
        delta["content"] for delta in deltas(chunks("perplexity", Reasoning("hm"), step, "so")) if "content" in delta
    ]

    assert said[1] == "</think>"
    assert "".join(said) == whole("perplexity", Reasoning("hm"), step, "so")["choices"][0]["message"]["content"]


def test_service_tier_is_always_there() -> None:
    assert whole("openai", "so")["service_tier"] == "default"
    assert {chunk["service_tier"] for chunk in chunks("openai", "so")} == {"default"}
    assert whole("openai", "so", asks={"service_tier": "flex"})["service_tier"] == "flex"


def told(messages: list[dict[str, Any]]) -> tuple[str, str, dict[int, list[str]]]:
    """Return text, reasoning, and name and arguments of each tool call, from the deltas of a stream or one message."""
    text = reasoning = ""
    calls: dict[int, list[str]] = {}
    for said in messages:
        content = said.get("content") or ""
        parts: list[Any] = content if isinstance(content, list) else [{"type": "text", "text": content}]
        text += "".join(part["text"] for part in parts if part["type"] == "text")
        reasoning += "".join(part["thinking"][0]["text"] for part in parts if part["type"] == "thinking")
        reasoning += said.get("reasoning") or said.get("reasoning_content") or ""
        for place, call in enumerate(said.get("tool_calls", ())):
            one = calls.setdefault(call.get("index", place), ["", ""])
            one[0] += call["function"].get("name", "")
            one[1] += call["function"].get("arguments", "")
    return text, reasoning, calls


@BY_PROVIDER
def test_one_chunk_says_reasoning_text_and_a_call_as_a_whole_reply_does(provider: str) -> None:
    said = Together(Reasoning("hm"), "so", CALLS[0])

    streamed = told(deltas(chunks(provider, said)))

    assert streamed == told([whole(provider, said)["choices"][0]["message"]])


@BY_PROVIDER
def test_a_null_among_the_fragments_of_a_call_leaves_its_arguments(provider: str) -> None:
    said = deltas(chunks(provider, ToolCall("f", "{}", fragments=[None, "{}"])))

    arguments = [call["function"]["arguments"] for delta in said for call in delta.get("tool_calls", ())]
    assert arguments == (["{}"] if DIALECTS[provider].whole_calls else [None, "{}"])


@BY_PROVIDER
def test_text_that_overtakes_a_call_comes_after_the_opening(provider: str) -> None:
    said = deltas(chunks(provider, Interleave(ToolCall("f", {"x": 1}), "a b")))

    assert said[0]["role"] == "assistant"
    has_role = ["role" in delta for delta in said[1:]]
    assert has_role == [DIALECTS[provider].role_in_each] * len(has_role)


@settings(max_examples=60)
@given(provider=st.sampled_from(sorted(FACTS)), script=scripts())
def test_a_stream_and_a_whole_reply_say_the_same(provider: str, script: Script) -> None:
    _, _, streamed = asked(provider, script, stream=True, stream_options={"include_usage": True})
    found = [json.loads(event.data) for event in decode_sse(streamed) if event.data != "[DONE]"]
    reply = json.loads(asked(provider, script)[2])

    assert told(deltas(found)) == told([reply["choices"][0]["message"]])
    text, reasoning, calls = told(deltas(found))
    expected = {
        kind: "".join(step.text for step in script.steps if isinstance(step, kind)) for kind in (Text, Reasoning)
    }
    if DIALECTS[provider].reasoning == "<think>":
        assert len(text) == sum(map(len, expected.values())) + len("<think></think>") * text.count("</think>")
    else:
        assert (text, reasoning) == (expected[Text], expected[Reasoning])
    assert [arguments for _, arguments in calls.values()] == [s.json for s in script.steps if isinstance(s, ToolCall)]
    assert found[-1]["usage"] == reply["usage"]


EVERYTHING = (Reasoning("hm hm"), "so it is", *CALLS)


@pytest.mark.parametrize(
    ("provider", "chunk", "reply", "beyond"),
    [
        ("openai", ChatCompletionChunk, ChatCompletion, {"reasoning_content"}),
        ("groq", groq.types.chat.ChatCompletionChunk, groq.types.chat.ChatCompletion, set()),
        ("mistral", CompletionChunk, ChatCompletionResponse, {"prompt_tokens_details"}),
    ],
)
def test_frames_fit_the_models_of_the_providers_sdk(
    provider: str, chunk: type[BaseModel], reply: type[BaseModel], beyond: set[str]
) -> None:
    streamed = [chunk.model_validate(one) for one in chunks(provider, *EVERYTHING, usage=USAGE)]
    at_once = reply.model_validate(whole(provider, *EVERYTHING, usage=USAGE))

    unknown = {path.rpartition(".")[2] for read in (*streamed, at_once) for path in unknown_fields(read)}
    assert unknown <= beyond


def test_frames_fit_the_types_of_hugging_face() -> None:
    for one in chunks("huggingface", *EVERYTHING, asks={"stream_options": {"include_usage": True}}):
        read = huggingface_hub.ChatCompletionStreamOutput.parse_obj_as_instance(one)
        assert all(choice.delta.role == "assistant" for choice in read.choices)
    at_once = huggingface_hub.ChatCompletionOutput.parse_obj_as_instance(whole("huggingface", *EVERYTHING))
    assert at_once.choices[0].message.reasoning == "hm hm"


# Who is asked.


@pytest.mark.parametrize(
    ("url", "agent", "provider"),
    [
        ("https://x.openai.azure.com/openai/v1/chat/completions", "", "azure"),
        ("https://gateway.example/openai/deployments/mistral/chat/completions", "", "azure"),
        ("http://localhost/openai/v1/chat/completions", "", "groq"),
        ("http://localhost/inference/v1/chat/completions", "", "fireworks"),
        ("http://localhost/deepseek/chat/completions", "", "deepseek"),
        ("https://gateway.example/v1/account/mistral/v1/chat/completions", "", "mistral"),
        ("http://localhost/v1/chat/completions", "AsyncGroq/Python 1.7.0", "groq"),
        ("http://localhost/v1/chat/completions", "speakeasy-sdk/python 3.7.0 2.935.1 1.0.0 mistralai", "mistral"),
        ("http://localhost/v1/chat/completions", "speakeasy-sdk/python 1.3.84 2.914.0 1.0.0 openrouter", "openrouter"),
        ("http://localhost/v1/chat/completions", "unknown/None; hf_hub/2.4.0; python/3.13.0", "huggingface"),
        ("http://localhost/v1/chat/completions", "OpenAI/Python 3.57.0", "openai"),
        ("https://api.deepseek.com/v1/chat/completions", "Groq/Python 1.7.0", "deepseek"),
        ("http://localhost/v1/fim/completions", "", "mistral"),
        ("http://localhost/v1/agents/completions", "", "mistral"),
    ],
)
def test_host_path_and_sdk_tell_who_is_asked(url: str, agent: str, provider: str) -> None:
    door = Door()

    answered = door.ask(
        "POST", url, {"User-Agent": agent}, {"model": "m", "agent_id": "a", "messages": HELLO, "prompt": "hi"}
    )

    assert (answered.status, door.request.provider) == (200, provider)


def test_provider_that_is_not_known_is_an_error_that_lists_them() -> None:
    with pytest.raises(ScriptError, match=r"provider='openruter' is not known: give 'openai' or .*'llama"):
        MockStreamSDK(provider="openruter")


def test_error_of_a_request_has_the_providers_shape() -> None:
    door = Door()

    answered = door.answer("POST", "https://api.mistral.ai/v1/chat/completions", {}, {"model": "m"})
    body = json.loads(b"".join(frames(answered)))

    assert body["object"] == "error"
    with pytest.raises(UnexpectedRequestError, match="Mistral Chat Completions cannot read it"):
        door.playbook.verify()
