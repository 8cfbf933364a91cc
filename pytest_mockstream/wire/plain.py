"""Endpoints that answer by themselves: no script, no stream.

The wall: no input or output, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ERRORS
from .format import BadRequestError, Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request to a plain endpoint, parsed.

    Attributes:
        body: the JSON object; empty for a GET.
        groups: what the path says.
        headers: as sent, their names in lower case.
    """

    body: Json
    groups: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def model(self) -> str | None:
        """The model asked for, wherever the request names it."""
        named = self.groups.get("model") or self.body.get("model") or self.body.get("name")
        return named if isinstance(named, str) else None


@dataclass(frozen=True, slots=True)
class PlainEndpoint:
    """One endpoint.

    Attributes:
        provider: who is asked, where the host does not say it; errors have this provider's shape.
        shown: method and path, for messages.
        path: finds the path behind any prefix; a group ``model`` names the model.
        answer: makes the body of the answer; raises ``BadRequestError``.
        header: a header that requests for this endpoint have, where several share a path.
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
        """What it is, for messages."""
        return f"{self.provider}'s {self.shown.split()[1]}"

    def error(self, status: int, message: str, kind: str | None) -> Json:
        """Return the body of an HTTP error."""
        return ERRORS[self.provider](status, message, kind)


def refuse_streaming(body: Json) -> None:
    """Refuse a flag that the endpoint has no use for."""
    if body.get("stream"):
        raise BadRequestError("'stream' is set, but this endpoint does not stream")
