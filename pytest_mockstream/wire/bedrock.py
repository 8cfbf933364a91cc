"""What all replies of Amazon Bedrock have, whoever's model it is: the shapes of its errors, and its counts of tokens.

Errors: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html#API_runtime_ConverseStream_Errors;
inside a stream: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ResponseStream.html.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_mockstream.script.chunks import Usage
from pytest_mockstream.script.steps import ErrorEvent

from .decoding import counted
from .format import Json
from .sse import Event, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_TYPES = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_ALSO = {"ModelNotReadyException": 429, "ModelStreamErrorException": 424, "ServiceQuotaExceededException": 400}
#: Those that a stream can have. Its model knows no others: they are sent as errors without a type.
_IN_STREAM = {
    "internalServerException",
    "modelStreamErrorException",
    "modelTimeoutException",
    "serviceUnavailableException",
    "throttlingException",
    "validationException",
}
#: By their names in an answer, and by those in a stream, which begin with a small letter.
BEDROCK_STATUS = {
    spelled: status
    for status, name in (*_TYPES.items(), *((status, name) for name, status in _ALSO.items()))
    for spelled in (name, name[0].lower() + name[1:])
}


#: What the chunk has that says them.
METRICS = "amazon-bedrock-invocationMetrics"


def bedrock_error_type(status: int, kind: str | None = None) -> str:
    """Return the name of an error, which stands in a header, too."""
    usual = _TYPES.get(status, "InternalServerException" if status >= 500 else "ValidationException")
    if not kind:
        return usual
    return kind[0].upper() + kind[1:] if kind in BEDROCK_STATUS else kind


def bedrock_error(status: int, message: str, kind: str | None = None) -> Json:
    """Return the body of an error."""
    return {"__type": bedrock_error_type(status, kind), "message": message}


def bedrock_event(error: ErrorEvent) -> Event:
    """Return an error inside a stream: by default, that the model failed."""
    kind = error.type or "modelStreamErrorException"
    name = kind[:1].lower() + kind[1:]
    if name in _IN_STREAM:
        return Event(json_text({"message": error.message}), name, kind="exception")
    return Event(error.message, kind, kind="error")


def invocation_metrics(usage: Usage) -> Json:
    """Return what Bedrock adds to the last chunk of a stream of InvokeModel, whatever the model says."""
    metrics = {
        "inputTokenCount": usage.prompt_tokens,
        "outputTokenCount": usage.completion_tokens,
        "invocationLatency": 1,
        "firstByteLatency": 1,
    }
    return {METRICS: metrics}


def invocation_usage(said: Mapping[str, Any]) -> Iterator[Usage]:
    """Yield the tokens that a chunk says that Bedrock counted, if it does."""
    if metrics := said.get(METRICS):
        yield counted(prompt_tokens=metrics.get("inputTokenCount"), completion_tokens=metrics.get("outputTokenCount"))


def read_event(event: Event) -> ErrorEvent:
    """Return the error that a message of a stream is: an exception that the service's model knows, or another."""
    message: object = event.data
    if event.kind == "exception":
        try:
            message = json.loads(event.data)["message"]
        except (ValueError, LookupError, TypeError, RecursionError):
            message = event.data
    return ErrorEvent(message if isinstance(message, str) else event.data, type=event.name)


def read_error(body: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    """Return message and type that the body of an error says; the type may have a namespace before it."""
    kind = body.get("__type")
    return body["message"] if "message" in body else body["Message"], kind.rpartition("#")[2] if kind else None, None


def error_type(headers: Mapping[str, str]) -> str | None:
    """Return the type of an error as it stands in a header, before the address of what describes it.

    https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization
    """
    return headers.get("x-amzn-errortype", "").partition(":")[0].rpartition("#")[2] or None
