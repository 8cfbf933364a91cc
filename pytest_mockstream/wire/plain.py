"""Endpoints whose answer needs no script and is not streamed, such as embeddings and lists of models."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ERRORS
from .format import BadRequestError, Json, ParsedRequest


@dataclass(frozen=True, slots=True)
class PlainEndpoint:
    """An endpoint whose answer needs no script.

    Attributes:
        provider: the provider, where the host of the request does not say it; errors have this provider's shape.
        shown: method and path, for messages.
        path: matches the end of the path, after any prefix; a group ``model`` has the model.
        answer: makes the body of the answer; raises ``BadRequestError``.
        header: where several endpoints share a path, a header that only requests to this one have.
    """

    provider: str
    shown: str
    path: re.Pattern[str]
    answer: Callable[[ParsedRequest], Any]
    header: str | None = None

    @property
    def method(self) -> str:
        """GET or POST."""
        return self.shown.split()[0]

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return f"{self.provider}'s {self.shown.split()[1]}"

    def parse(self, body: Json, groups: Mapping[str, str], _query: Mapping[str, str]) -> ParsedRequest:
        """Return the parsed request; its parameters are the whole body, and its model is empty if it names none."""
        named = groups.get("model") or body.get("model") or body.get("name")
        return ParsedRequest(model=named if isinstance(named, str) else "", params=body)

    def error(self, status: int, message: str, kind: str | None) -> Json:
        """Return the body of an HTTP error."""
        return ERRORS[self.provider](status, message, kind)


def refuse_streaming(body: Json) -> None:
    """Raise ``BadRequestError`` if the request asks for a stream."""
    if body.get("stream"):
        raise BadRequestError("'stream' is set, but this endpoint does not stream")
