"""Embeddings: vectors that depend on nothing but the text.

OpenAI: https://platform.openai.com/docs/api-reference/embeddings; Gemini: https://ai.google.dev/api/embeddings; Ollama:
https://github.com/ollama/ollama/blob/main/docs/api.md#generate-embeddings. Each word of a text adds to two components
of its vector: the same text has the same vector on every machine, and texts that share words are close to each other.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from collections.abc import Iterable
from typing import Any

from pytest_mockstream.wire.format import BadRequestError, Json, ParsedRequest
from pytest_mockstream.wire.plain import PlainEndpoint, refuse_streaming
from pytest_mockstream.wire.reading import joined_text, objects, text_field

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
_WORD = re.compile(r"\w+")


def vector_of(text: str, dimensions: int) -> list[float]:
    """Return the vector of a text, normalised to length 1."""
    vector = [0.0] * dimensions
    for word in _WORD.findall(text.lower()) or [text]:
        digest = hashlib.blake2b(word.encode(errors="replace"), digest_size=16).digest()
        first, second = struct.unpack("<QQ", digest)
        vector[first % dimensions] += 1.0
        vector[second % dimensions] += 0.5
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector]


def _dimensions(request: ParsedRequest, asked: object) -> int:
    if asked is None:
        return _DIMENSIONS.get(request.model.split(":")[0], _USUAL_DIMENSIONS)
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 1:
        raise BadRequestError(f"the dimensions must be a whole number > 0, but they are {asked!r}")
    return asked


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
        for index, vector in enumerate(vector_of(text, dimensions) for text in texts)
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


def _gemini_vector(request: ParsedRequest, body: Any) -> Json:
    content = body.get("content")
    if not isinstance(content, dict):
        raise BadRequestError("'content' must be an object with 'parts'")
    dimensions = _dimensions(request, body.get("outputDimensionality"))
    return {"values": vector_of(joined_text(content.get("parts", "")), dimensions)}


def _gemini(request: ParsedRequest) -> Json:
    refuse_streaming(request.params)
    return {"embedding": _gemini_vector(request, request.params)}


def _gemini_batch(request: ParsedRequest) -> Json:
    refuse_streaming(request.params)
    bodies = objects(request.params, "requests", required=True)
    return {"embeddings": [_gemini_vector(request, body) for body in bodies]}


def _ollama(request: ParsedRequest) -> Json:
    refuse_streaming(request.params)
    model = text_field(request.params, "model")
    texts = _texts(request.params.get("input"), "input")
    dimensions = _dimensions(request, request.params.get("dimensions"))
    return {
        "model": model,
        "embeddings": [vector_of(text, dimensions) for text in texts],
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


ENDPOINTS = (
    PlainEndpoint(
        "openai",
        "POST …/embeddings",
        re.compile(r"(?:/deployments/(?P<model>[^/]+)|(?<!/api))/embeddings$"),
        _openai,
    ),
    PlainEndpoint(
        "gemini",
        "POST …/models/M:embedContent",
        re.compile(r"/models/(?P<model>[^/:]+):embedContent$"),
        _gemini,
    ),
    PlainEndpoint(
        "gemini",
        "POST …/models/M:batchEmbedContents",
        re.compile(r"/models/(?P<model>[^/:]+):batchEmbedContents$"),
        _gemini_batch,
    ),
    PlainEndpoint("ollama", "POST …/api/embed", re.compile(r"/api/embed$"), _ollama),
    PlainEndpoint("ollama", "POST …/api/embeddings", re.compile(r"/api/embeddings$"), _ollama_old),
)
