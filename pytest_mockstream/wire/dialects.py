"""The table of dialects: what each provider of OpenAI's format says in its own way, and which one a request is for.

It is data: ``dialect_shapes`` has the functions that it names, and the formats read it. Facts are from each provider's
reference, which ``source`` names, from the models of its SDK, and from bodies that others have recorded in public
(https://github.com/vercel/ai, folders ``__fixtures__``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from . import dialect_shapes as shapes
from .dialect import Dialect
from .format import words
from .hosts import provider_of

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


def _words(*own: str, content_filter: str = "content_filter") -> dict[str, str]:
    return words(*own, stop="stop", length="length", tool_calls="tool_calls", content_filter=content_filter)


#: By provider, as ``hosts`` names them, and servers that people run themselves, which have no host of their own.
DIALECTS: Mapping[str, Dialect] = {
    "openai": Dialect(
        title="OpenAI",
        source="https://platform.openai.com/docs/api-reference/chat-streaming",
        null_usage=True,
        opening={"content": "", "refusal": None},
        refusals=True,
        head={"service_tier": "default", "system_fingerprint": "fp_mockstream"},
    ),
    "azure": Dialect(
        title="Azure OpenAI",
        source="https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-streaming",
        base="",
        path=re.compile(r"/openai/deployments/[^/]+/"),
        agent=re.compile(r"^(?:Async)?AzureOpenAI/"),
        null_usage=True,
        opening={"content": "", "refusal": None},
        refusals=True,
        head={"system_fingerprint": "fp_mockstream"},
        whole=lambda _usage: {"prompt_filter_results": shapes.PROMPT_FILTER_RESULTS},
        prelude={
            "choices": [],
            "created": 0,
            "id": "",
            "model": "",
            "object": "",
            "prompt_filter_results": shapes.PROMPT_FILTER_RESULTS,
        },
        choice=shapes.content_filter_results,
        error=shapes.azure_body,
        headers={"apim-request-id": "{number}", "x-ms-region": "Mock Region"},
    ),
    "mistral": Dialect(
        title="Mistral",
        source="https://docs.mistral.ai/api/#tag/chat",
        base="",
        agent=re.compile(r"^mistral-client-python/|^speakeasy-sdk/python .*mistralai$"),
        reasoning="thinking parts",
        usage_in="last chunk",
        usage=shapes.cached_usage,
        finish_reasons=_words("model_length", "error", content_filter="stop"),
        closing={"content": ""},
        whole_calls=True,
        null_logprobs=False,
        id_prefix="",
        error=shapes.mistral_body,
        headers={"mistral-correlation-id": "{number}"},
    ),
    "groq": Dialect(
        title="Groq",
        source="https://console.groq.com/docs/api-reference#chat-create",
        base="",
        path=re.compile(r"/openai/v1/"),
        agent=re.compile(r"^(?:Async)?Groq/"),
        reasoning="reasoning",
        usage_in="last chunk",
        usage=shapes.groq_usage,
        whole_calls=True,
        head={"system_fingerprint": "fp_mockstream"},
        first=shapes.GROQ_ID,
        last=shapes.groq_end,
        whole=shapes.groq_whole,
        error=shapes.groq_body,
        headers={"x-groq-region": "mock"},
    ),
    "xai": Dialect(
        title="xAI",
        source="https://docs.x.ai/docs/api-reference#chat-completions",
        usage=shapes.xai_usage,
        opening=None,
        whole_calls=True,
        refusals=True,
        head={"system_fingerprint": "fp_mockstream"},
        null_logprobs=False,
        id_prefix="",
        error=shapes.xai_body,
    ),
    "openrouter": Dialect(
        title="OpenRouter",
        source="https://openrouter.ai/docs/api-reference/overview",
        base="/api/v1",
        agent=re.compile(r"^speakeasy-sdk/python .*openrouter$"),
        reasoning="reasoning",
        reasoning_details=True,
        beside_reasoning={"content": ""},
        usage_in="own chunk",
        usage_has_choice=True,
        usage=shapes.openrouter_usage,
        finish_reasons=_words("error"),
        opening=None,
        closing={"content": ""},
        role_in_each=True,
        refusals=True,
        head={"provider": "Mock", "system_fingerprint": "fp_mockstream"},
        choice=shapes.native_finish_reason,
        id_prefix="gen-",
        error=shapes.code_body,
        has_codes=False,
        error_ends_choice=True,
        comment="OPENROUTER PROCESSING",
        headers={"x-generation-id": "gen-{number}"},
    ),
    "deepseek": Dialect(
        title="DeepSeek",
        source="https://api-docs.deepseek.com/api/create-chat-completion",
        base="",
        beside_reasoning={"content": None},
        usage_in="last chunk",
        null_usage=True,
        usage=shapes.deepseek_usage,
        finish_reasons=_words("insufficient_system_resource"),
        closing={"content": ""},
        head={"system_fingerprint": "fp_mockstream"},
        id_prefix="",
        headers={"x-ds-trace-id": "{number}"},
    ),
    "together": Dialect(
        title="Together",
        source="https://docs.together.ai/reference/chat-completions-1",
        agent=re.compile(r"^(?:Async)?Together/"),
        reasoning="reasoning",
        usage_in="last chunk",
        usage=shapes.plain_usage,
        finish_reasons=_words("eos", "function_call", content_filter="stop"),
        opening=None,
        closing={"content": ""},
        role_in_each=True,
        whole_calls=True,
        numbers_calls=True,
        whole=shapes.together_whole,
        id_prefix="",
        headers={"x-together-traceid": "{number}"},
    ),
    "fireworks": Dialect(
        title="Fireworks",
        source="https://docs.fireworks.ai/api-reference/post-chatcompletions",
        path=re.compile(r"/inference/v1/"),
        agent=re.compile(r"^(?:Async)?Fireworks/"),
        usage_in="last chunk",
        usage=shapes.cached_usage,
        finish_reasons=_words("function_call", content_filter="stop"),
        opening={},
        null_logprobs=False,
        id_prefix="",
        error=shapes.fireworks_body,
    ),
    "perplexity": Dialect(
        title="Perplexity",
        source="https://docs.perplexity.ai/api-reference/chat-completions-post",
        base="",
        agent=re.compile(r"^(?:Async)?Perplexity/"),
        reasoning="<think>",
        usage_in="each chunk",
        usage=shapes.perplexity_usage,
        finish_reasons=words(stop="stop", length="length", tool_calls="stop", content_filter="stop"),
        opening=None,
        closing={"content": ""},
        role_in_each=True,
        whole_calls=True,
        head={"citations": [], "search_results": []},
        null_logprobs=False,
        cumulative=True,
        id_prefix="",
        error=shapes.code_and_type_body,
        has_codes=False,
    ),
    "huggingface": Dialect(
        title="Hugging Face",
        source="https://huggingface.co/docs/inference-providers/tasks/chat-completion",
        agent=re.compile(r"\bhf_hub/"),
        reasoning="reasoning",
        usage=shapes.plain_usage,
        finish_reasons=_words("eos_token", "stop_sequence"),
        opening=None,
        closing={"content": ""},
        role_in_each=True,
        whole_calls=True,
        head={"system_fingerprint": "fp_mockstream"},
        id_prefix="",
        error=shapes.huggingface_body,
        has_codes=False,
    ),
    "vllm": Dialect(
        title="vLLM",
        source="https://docs.vllm.ai/en/latest/serving/openai_compatible_server",
        reasoning="reasoning",
        usage=shapes.plain_usage,
        finish_reasons=_words("abort"),
        closing={"content": ""},
        name_first=True,
        whole=shapes.vllm_whole,
        choice=shapes.stop_reason,
        error=shapes.code_for_code_body,
        has_codes=False,
    ),
    "llama.cpp": Dialect(
        title="llama.cpp",
        source="https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
        usage=shapes.cached_usage,
        finish_reasons=_words(content_filter="stop"),
        opening={"content": None},
        head={"system_fingerprint": "b1-mockstream"},
        last=shapes.llama_timings,
        whole=shapes.llama_timings,
        null_logprobs=False,
        error=shapes.code_and_type_body,
        has_codes=False,
    ),
}
#: Whose paths, where they are at no host that is known, have the provider's name in them, as gateways write it.
_NAMED = re.compile(rf"/({'|'.join(map(re.escape, DIALECTS))})/")


def provider_asked(host: str, path: str, agent: str, *, given: str | None, usual: str) -> str:
    """Return who is asked.

    Args:
        host: of the request.
        path: of the URL.
        agent: the request's ``User-Agent``.
        given: who is asked in OpenAI's format, as the door was told; None to find it out.
        usual: whose endpoint it is.
    """
    if usual != "openai":
        return provider_of(host) or usual
    return given or provider_of(host) or _by_path(path) or _by_agent(agent) or usual


def _by_path(path: str) -> str | None:
    for provider, dialect in DIALECTS.items():
        if dialect.path is not None and dialect.path.search(path):
            return provider
    named = _NAMED.search(path)
    return named[1] if named else None


def _by_agent(agent: str) -> str | None:
    return next(
        (provider for provider, dialect in DIALECTS.items() if dialect.agent and dialect.agent.search(agent)), None
    )


def base_of(provider: str) -> str:
    """Return the path of a base URL at which a server knows that this provider is asked."""
    return ("" if provider == "openai" else f"/{provider}") + DIALECTS[provider].base


def headers_of(provider: str, number: int) -> dict[str, str]:
    """Return the headers that a provider's responses have besides the usual ones."""
    dialect = DIALECTS.get(provider)
    return {} if dialect is None else {name: text.format(number=number) for name, text in dialect.headers.items()}
