"""The headers in which each provider says what is left of a quota, and which providers say nothing.

Each has its source: the provider's page or, where that names none, a report of an answer. Read in November 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TypeAlias

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: A limit per minute, what is left of it, and the seconds until all of it is there again.
Level: TypeAlias = tuple[int, int, float]


def _seconds(seconds: float) -> str:
    return f"{round(seconds, 3):.12g}"  # without an exponent


@dataclass(frozen=True, slots=True)
class Names:
    """The headers for one kind of quota; what a provider does not say is None.

    Attributes:
        limit: says how much there is in all.
        remaining: says how much is left.
        reset: says when all of it is there again.
        window: says for how many seconds the limit is.
    """

    limit: str | None = None
    remaining: str | None = None
    reset: str | None = None
    window: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """How a provider says what is left of its quotas.

    Attributes:
        source: the page that documents it, or a report of an answer; None if it was only seen in answers.
        requests: the headers for the requests, if there are any.
        tokens: those for the tokens.
        reset: writes the seconds until a quota is full again.
        window: the seconds that the limit is for.
        refused: the headers for the requests on a refusal, where they are others.
    """

    source: str | None
    requests: Names = Names()
    tokens: Names = Names()
    reset: Callable[[float], str] = _seconds
    window: int = 60
    refused: Names | None = None


def rate_limit_headers(
    provider: str, *, requests: Level | None = None, tokens: Level | None = None, refused: bool = False
) -> dict[str, str]:
    """Return the headers in which a provider says what is left; none if it does not.

    Args:
        provider: whose.
        requests: what is left of the requests.
        tokens: what is left of the tokens.
        refused: whether the answer refuses a request for its quota.
    """
    spelling = RATE_LIMITS.get(provider)
    if spelling is None:
        return {}
    of_requests = spelling.refused if refused and spelling.refused is not None else spelling.requests
    levels = ((of_requests, requests), (spelling.tokens, tokens))
    return {name: value for names, level in levels if level for name, value in _said(spelling, names, level)}


def _said(spelling: Spelling, names: Names, level: Level) -> Iterator[tuple[str, str]]:
    limit, left, seconds = level
    limit = ceil(limit * spelling.window / 60)
    if names.limit is not None:
        yield names.limit, str(limit)
    if names.remaining is not None:
        yield names.remaining, str(min(left, limit))
    if names.reset is not None:
        yield names.reset, spelling.reset(seconds)
    if names.window is not None:
        yield names.window, str(spelling.window)


def _duration(seconds: float) -> str:
    """Return a duration as Go writes it: ``12ms``, ``1.5s``, ``6m0s``."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"


def _whole_seconds(seconds: float) -> str:
    return str(ceil(seconds))


def _in(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def _date(seconds: float) -> str:
    """Return a time as RFC 3339 writes it."""
    return _in(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def _epoch(seconds: float) -> str:
    return str(ceil(_in(seconds).timestamp()))


def _epoch_in_ms(seconds: float) -> str:
    return str(int(_in(seconds).timestamp() * 1000))


def _headers(pattern: str, name: str = "") -> Names:
    """Return headers that differ in one word, the first ``{}`` of their pattern; the second one is ``name``."""
    return Names(*(pattern.format(word, name) for word in ("limit", "remaining", "reset")))


_OPENAI = Spelling(
    source="https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers",
    requests=_headers("x-ratelimit-{}-{}", "requests"),
    tokens=_headers("x-ratelimit-{}-{}", "tokens"),
    reset=_duration,
)
_AZURE = Spelling(
    source="https://github.com/openai/openai-dotnet/issues/838",
    requests=replace(_OPENAI.requests, window="x-ratelimit-renewalperiod-requests"),
    tokens=replace(_OPENAI.tokens, window="x-ratelimit-renewalperiod-tokens"),
    reset=_whole_seconds,
)

#: Providers that say what is left.
RATE_LIMITS: Mapping[str, Spelling] = {
    "openai": _OPENAI,
    "azure": _AZURE,
    "groq": replace(_OPENAI, source="https://console.groq.com/docs/rate-limits#rate-limit-headers"),
    "anthropic": Spelling(
        source="https://docs.claude.com/en/api/rate-limits#response-headers",
        requests=_headers("anthropic-ratelimit-{1}-{0}", "requests"),
        tokens=_headers("anthropic-ratelimit-{1}-{0}", "tokens"),
        reset=_date,
    ),
    "openrouter": Spelling(
        source="https://openrouter.ai/docs/api-reference/limits",
        requests=_headers("x-ratelimit-{}"),
        reset=_epoch_in_ms,
    ),
    # Until 2025 it was x-ratelimitbysize-limit-minute, for the tokens.
    "mistral": Spelling(
        source="https://github.com/mistralai/client-ts/issues/169",
        requests=Names("x-ratelimit-limit-req-minute", "x-ratelimit-remaining-req-minute"),
        tokens=Names("x-ratelimit-limit-tokens-minute", "x-ratelimit-remaining-tokens-minute"),
    ),
    # The same with -hour and -day. Its page names those for requests a day and for tokens a minute.
    "cerebras": Spelling(
        source="https://inference-docs.cerebras.ai/support/rate-limits",
        requests=_headers("x-ratelimit-{}-{}-minute", "requests"),
        tokens=_headers("x-ratelimit-{}-{}-minute", "tokens"),
    ),
    "sambanova": Spelling(
        source="https://docs.sambanova.ai/docs/en/models/rate-limits",
        requests=_OPENAI.requests,
        reset=_epoch,
    ),
    # Its limits are per second.
    "together": Spelling(
        source="https://docs.together.ai/docs/rate-limits",
        requests=_headers("x-ratelimit-{}"),
        tokens=Names("x-tokenlimit-limit", "x-tokenlimit-remaining"),
        window=1,
    ),
    # The tokens of prompts and of answers are counted apart there, a quota of this package's counts both.
    "fireworks": Spelling(
        source="https://docs.fireworks.ai/guides/quotas_usage/rate-limits",
        requests=Names("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"),
    ),
    "github": replace(_AZURE, source=None, refused=Names(reset="x-ratelimit-timeremaining")),
    # Keys for a trial only; a refusal has none.
    "cohere": Spelling(
        source="https://github.com/cohere-ai/cohere-typescript/issues/222",
        requests=Names("x-trial-endpoint-call-limit", "x-trial-endpoint-call-remaining"),
        refused=Names(),
    ),
    # How the reset is written is not documented.
    "moonshot": Spelling(
        source="https://www.kimi.com/help/kimi-api/api-rate-limits",
        requests=Names("x-ratelimit-limit", "x-ratelimit-remaining"),
    ),
}

#: Providers that send no such headers: what there is instead, and the source; None if it was only seen in answers.
NO_RATE_LIMITS: Mapping[str, tuple[str, str | None]] = {
    "gemini": ("the body may say when, as `RetryInfo`", "https://github.com/googleapis/python-genai/issues/1721"),
    "vertex": ("as Gemini", "https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429"),
    "bedrock": ("a `ThrottlingException`", "https://github.com/epam/ai-dial-adapter-bedrock/pull/371"),
    "deepseek": ("it has no fixed limits", "https://api-docs.deepseek.com/quick_start/rate_limit"),
    "huggingface": (
        "only the Hub itself has some, `RateLimit` and `RateLimit-Policy`",
        "https://huggingface.co/docs/hub/rate-limits",
    ),
    "nvidia": ("a 429", None),
    "voyage": ("a 429", "https://docs.voyageai.com/docs/rate-limits"),
    "dashscope": ("a 429", "https://www.alibabacloud.com/help/en/model-studio/rate-limiting-best-practices"),
    "replicate": ("the body says when", "https://replicate.com/docs/topics/predictions/rate-limits"),
    "assemblyai": ("it limits what runs at once", "https://assemblyai.com/docs/getting-started/usage-limits"),
    "cartesia": (
        "it limits what runs at once",
        "https://docs.cartesia.ai/use-the-api/concurrency-limits-and-timeouts",
    ),
    "deepgram": (
        "it limits what runs at once",
        "https://developers.deepgram.com/docs/working-with-concurrency-rate-limits",
    ),
    "elevenlabs": (
        "it limits what runs at once",
        "https://elevenlabs.io/docs/overview/models#concurrency-and-priority",
    ),
    "ollama": ("it has no limits", "https://github.com/ollama/ollama/blob/main/docs/api.md"),
    "vllm": ("it has no limits", "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"),
    "llama.cpp": ("it has no limits", "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md"),
}

#: Providers of which neither a page that names headers nor an answer of theirs was found; they send none here.
NOT_KNOWN = frozenset({"ai21", "jina", "perplexity", "xai"})
