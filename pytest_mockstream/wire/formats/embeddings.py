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

from pytest_mockstream.wire.format import BadRequestError, Json
from pytest_mockstream.wire.plain import PlainEndpoint, Question, refuse_streaming
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


def _dimensions(question: Question, asked: object) -> int:
    if asked is None:
        return _DIMENSIONS.get((question.model or "").split(":")[0], _USUAL_DIMENSIONS)
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


def _openai(question: Question) -> Json:
    refuse_streaming(question.body)
    model = question.model or text_field(question.body, "model")
    texts = _texts(question.body.get("input"), "input")
    dimensions = _dimensions(question, question.body.get("dimensions"))
    packed = question.body.get("encoding_format") == "base64"
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


def _gemini_vector(question: Question, request: Any) -> Json:
    content = request.get("content")
    if not isinstance(content, dict):
        raise BadRequestError("'content' must be an object with 'parts'")
    dimensions = _dimensions(question, request.get("outputDimensionality"))
    return {"values": vector_of(joined_text(content.get("parts", "")), dimensions)}


def _gemini(question: Question) -> Json:
    refuse_streaming(question.body)
    if question.groups["method"] == "embedContent":
        return {"embedding": _gemini_vector(question, question.body)}
    requests = objects(question.body, "requests", required=True)
    return {"embeddings": [_gemini_vector(question, request) for request in requests]}


def _ollama(question: Question) -> Json:
    refuse_streaming(question.body)
    model = text_field(question.body, "model")
    texts = _texts(question.body.get("input"), "input")
    dimensions = _dimensions(question, question.body.get("dimensions"))
    return {
        "model": model,
        "embeddings": [vector_of(text, dimensions) for text in texts],
        "total_duration": 2_000_000,
        "load_duration": 1_000_000,
        "prompt_eval_count": _tokens(texts),
    }


def _ollama_old(question: Question) -> Json:
    refuse_streaming(question.body)
    text_field(question.body, "model")
    prompt = question.body.get("prompt")
    if not isinstance(prompt, str):
        raise BadRequestError("'prompt' must be text")
    return {"embedding": vector_of(prompt, _dimensions(question, None))}


ENDPOINTS = (
    PlainEndpoint(
        "openai",
        "POST …/embeddings",
        re.compile(r"(?:/deployments/(?P<model>[^/]+)|(?<!/api))/embeddings$"),
        _openai,
    ),
    PlainEndpoint(
        "gemini",
        "POST …/models/M:embedContent and :batchEmbedContents",
        re.compile(r"/models/(?P<model>[^/:]+):(?P<method>embedContent|batchEmbedContents)$"),
        _gemini,
    ),
    PlainEndpoint("ollama", "POST …/api/embed", re.compile(r"/api/embed$"), _ollama),
    PlainEndpoint("ollama", "POST …/api/embeddings", re.compile(r"/api/embeddings$"), _ollama_old),
)
