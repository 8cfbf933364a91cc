"""What SDKs and agents ask for besides replies: which models there are, and how many tokens a request has.

OpenAI: https://platform.openai.com/docs/api-reference/models; Anthropic: https://docs.anthropic.com/en/api/models-list;
Gemini: https://ai.google.dev/api/models; Ollama: https://github.com/ollama/ollama/blob/main/docs/api.md; Mistral:
https://docs.mistral.ai/api/endpoint/models; Bedrock:
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html. The lists have one model, and
every model that is asked for exists.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from pytest_mockstream.wire.format import CREATED, CREATED_TEXT, BadRequestError, Json, ParsedRequest
from pytest_mockstream.wire.plain import PlainEndpoint
from pytest_mockstream.wire.reading import json_object, rest, text_field

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_MODEL = "mock-model"


def _listed(one: Callable[[str], Json], around: Callable[[list[Json]], Json]) -> Callable[[ParsedRequest], Json]:
    """Return a function that describes the model in the path or, without one, lists the one model there is."""
    return lambda request: one(request.model) if request.model else around([one(_MODEL)])


def _openai_model(name: str) -> Json:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "pytest-mockstream"}


def _mistral_model(name: str) -> Json:
    can = ("completion_chat", "function_calling", "reasoning", "completion_fim", "vision", "ocr", "moderation")
    return _openai_model(name) | {
        "capabilities": dict.fromkeys(can, True),
        "name": name,
        "description": None,
        "max_context_length": 131_072,
        "aliases": [],
        "deprecation": None,
        "type": "base",
    }


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


def _words(value: Any) -> int:
    """Count the words of all text in a request, as the default usage of a script does."""
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, dict):
        return sum(_words(item) for name, item in value.items() if name not in {"role", "type", "model"})
    return sum(map(_words, value)) if isinstance(value, list) else 0


def _counted_by_bedrock(request: ParsedRequest) -> Json:
    asked = request.params.get("input")
    if not isinstance(asked, dict) or len(asked.keys() & {"converse", "invokeModel"}) != 1:
        raise BadRequestError("'input' must be an object with either 'converse' or 'invokeModel'")
    if "converse" in asked:
        return {"inputTokens": _words(asked["converse"])}
    try:
        body = base64.b64decode(text_field(asked["invokeModel"], "body"), validate=True)
    except binascii.Error:
        raise BadRequestError("'input.invokeModel.body' must be the body of a request in base64") from None
    return {"inputTokens": _words(rest(json_object(body), "anthropic_version"))}


_MODELS = re.compile(r"/models(?:/(?P<model>[^:]+))?$")

_COUNTS = "the number of words"
_LISTS = "one model; every model that is asked for by its name exists"

# Three providers list their models at the same path; headers that two of them require tell them apart.
ENDPOINTS = (
    PlainEndpoint(
        "anthropic",
        "GET …/v1/models",
        _MODELS,
        _listed(_anthropic_model, _anthropic_page),
        header="anthropic-version",
        tells=_LISTS,
    ),
    PlainEndpoint(
        "gemini", "GET …/models", _MODELS, _listed(_gemini_model, _gemini_page), header="x-goog-api-key", tells=_LISTS
    ),
    PlainEndpoint(
        "mistral",
        "GET …/v1/models",
        _MODELS,
        _listed(_mistral_model, _openai_page),
        header="user-agent: mistral",
        tells=_LISTS,
    ),
    PlainEndpoint("openai", "GET …/models", _MODELS, _listed(_openai_model, _openai_page), tells=_LISTS),
    PlainEndpoint(
        "openai",
        "DELETE …/models/{model}",
        _MODELS,
        lambda request: {"id": request.model, "object": "model", "deleted": True},
        tells="`deleted`; it is listed all the same",
    ),
    PlainEndpoint(
        "anthropic",
        "POST …/v1/messages/count_tokens",
        None,
        lambda request: {"input_tokens": _words(request.params)},
        tells=_COUNTS,
    ),
    PlainEndpoint(
        "openai",
        "POST …/responses/input_tokens",
        None,
        lambda request: {"object": "response.input_tokens", "input_tokens": _words(request.params)},
        tells=_COUNTS,
    ),
    PlainEndpoint(
        "gemini",
        "POST …/models/{model}:countTokens",
        re.compile(r"(?<!/publishers/google)/models/(?P<model>[^/:]+):countTokens$"),
        lambda request: {"totalTokens": _words(request.params)},
        tells=_COUNTS,
    ),
    PlainEndpoint(
        "vertex",
        "POST …/publishers/google/models/{model}:countTokens",
        re.compile(r"(?:/publishers/google/models|/endpoints)/(?P<model>[^/:]+):countTokens$"),
        lambda request: {"totalTokens": _words(request.params)},
        tells=_COUNTS,
    ),
    PlainEndpoint(
        "vertex",
        "POST …/models/count-tokens:rawPredict",
        re.compile(r"/models/count-tokens:rawPredict$"),
        lambda request: {"input_tokens": _words(rest(request.params, "anthropic_version"))},
    ),
    PlainEndpoint(
        "bedrock",
        "POST …/model/M/count-tokens",
        re.compile(r"/model/(?P<model>.+)/count-tokens$"),
        _counted_by_bedrock,
    ),
)
