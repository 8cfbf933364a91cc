"""What SDKs and agents ask for besides replies: which models there are, and how many tokens a request has.

OpenAI: https://platform.openai.com/docs/api-reference/models; Anthropic: https://docs.anthropic.com/en/api/models-list;
Gemini: https://ai.google.dev/api/models; Ollama: https://github.com/ollama/ollama/blob/main/docs/api.md. The lists
have one model, and every model that is asked for exists.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pytest_mockstream.wire.format import CREATED, CREATED_TEXT, Json, ParsedRequest
from pytest_mockstream.wire.plain import PlainEndpoint, refuse_streaming
from pytest_mockstream.wire.reading import text_field

_MODEL = "mock-model"
_DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "mock",
    "families": ["mock"],
    "parameter_size": "1B",
    "quantization_level": "Q4_0",
}


def _listed(one: Callable[[str], Json], around: Callable[[list[Json]], Json]) -> Callable[[ParsedRequest], Json]:
    """Return a function that describes the model in the path or, without one, lists the one model there is."""
    return lambda request: one(request.model) if request.model else around([one(_MODEL)])


def _openai_model(name: str) -> Json:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "pytest-mockstream"}


def _anthropic_model(name: str) -> Json:
    return {"id": name, "type": "model", "display_name": name, "created_at": CREATED_TEXT, "lifecycle": "active"}


def _anthropic_page(models: list[Json]) -> Json:
    return {"data": models, "has_more": False, "first_id": models[0]["id"], "last_id": models[-1]["id"]}


def _openai_page(models: list[Json]) -> Json:
    return {"object": "list", "data": models}


def _gemini_model(name: str) -> Json:
    return {
        "name": f"models/{name}",
        "displayName": name,
        "version": "001",
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens", "embedContent"],
    }


def _gemini_page(models: list[Json]) -> Json:
    return {"models": models}


def _ollama_model(name: str) -> Json:
    digest = "0" * 64
    return {
        "name": name,
        "model": name,
        "modified_at": CREATED_TEXT,
        "size": 1,
        "digest": digest,
        "details": _DETAILS,
    }


def _ollama_tags(_request: ParsedRequest) -> Json:
    return {"models": [_ollama_model(_MODEL)]}


def _ollama_show(request: ParsedRequest) -> Json:
    refuse_streaming(request.params)
    if not request.model:
        text_field(request.params, "model")
    told = {"modelfile": "", "parameters": "", "template": "{{ .Prompt }}", "license": ""}
    facts = {"model_info": {"general.architecture": "mock"}, "capabilities": ["completion", "tools", "thinking"]}
    return told | {"details": _DETAILS, "modified_at": CREATED_TEXT} | facts


def _words(value: Any) -> int:
    """Count the words of all text in a request, as the default usage of a script does."""
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, dict):
        return sum(_words(item) for name, item in value.items() if name not in {"role", "type", "model"})
    return sum(map(_words, value)) if isinstance(value, list) else 0


_MODELS = re.compile(r"/models(?:/(?P<model>[^:]+))?$")

# Three providers list their models at the same path; headers that two of them require tell them apart.
ENDPOINTS = (
    PlainEndpoint(
        "anthropic", "GET …/v1/models", _MODELS, _listed(_anthropic_model, _anthropic_page), header="anthropic-version"
    ),
    PlainEndpoint("gemini", "GET …/models", _MODELS, _listed(_gemini_model, _gemini_page), header="x-goog-api-key"),
    PlainEndpoint("openai", "GET …/models", _MODELS, _listed(_openai_model, _openai_page)),
    PlainEndpoint("ollama", "GET …/api/tags", re.compile(r"/api/(?:tags|ps)$"), _ollama_tags),
    PlainEndpoint("ollama", "GET …/api/version", re.compile(r"/api/version$"), lambda _: {"version": "0.0.0"}),
    PlainEndpoint("ollama", "POST …/api/show", re.compile(r"/api/show$"), _ollama_show),
    PlainEndpoint(
        "anthropic",
        "POST …/v1/messages/count_tokens",
        re.compile(r"/v1/messages/count_tokens$"),
        lambda request: {"input_tokens": _words(request.params)},
    ),
    PlainEndpoint(
        "openai",
        "POST …/responses/input_tokens",
        re.compile(r"/responses/input_tokens$"),
        lambda request: {"object": "response.input_tokens", "input_tokens": _words(request.params)},
    ),
    PlainEndpoint(
        "gemini",
        "POST …/models/M:countTokens",
        re.compile(r"/models/(?P<model>[^/:]+):countTokens$"),
        lambda request: {"totalTokens": _words(request.params)},
    ),
)
