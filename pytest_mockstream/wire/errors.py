"""The JSON bodies of errors, in each provider's own shape, for HTTP errors and for errors inside a stream.

OpenAI: https://platform.openai.com/docs/guides/error-codes; Anthropic: https://docs.anthropic.com/en/api/errors;
Gemini: https://google.aip.dev/193; Ollama: https://github.com/ollama/ollama/blob/main/docs/api.md (one field).
"""

from __future__ import annotations

from collections.abc import Callable

from .bedrock import bedrock_error
from .format import Json

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_OPENAI: dict[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", None),
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    503: ("server_error", "server_overloaded"),
}
_ANTHROPIC = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_GEMINI = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

# The type that belongs to each of OpenAI's codes, and the status. Gateways say the code for the type, too.
_OPENAI_CODES: dict[str, tuple[str, int]] = {
    "invalid_api_key": ("authentication_error", 401),
    "model_not_found": ("invalid_request_error", 404),
    "not_found": ("invalid_request_error", 404),
    "context_length_exceeded": ("invalid_request_error", 400),
    "content_policy_violation": ("invalid_request_error", 400),
    "insufficient_quota": ("insufficient_quota", 429),
    "billing_not_active": ("billing_not_active", 429),
    "rate_limit_exceeded": ("rate_limit_error", 429),
    "server_overloaded": ("server_error", 503),
}
# The code that belongs to a type, where there is one only. A limit's type may name what is limited.
_OPENAI_TYPES = {
    "authentication_error": "invalid_api_key",
    "rate_limit_error": "rate_limit_exceeded",
    "requests": "rate_limit_exceeded",
    "tokens": "rate_limit_exceeded",
    **{code: code for code in _OPENAI_CODES},
}

# The HTTP status for each of a provider's names of errors; for any other name it is 500.
OPENAI_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "rate_limit_error": 429,
    "requests": 429,
    "tokens": 429,
    "server_error": 500,
    **{code: status for code, (_, status) in _OPENAI_CODES.items()},
}
ANTHROPIC_STATUS = {word: status for status, word in _ANTHROPIC.items()}
GEMINI_STATUS = {word: status for status, word in _GEMINI.items()}


def openai_error(status: int, message: str, kind: str | None = None, code: str | None = None) -> Json:
    """Return the body of an OpenAI error; of type and code, the one that is not given follows from the other."""
    usual, usual_code = _OPENAI.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    if code is None:
        code = usual_code if kind in {None, usual} else _OPENAI_TYPES.get(kind or "")
    elif kind is None:
        kind, _ = _OPENAI_CODES.get(code, (usual, status))
    return {"error": {"message": message, "type": kind or usual, "param": None, "code": code}}


def anthropic_error(status: int, message: str, kind: str | None = None) -> Json:
    """Return the body of an Anthropic error."""
    usual = _ANTHROPIC.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind or usual, "message": message}}


def gemini_error(status: int, message: str, kind: str | None = None) -> Json:
    """Return the body of a Gemini error."""
    usual = _GEMINI.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
    return {"error": {"code": status, "message": message, "status": kind or usual}}


def ollama_error(_status: int, message: str, _kind: str | None = None) -> Json:
    """Return the body of an Ollama error."""
    return {"error": message}


def cohere_error(_status: int, message: str, _kind: str | None = None) -> Json:
    """Return the body of a Cohere error (https://docs.cohere.com/reference/errors)."""
    return {"id": "mock-error", "message": message}


def mistral_error(status: int, message: str, kind: str | None = None) -> Json:
    """Return the body of a Mistral error (https://docs.mistral.ai/api)."""
    usual = "invalid_request_error" if status < 500 else "internal_server_error"
    return {"object": "error", "message": message, "type": kind or usual, "param": None, "code": str(status)}


def detail_error(_status: int, message: str, _kind: str | None = None) -> Json:
    """Return the body of an error of Voyage or Jina, which have one field (https://docs.voyageai.com/docs/error-codes)."""
    return {"detail": message}


ERRORS: dict[str, Callable[..., Json]] = {
    "openai": openai_error,
    "anthropic": anthropic_error,
    "gemini": gemini_error,
    "ollama": ollama_error,
    "vertex": gemini_error,
    "bedrock": bedrock_error,
    "cohere": cohere_error,
    "mistral": mistral_error,
    "jina": detail_error,
    "voyage": detail_error,
    "huggingface": ollama_error,  # of the Hub: https://huggingface.co/docs/hub/api
}
