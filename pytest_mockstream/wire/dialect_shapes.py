"""How providers of OpenAI's format rewrite parts of it: usage, errors, and what they put beside a choice.

Each function gets what OpenAI would say, and returns what that provider says. ``dialects`` has the table, with sources.
"""

from __future__ import annotations

from typing import Any, TypeAlias

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

Json: TypeAlias = dict[str, Any]

# Prices in dollars a token; made up, so that code which adds up costs has something to add up.
_PRICE_IN = 1e-06
_PRICE_OUT = 2e-06
_SECONDS_A_TOKEN = 0.001


#: Of Groq, on the first chunk, the last, and a whole reply.
GROQ_ID: Json = {"x_groq": {"id": "req_mockstream"}}


# Usage.


def plain_usage(usage: Json) -> Json:
    """Say the three sums, and nothing of their parts."""
    return {name: usage[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}


def cached_usage(usage: Json) -> Json:
    """Say the three sums, and how much of the input was cached."""
    return plain_usage(usage) | {"prompt_tokens_details": {"cached_tokens": _cached(usage)}}


def groq_usage(usage: Json) -> Json:
    """Add times, in seconds; the details only where they are not 0."""
    told = plain_usage(usage)
    said, thought = told["prompt_tokens"] * _SECONDS_A_TOKEN / 10, told["completion_tokens"] * _SECONDS_A_TOKEN
    told |= {"queue_time": 0.01, "prompt_time": said, "completion_time": thought, "total_time": said + thought}
    if cached := _cached(usage):
        told["prompt_tokens_details"] = {"cached_tokens": cached}
    if reasoning := _reasoning(usage):
        told["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return told


def xai_usage(usage: Json) -> Json:
    """Count reasoning beside the output tokens, not among them."""
    said = {"text_tokens": usage["prompt_tokens"], "image_tokens": 0}
    return usage | {
        "completion_tokens": usage["completion_tokens"] - _reasoning(usage),
        "prompt_tokens_details": said | usage["prompt_tokens_details"],
        "num_sources_used": 0,
    }


def openrouter_usage(usage: Json) -> Json:
    """Add what it costs, in dollars."""
    cost_in, cost_out = usage["prompt_tokens"] * _PRICE_IN, usage["completion_tokens"] * _PRICE_OUT
    return usage | {
        "cost": cost_in + cost_out,
        "is_byok": False,
        "cost_details": {
            "upstream_inference_cost": None,
            "upstream_inference_prompt_cost": cost_in,
            "upstream_inference_completions_cost": cost_out,
        },
    }


def deepseek_usage(usage: Json) -> Json:
    """Tell input tokens that were cached from those that were not."""
    told = cached_usage(usage)
    if reasoning := _reasoning(usage):
        told["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    missed = told["prompt_tokens"] - _cached(usage)
    return told | {"prompt_cache_hit_tokens": _cached(usage), "prompt_cache_miss_tokens": missed}


def perplexity_usage(usage: Json) -> Json:
    """Add what it costs, in dollars, and how much was searched."""
    told = plain_usage(usage) | {"search_context_size": "low"}
    if reasoning := _reasoning(usage):
        told["reasoning_tokens"] = reasoning
    cost_in, cost_out, request = told["prompt_tokens"] * _PRICE_IN, told["completion_tokens"] * _PRICE_OUT, 0.005
    costs = {"input_tokens_cost": cost_in, "output_tokens_cost": cost_out, "request_cost": request}
    return told | {"cost": costs | {"total_cost": cost_in + cost_out + request}}


def _cached(usage: Json) -> int:
    cached: int = usage["prompt_tokens_details"]["cached_tokens"]
    return cached


def _reasoning(usage: Json) -> int:
    reasoning: int = usage["completion_tokens_details"]["reasoning_tokens"]
    return reasoning


# Beside a choice: what a provider adds to each, given the choice.


def native_finish_reason(choice: Json) -> Json:
    """Add the finish reason in the words of the model's own provider."""
    return {"native_finish_reason": choice["finish_reason"]}


def stop_reason(choice: Json) -> Json:
    """Add which stop string ended the text: none did."""
    return {} if choice["finish_reason"] is None else {"stop_reason": None}


_SAFE = {"filtered": False, "severity": "safe"}
_RESULTS = {"hate": _SAFE, "self_harm": _SAFE, "sexual": _SAFE, "violence": _SAFE}
#: Of Azure, for the prompt, before the first choice.
PROMPT_FILTER_RESULTS = [
    {"prompt_index": 0, "content_filter_results": _RESULTS | {"jailbreak": {"filtered": False, "detected": False}}}
]


def content_filter_results(choice: Json) -> Json:
    """Add what Azure's filter says of the text in a choice; of no text, it says nothing."""
    if choice["finish_reason"] == "content_filter":
        return {"content_filter_results": _RESULTS | {"violence": {"filtered": True, "severity": "medium"}}}
    said: Json = choice["delta"] if "delta" in choice else choice.get("message", {})
    return {"content_filter_results": _RESULTS if said.get("content") else {}}


# Beside the choices: what a provider adds to the last chunk and to a whole reply, given the usage.


def nothing(_usage: Json) -> Json:
    """Add nothing."""
    return {}


def groq_end(usage: Json) -> Json:
    """Add Groq's own field, with the usage: https://console.groq.com/docs/api-reference#chat-create."""
    return GROQ_ID | {"x_groq": GROQ_ID["x_groq"] | {"usage": usage}}


def groq_whole(_usage: Json) -> Json:
    """Add Groq's own fields."""
    return {"usage_breakdown": None, "service_tier": "on_demand", **GROQ_ID}


def together_whole(_usage: Json) -> Json:
    """Add the prompt, which is told only to who asks for it."""
    return {"prompt": []}


def vllm_whole(_usage: Json) -> Json:
    """Add what vLLM says where there is nothing to say."""
    empty = ("service_tier", "system_fingerprint", "prompt_logprobs", "prompt_token_ids", "kv_transfer_params")
    return dict.fromkeys(empty)


def llama_timings(usage: Json) -> Json:
    """Add how long it took, in milliseconds."""
    said, done = usage["prompt_tokens"], usage["completion_tokens"]
    return {
        "timings": {
            "prompt_n": said,
            "prompt_ms": said / 10,
            "prompt_per_token_ms": 0.1,
            "prompt_per_second": 10_000.0,
            "predicted_n": done,
            "predicted_ms": float(done),
            "predicted_per_token_ms": 1.0,
            "predicted_per_second": 1000.0,
        }
    }


# Errors: the body, given the status and what OpenAI says under "error".


def openai_body(_status: int, error: Json) -> Json:
    """Say it as OpenAI does."""
    return {"error": error}


def azure_body(status: int, error: Json) -> Json:
    """Say less where it is Azure's gateway that refuses, and what the filter found where it was that."""
    if status in {401, 403, 404, 429}:
        code = "DeploymentNotFound" if status == 404 else str(status)
        return {"error": {"code": code, "message": error["message"]}}
    if status == 400 and "content_filter" in (error["code"], error["type"]):
        found = _RESULTS | {"violence": {"filtered": True, "severity": "medium"}}
        inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": found}
        about = {"type": None, "param": "prompt", "code": "content_filter", "status": 400, "innererror": inner}
        return {"error": {"message": error["message"], **about}}
    return {"error": error}


def mistral_body(_status: int, error: Json) -> Json:
    """Say it at the top."""
    return {"object": "error", **error}


def groq_body(_status: int, error: Json) -> Json:
    """Say only what there is to say."""
    return {"error": {name: value for name, value in error.items() if value is not None}}


def xai_body(_status: int, error: Json) -> Json:
    """Say a text only, and a code, which is a sentence."""
    return {"code": error["code"] or error["type"], "error": error["message"]}


def code_body(status: int, error: Json) -> Json:
    """Give the status as the code."""
    return {"error": {"code": status, "message": error["message"]}}


def code_and_type_body(status: int, error: Json) -> Json:
    """Give the status as the code, beside the type."""
    return {"error": {"code": status, "message": error["message"], "type": error["type"]}}


def code_for_code_body(status: int, error: Json) -> Json:
    """Give the status as the code, beside all else."""
    return {"error": error | {"code": status}}


def fireworks_body(_status: int, error: Json) -> Json:
    """Say that it is an error."""
    return {"error": {"object": "error", **error}}


def huggingface_body(_status: int, error: Json) -> Json:
    """Say a text, and a type beside it."""
    words = {"invalid_request_error": "validation", "rate_limit_error": "overloaded", "server_error": "generation"}
    return {"error": error["message"], "error_type": words.get(error["type"], error["type"])}
