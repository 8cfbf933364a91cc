"""Cohere's models, and texts as tokens and back: https://docs.cohere.com/reference/tokenize.

A token here is a word or a mark; each token of a test has a number of its own.
"""

from __future__ import annotations

import hashlib
import re

from pytest_mockstream.wire.format import BadRequestError, Json
from pytest_mockstream.wire.plain import PlainEndpoint, PlainRequest
from pytest_mockstream.wire.reading import text_field

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_US = "cohere"
_SDK = "x-fern-sdk-name: cohere"
_TOKEN = re.compile(r"\s*(?:\w+|[^\w\s]|$)")
_META = {"api_version": {"version": "1"}}
_ENDPOINTS = ["chat", "embed", "rerank"]
_MODEL = "mock-model"


def _number(token: str) -> int:
    return int.from_bytes(hashlib.blake2b(token.encode(errors="replace"), digest_size=4).digest(), "big") >> 1


def _tokenize(request: PlainRequest) -> Json:
    text_field(request.params, "model")
    strings = [token for token in _TOKEN.findall(text_field(request.params, "text")) if token]
    for token in strings:
        request.store.put("token", str(_number(token)), token)
    return {"tokens": [_number(token) for token in strings], "token_strings": strings, "meta": _META}


def _detokenize(request: PlainRequest) -> Json:
    tokens = request.params.get("tokens")
    if not isinstance(tokens, list):
        raise BadRequestError("'tokens' must be a list of numbers")
    texts = [request.store.get("token", str(token)) for token in tokens]
    if None in texts:
        raise BadRequestError("'tokens' has one that no text of this test was made into")
    return {"text": "".join(texts), "meta": _META}


def _model(name: str) -> Json:
    return {
        "name": name,
        "endpoints": _ENDPOINTS,
        "finetuned": False,
        "context_length": 128_000,
        "is_deprecated": False,
    }


def _models(_request: PlainRequest) -> Json:
    return {"models": [_model(_MODEL)], "next_page_token": ""}


ENDPOINTS = (
    PlainEndpoint(_US, "POST …/v1/tokenize", None, _tokenize, tells="each word and each mark is a token"),
    PlainEndpoint(_US, "POST …/v1/detokenize", None, _detokenize, tells="the text of these tokens"),
    PlainEndpoint(_US, "GET …/v1/models", None, _models, _SDK, tells="one model"),
    PlainEndpoint(_US, "GET …/v1/models/{model}", None, lambda asked: _model(asked.model), _SDK, tells="this model"),
)
