"""The JSON bodies of errors, in each provider's own shape, for HTTP errors and for errors inside a stream.

OpenAI: https://platform.openai.com/docs/guides/error-codes; Anthropic: https://docs.anthropic.com/en/api/errors;
Gemini: https://google.aip.dev/193; Ollama: https://github.com/ollama/ollama/blob/main/docs/api.md (one field).
"""

from __future__ import annotations

from collections.abc import Callable

from .format import Json

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

# The HTTP status for each of a provider's names of errors; for any other name it is 500.
OPENAI_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "server_error": 500,
    "server_overloaded": 503,
}
ANTHROPIC_STATUS = {word: status for status, word in _ANTHROPIC.items()}
GEMINI_STATUS = {word: status for status, word in _GEMINI.items()}


def openai_error(status: int, message: str, kind: str | None = None) -> Json:
    """Return the body of an OpenAI error."""
    usual, code = _OPENAI.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
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


ERRORS: dict[str, Callable[[int, str, str | None], Json]] = {
    "openai": openai_error,
    "anthropic": anthropic_error,
    "gemini": gemini_error,
    "ollama": ollama_error,
}
