"""Endpoints whose answer needs no script and is not streamed, such as embeddings and lists of models."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ERRORS
from .format import BadRequestError, Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A parsed request to a plain endpoint.

    Attributes:
        body: the JSON object; empty for a GET.
        groups: the parameters in the path.
        headers: the headers, their names in lower case.
    """

    body: Json
    groups: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def model(self) -> str | None:
        """The model that is asked for, wherever the request names it."""
        named = self.groups.get("model") or self.body.get("model") or self.body.get("name")
        return named if isinstance(named, str) else None


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
    answer: Callable[[Question], Any]
    header: str | None = None

    @property
    def method(self) -> str:
        """GET or POST."""
        return self.shown.split()[0]

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return f"{self.provider}'s {self.shown.split()[1]}"

    def error(self, status: int, message: str, kind: str | None) -> Json:
        """Return the body of an HTTP error."""
        return ERRORS[self.provider](status, message, kind)


def refuse_streaming(body: Json) -> None:
    """Raise ``BadRequestError`` if the request asks for a stream."""
    if body.get("stream"):
        raise BadRequestError("'stream' is set, but this endpoint does not stream")
