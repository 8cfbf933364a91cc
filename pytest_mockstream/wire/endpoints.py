"""The table of all endpoints, and the look-up of those that a request may be meant for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import unquote

from .format import WireFormat
from .formats import (
    anthropic,
    anthropic_batches,
    anthropic_files,
    bedrock,
    bedrock_text,
    cohere_chat,
    cohere_tokens,
    embeddings,
    gemini,
    gemini_batches,
    gemini_files,
    huggingface,
    metadata,
    mistral_conversations,
    mistral_files,
    mistral_transcriptions,
    moderations,
    ollama,
    ollama_models,
    openai_batches,
    openai_chat,
    openai_completions,
    openai_conversations,
    openai_files,
    openai_images,
    openai_kept_responses,
    openai_responses,
    openai_speech,
    openai_transcriptions,
    openai_vector_stores,
    rerank,
)
from .plain import PlainEndpoint

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: An endpoint, and the parameters in the path of a request.
Found: TypeAlias = "tuple[WireFormat | PlainEndpoint, dict[str, str]]"

#: All endpoints; of several that fit a request, the first counts.
ENDPOINTS: tuple[WireFormat | PlainEndpoint, ...] = (
    openai_chat.FORMAT,
    openai_completions.FORMAT,
    openai_responses.FORMAT,
    anthropic.FORMAT,
    gemini.FORMAT,
    ollama.CHAT,
    ollama.GENERATE,
    *openai_chat.OF_MISTRAL,
    anthropic.VERTEX,
    gemini.VERTEX,
    anthropic.BEDROCK,
    bedrock.CONVERSE,
    bedrock.NOVA,
    *bedrock_text.FORMATS,
    bedrock.NOT_SPOKEN,
    cohere_chat.FORMAT,
    mistral_conversations.FORMAT,
    mistral_transcriptions.FORMAT,
    openai_transcriptions.TRANSCRIPTIONS,
    openai_transcriptions.TRANSLATIONS,
    *anthropic_batches.ENDPOINTS,
    *anthropic_files.ENDPOINTS,
    *gemini_batches.ENDPOINTS,
    *gemini_files.ENDPOINTS,
    *mistral_conversations.ENDPOINTS,
    *mistral_files.ENDPOINTS,
    *ollama_models.ENDPOINTS,
    *openai_kept_responses.ENDPOINTS,
    *openai_conversations.ENDPOINTS,
    *openai_images.ENDPOINTS,
    *openai_speech.ENDPOINTS,
    *moderations.ENDPOINTS,
    *openai_files.ENDPOINTS,
    *openai_batches.ENDPOINTS,
    *openai_vector_stores.ENDPOINTS,
    *huggingface.FORMATS,
    *rerank.ENDPOINTS,
    *cohere_tokens.ENDPOINTS,
    *embeddings.ENDPOINTS,
    *huggingface.ENDPOINTS,
    *metadata.ENDPOINTS,
)


def endpoints_at(path: str, headers: Mapping[str, str], provider: str | None = None) -> list[Found]:
    """Return the endpoints at a path, after any prefix and for any method, each with the parameters in the path.

    Args:
        path: of the URL.
        headers: their names in lower case; they tell endpoints at the same path apart.
        provider: who is asked, where the host says it; its endpoints come first, also without their headers. Of others,
            those with the longest path do: ``/vector_stores/{id}/files`` ends with ``/files``, too.
    """
    meant = [(endpoint, match, _is_meant(endpoint, headers)) for endpoint, match in _matches(path)]
    found = [one for one in meant if one[2] or one[0].provider == provider]
    found.sort(key=lambda one: (one[0].provider != provider, not one[2], one[1].start()))
    return [
        (endpoint, {name: value for name, value in match.groupdict().items() if value}) for endpoint, match, _ in found
    ]


@lru_cache(maxsize=256)  # a test asks the same few paths again and again, and there are more than 100 patterns
def _matches(path: str) -> tuple[tuple[WireFormat | PlainEndpoint, re.Match[str]], ...]:
    """Return the endpoints whose pattern a path matches, in the order of the table, whoever is asked."""
    path = unquote(path).rstrip("/")
    return tuple((endpoint, match) for endpoint in ENDPOINTS if (match := endpoint.path.search(path)) is not None)


def _is_meant(endpoint: WireFormat | PlainEndpoint, headers: Mapping[str, str]) -> bool:
    if endpoint.header is None:
        return True
    name, _, value = endpoint.header.partition(": ")
    return name in headers and headers[name].lower().startswith(value)


def is_path(path: str, method: str | None = None) -> bool:
    """Tell whether anything is known of a path, whatever the headers of a request, and its method if none is given."""
    return any(one.path.search(path) for one in ENDPOINTS if method in {None, one.method})
