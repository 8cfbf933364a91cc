"""Reranking: documents that share more words with the query come first.

Cohere: https://docs.cohere.com/v2/reference/rerank; Jina: https://jina.ai/reranker; Voyage:
https://docs.voyageai.com/reference/reranker-api. vLLM and others have Jina's shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_mockstream._base.redaction import brief
from pytest_mockstream.wire.format import BadRequestError, Json, uuid_of
from pytest_mockstream.wire.plain import PlainEndpoint, PlainRequest
from pytest_mockstream.wire.reading import text_field
from pytest_mockstream.wire.sse import json_text
from pytest_mockstream.wire.vectors import similarity

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_MOST_DOCUMENTS = 10_000  # in one request, as Cohere has it


def _text(document: object) -> str:
    if isinstance(document, str):
        return document
    if isinstance(document, Mapping):
        text = document.get("text")
        return text if isinstance(text, str) else json_text(document)
    raise BadRequestError(f"'documents' must be texts or objects, but one is {brief(document)}")


def _ranked(request: PlainRequest, limit: str) -> list[tuple[int, float, str]]:
    """Return place, score and text of the documents, the best first.

    Args:
        request: with query and documents.
        limit: the parameter that says how many are wanted.
    """
    query = text_field(request.params, "query")
    documents = request.params.get("documents")
    if not isinstance(documents, list) or not documents or len(documents) > _MOST_DOCUMENTS:
        raise BadRequestError(f"'documents' must be a list of 1 to {_MOST_DOCUMENTS} documents")
    most = request.params.get(limit)
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise BadRequestError(f"{limit!r} must be a whole number > 0, but it is {brief(most)}")
    texts = [_text(document) for document in documents]
    scored = [(place, round(similarity(query, text), 6), text) for place, text in enumerate(texts)]
    return sorted(scored, key=lambda one: (-one[1], one[0]))[:most]


def _tokens(request: PlainRequest, ranked: list[tuple[int, float, str]]) -> int:
    return len(text_field(request.params, "query").split()) + sum(len(text.split()) for _, _, text in ranked)


def _cohere(request: PlainRequest) -> Json:
    text_field(request.params, "model")
    results: list[Json] = [
        {"index": place, "relevance_score": score}
        | ({"document": {"text": text}} if request.params.get("return_documents") else {})
        for place, score, text in _ranked(request, "top_n")
    ]
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    return {"id": uuid_of(request.number), "results": results, "meta": meta}


def _jina(request: PlainRequest) -> Json:
    ranked = _ranked(request, "top_n")
    shown = request.params.get("return_documents", True)
    results: list[Json] = [
        {"index": place, "relevance_score": score} | ({"document": {"text": text}} if shown else {})
        for place, score, text in ranked
    ]
    usage = {"total_tokens": _tokens(request, ranked)}
    return {"id": f"rerank-{request.number}", "model": request.model, "usage": usage, "results": results}


def _voyage(request: PlainRequest) -> Json:
    ranked = _ranked(request, "top_k")
    shown = request.params.get("return_documents")
    data: list[Any] = [
        {"index": place, "relevance_score": score} | ({"document": text} if shown else {})
        for place, score, text in ranked
    ]
    usage = {"total_tokens": _tokens(request, ranked)}
    return {"object": "list", "data": data, "model": request.model, "usage": usage}


_TELLS = "the documents, those with words of the query first"
ENDPOINTS = (
    PlainEndpoint("cohere", "POST …/v2/rerank", None, _cohere, tells=_TELLS),
    PlainEndpoint("cohere", "POST …/v1/rerank", None, _cohere, "x-fern-sdk-name: cohere", tells=_TELLS),
    PlainEndpoint("voyage", "POST …/v1/rerank", None, _voyage, "host: api.voyageai.com", tells=_TELLS),
    PlainEndpoint("jina", "POST …/rerank", None, _jina, tells=_TELLS),
)
