"""Moderations of OpenAI and Mistral: nothing is ever flagged; a script says what is.

https://platform.openai.com/docs/api-reference/moderations; https://docs.mistral.ai/api/endpoint/classifiers
"""

from __future__ import annotations

from pytest_mockstream.wire.format import BadRequestError, Json
from pytest_mockstream.wire.plain import PlainEndpoint, PlainRequest
from pytest_mockstream.wire.reading import text_field

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_CATEGORIES = {
    "harassment": ["text"],
    "harassment/threatening": ["text"],
    "hate": ["text"],
    "hate/threatening": ["text"],
    "illicit": ["text"],
    "illicit/violent": ["text"],
    "self-harm": ["text", "image"],
    "self-harm/instructions": ["text", "image"],
    "self-harm/intent": ["text", "image"],
    "sexual": ["text", "image"],
    "sexual/minors": ["text"],
    "violence": ["text", "image"],
    "violence/graphic": ["text", "image"],
}
_MISTRAL = (
    "sexual",
    "hate_and_discrimination",
    "violence_and_threats",
    "dangerous_and_criminal_content",
    "selfharm",
    "health",
    "financial",
    "law",
    "pii",
)
_SCORE = 1e-6
_MODEL = "omni-moderation-latest"


def _count(request: PlainRequest) -> int:
    """Return how many texts are to be judged; a list of parts, some of them pictures, is judged as a whole."""
    given = request.params.get("input")
    if isinstance(given, str):
        return 1
    if isinstance(given, list) and given:
        if all(isinstance(item, str) for item in given):
            return len(given)
        if all(isinstance(item, dict) for item in given):
            return 1
    raise BadRequestError("'input' must be text, or a list of texts or parts that is not empty")


def _openai(request: PlainRequest) -> Json:
    count = _count(request)
    result = {
        "flagged": False,
        "categories": dict.fromkeys(_CATEGORIES, False),
        "category_scores": dict.fromkeys(_CATEGORIES, _SCORE),
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }
    return {"id": f"modr-{request.number}", "model": request.model or _MODEL, "results": [result] * count}


def _mistral(request: PlainRequest) -> Json:
    model = text_field(request.params, "model")
    result = {"categories": dict.fromkeys(_MISTRAL, False), "category_scores": dict.fromkeys(_MISTRAL, _SCORE)}
    return {"id": f"mod-{request.number}", "model": model, "results": [result] * _count(request)}


def _mistral_chat(request: PlainRequest) -> Json:
    model = text_field(request.params, "model")
    given = request.params.get("input")
    if not isinstance(given, list) or not given:
        raise BadRequestError("'input' must be a conversation, or a list of conversations")
    count = len(given) if isinstance(given[0], list) else 1
    result = {"categories": dict.fromkeys(_MISTRAL, False), "category_scores": dict.fromkeys(_MISTRAL, _SCORE)}
    return {"id": f"mod-{request.number}", "model": model, "results": [result] * count}


_TELLS = "nothing is flagged"
ENDPOINTS = (
    PlainEndpoint("mistral", "POST …/v1/moderations", None, _mistral, "user-agent: mistral", tells=_TELLS),
    PlainEndpoint("mistral", "POST …/v1/chat/moderations", None, _mistral_chat, tells=_TELLS),
    PlainEndpoint("openai", "POST …/moderations", None, _openai, tells=_TELLS),
)
