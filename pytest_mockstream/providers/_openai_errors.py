"""The error body that OpenAI's endpoints share: https://platform.openai.com/docs/guides/error-codes.

The wall: pure.
"""

from __future__ import annotations

from ._wire import Json

_TYPE = {
    400: ("invalid_request_error", None),
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    503: ("server_error", "server_overloaded"),
}

#: The HTTP status of each word for an error; words that are not here are a 500.
ERROR_STATUS = {word: status for status, names in _TYPE.items() for word in names if word} | {
    "invalid_request_error": 400,
    "insufficient_quota": 429,
    "server_error": 500,
}


def error_body(status: int, message: str, type: str | None = None) -> Json:  # noqa: A002 - the field's name
    """Return the body of an error, whole or inside a stream."""
    usual, code = _TYPE.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    return {"error": {"message": message, "type": type or usual, "param": None, "code": code}}
