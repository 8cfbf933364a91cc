"""The headers that a provider's answers have besides those that every answer has.

Bedrock: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html, and for the type of an
error https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pytest_mockstream.script.chunks import Usage

from .bedrock import bedrock_error_type
from .sse import Framing

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


class Head(NamedTuple):
    """What is known of an answer before its body.

    Attributes:
        path: of the request.
        number: of the request.
        status: of the answer.
        error: the provider's name for the error that it is, or None.
        framing: of the body; None if it is not streamed.
        usage: the tokens used, where the answer says that.
    """

    path: str
    number: int
    status: int = 200
    error: str | None = None
    framing: Framing | None = None
    usage: Usage | None = None


def own_headers(provider: str, head: Head) -> dict[str, str]:
    """Return the headers of a provider's own."""
    return _OWN[provider](head) if provider in _OWN else {}


def _of_bedrock(head: Head) -> dict[str, str]:
    headers = {"x-amzn-requestid": f"00000000-0000-4000-8000-{head.number:012}"}
    if head.status >= 400:
        kind = bedrock_error_type(head.status, head.error)
        fits = kind.isascii() and kind.isprintable()  # a script may name it as it likes; the body says it, too
        return headers | ({"x-amzn-errortype": kind} if fits else {})
    if head.framing == "aws-chunks":
        return headers | {"x-amzn-bedrock-content-type": "application/json"}
    if head.framing is None and head.usage is not None and head.path.rstrip("/").endswith("/invoke"):
        headers |= {
            "x-amzn-bedrock-invocation-latency": "1",
            "x-amzn-bedrock-input-token-count": str(head.usage.prompt_tokens),
            "x-amzn-bedrock-output-token-count": str(head.usage.completion_tokens),
        }
    return headers


_OWN: dict[str, Callable[[Head], dict[str, str]]] = {"bedrock": _of_bedrock}
