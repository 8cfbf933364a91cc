"""Embeddings: vectors that depend on nothing but the text.

OpenAI: https://platform.openai.com/docs/api-reference/embeddings; Mistral, which has OpenAI's shape and an ``id``:
https://docs.mistral.ai/api/endpoint/embeddings; Cohere: https://docs.cohere.com/v2/reference/embed; Voyage:
https://docs.voyageai.com/reference/embeddings-api; Gemini: https://ai.google.dev/api/embeddings; Ollama:
https://github.com/ollama/ollama/blob/main/docs/api.md#generate-embeddings.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from pytest_mockstream._base.redaction import brief
from pytest_mockstream.wire.format import BadRequestError, Json, ParsedRequest, uuid_of
from pytest_mockstream.wire.plain import PlainEndpoint, PlainRequest, refuse_streaming
from pytest_mockstream.wire.reading import joined_text, objects, text_field
from pytest_mockstream.wire.sse import json_text
from pytest_mockstream.wire.vectors import vector_of

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_DIMENSIONS = {
    "text-embedding-3-large": 3072,
    "text-embedding-3-small": 1536,
    "text-embedding-ada-002": 1536,
    "gemini-embedding-001": 3072,
    "gemini-embedding-2": 3072,
    "text-embedding-004": 768,
    "nomic-embed-text": 768,
    "mxbai-embed-large": 1024,
    "all-minilm": 384,
}
_USUAL_DIMENSIONS = 768
# What OpenAI's largest request gets: 2048 texts, 3072 numbers each. A few bytes could ask for gigabytes otherwise.
_MOST_NUMBERS = 2048 * 3072


def _dimensions(request: ParsedRequest, asked: object) -> int:
    if asked is None:
        return _DIMENSIONS.get(request.model.split(":")[0], _USUAL_DIMENSIONS)
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 1:
        raise BadRequestError(f"the dimensions must be a whole number > 0, but they are {brief(asked)}")
    return asked


def _vectors(asked: Iterable[tuple[str, int]]) -> list[list[float]]:
    """Return the vector of each text, with so many dimensions."""
    asked = list(asked)
    if (numbers := sum(dimensions for _, dimensions in asked)) > _MOST_NUMBERS:
        raise BadRequestError(f"it asks for {len(asked)} vectors with {numbers} numbers, of at most {_MOST_NUMBERS}")
    return [vector_of(text, dimensions) for text, dimensions in asked]


def _texts(given: object, name: str) -> list[str]:
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given:
        if all(isinstance(item, str) for item in given):
            return given
        if all(isinstance(item, int) for item in given):  # one text as tokens
            return [" ".join(map(str, given))]
        if all(isinstance(item, list) for item in given):
            return [" ".join(map(str, item)) for item in given]
    raise BadRequestError(f"{name!r} must be text, or a list of texts that is not empty")


def _tokens(texts: Iterable[str]) -> int:
    return sum(len(text.split()) for text in texts)


def _openai(request: ParsedRequest) -> Json:
    refuse_streaming(request.params)
    model = request.model or text_field(request.params, "model")
    texts = _texts(request.params.get("input"), "input")
    dimensions = _dimensions(request, request.params.get("dimensions"))
    packed = request.params.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _pack(vector) if packed else vector}
        for index, vector in enumerate(_vectors((text, dimensions) for text in texts))
    ]
    tokens = _tokens(texts)
    return {
        "object": "list",
        "data": data,
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _pack(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _gemini_asked(request: ParsedRequest, body: Mapping[str, Any]) -> tuple[str, int]:
    content = body.get("content")
    if not isinstance(content, dict):
        raise BadRequestError("'content' must be an object with 'parts'")
    return joined_text(content.get("parts", "")), _dimensions(request, body.get("outputDimensionality"))


def _gemini(request: ParsedRequest) -> Json:
    refuse_streaming(request.params)
    (vector,) = _vectors([_gemini_asked(request, request.params)])
    return {"embedding": {"values": vector}}


def _gemini_batch(request: ParsedRequest) -> Json:
    refuse_streaming(request.params)
    bodies = objects(request.params, "requests", required=True)
    return {"embeddings": [{"values": vector} for vector in _vectors(_gemini_asked(request, body) for body in bodies)]}


def _ollama(request: ParsedRequest) -> Json:
    refuse_streaming(request.params)
    model = text_field(request.params, "model")
    texts = _texts(request.params.get("input"), "input")
    dimensions = _dimensions(request, request.params.get("dimensions"))
    return {
        "model": model,
        "embeddings": _vectors((text, dimensions) for text in texts),
        "total_duration": 2_000_000,
        "load_duration": 1_000_000,
        "prompt_eval_count": _tokens(texts),
    }


def _ollama_old(request: ParsedRequest) -> Json:
    refuse_streaming(request.params)
    text_field(request.params, "model")
    prompt = request.params.get("prompt")
    if not isinstance(prompt, str):
        raise BadRequestError("'prompt' must be text")
    return {"embedding": vector_of(prompt, _dimensions(request, None))}


def _mistral(request: PlainRequest) -> Json:
    dimensions = request.params.get("output_dimension")
    asked = replace(request, params=request.params | {"dimensions": dimensions})
    return {"id": f"embd-{request.number}", **_openai(asked)}


def _voyage(request: PlainRequest) -> Json:
    body = request.params
    asked = replace(request, params=body | {"dimensions": body.get("output_dimension")})
    told = _openai(asked)
    return told | {"usage": {"total_tokens": told["usage"]["total_tokens"]}}


def _byte(value: float) -> int:
    return max(-128, min(127, round(value * 127)))


def _bits(vector: list[float]) -> list[int]:
    """Return a bit for each number, eight in a byte: whether it is greater than 0."""
    eights = (vector[place : place + 8] for place in range(0, len(vector), 8))
    return [sum((value > 0) << (7 - place) for place, value in enumerate(eight)) for eight in eights]


_COHERE_TYPES: dict[str, Callable[[list[float]], Any]] = {
    "float": lambda vector: vector,
    "int8": lambda vector: [_byte(value) for value in vector],
    "uint8": lambda vector: [_byte(value) + 128 for value in vector],
    "binary": lambda vector: [byte - 128 for byte in _bits(vector)],
    "ubinary": _bits,
    "base64": _pack,
}


def _cohere_texts(request: PlainRequest) -> list[str]:
    body = request.params
    if "images" in body:
        return _texts(body["images"], "images")
    if "inputs" in body:
        inputs = objects(body, "inputs", required=True)
        return [joined_text(given.get("content", "")) or json_text(given) for given in inputs]
    return _texts(body.get("texts"), "texts")


def _cohere(request: PlainRequest, *, by_type: bool = True) -> Json:
    body = request.params
    text_field(body, "model")
    texts = _cohere_texts(request)
    dimensions = _dimensions(request, body.get("output_dimension"))
    vectors = _vectors((text, dimensions) for text in texts)
    kinds = body.get("embedding_types") or (["float"] if by_type else None)
    if kinds is not None and (not isinstance(kinds, list) or not all(kind in _COHERE_TYPES for kind in kinds)):
        raise BadRequestError(f"'embedding_types' is {brief(kinds)}: give a list of {', '.join(_COHERE_TYPES)}")
    tokens = _tokens(texts)
    return {
        "id": uuid_of(request.number),
        "response_type": "embeddings_floats" if kinds is None else "embeddings_by_type",
        "embeddings": vectors
        if kinds is None
        else {kind: [_COHERE_TYPES[kind](vector) for vector in vectors] for kind in kinds},
        "texts": texts if "texts" in body else [],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}},
    }


_TELLS = "vectors that depend on nothing but the text; texts that share words are close"
ENDPOINTS = (
    PlainEndpoint("cohere", "POST …/v2/embed", None, _cohere, tells=_TELLS),
    PlainEndpoint("cohere", "POST …/v1/embed", None, partial(_cohere, by_type=False), tells=_TELLS),
    PlainEndpoint("mistral", "POST …/v1/embeddings", None, _mistral, "user-agent: mistral", tells=_TELLS),
    PlainEndpoint("voyage", "POST …/v1/embeddings", None, _voyage, "host: api.voyageai.com", tells=_TELLS),
    PlainEndpoint(
        "openai",
        "POST …/embeddings",
        re.compile(r"(?:/deployments/(?P<model>[^/]+)|(?<!/api))/embeddings$"),
        _openai,
        tells=_TELLS,
    ),
    PlainEndpoint(
        "gemini",
        "POST …/models/M:embedContent",
        re.compile(r"/models/(?P<model>[^/:]+):embedContent$"),
        _gemini,
        tells=_TELLS,
    ),
    PlainEndpoint(
        "gemini",
        "POST …/models/M:batchEmbedContents",
        re.compile(r"/models/(?P<model>[^/:]+):batchEmbedContents$"),
        _gemini_batch,
        tells=_TELLS,
    ),
    PlainEndpoint("ollama", "POST …/api/embed", re.compile(r"/api/embed$"), _ollama, tells=_TELLS),
    PlainEndpoint("ollama", "POST …/api/embeddings", re.compile(r"/api/embeddings$"), _ollama_old, tells=_TELLS),
)
