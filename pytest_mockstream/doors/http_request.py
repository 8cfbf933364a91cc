"""``HTTPRequest``: a request as it came, before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPRequest:
    """A request as it came, its body read completely.

    Attributes:
        method: ``"POST"`` and so on.
        url: the whole URL; it may hold credentials, so it is neither recorded nor shown.
        headers: as sent.
        body: as sent.
        lower_headers: the headers, their names in lower case.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    body: bytes = field(repr=False, default=b"")
    lower_headers: dict[str, str] = field(repr=False, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lower_headers", {name.lower(): value for name, value in self.headers.items()})

    @property
    def host(self) -> str:
        """The host in the URL, without port and user."""
        return urlsplit(self.url).hostname or ""

    @property
    def path(self) -> str:
        """The URL's path, without query."""
        return urlsplit(self.url).path

    @property
    def base(self) -> str:
        """Scheme, host and port, as whoever made the request knows them."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{self.lower_headers.get('host') or parts.netloc.rpartition('@')[2]}"

    @property
    def query(self) -> dict[str, str]:
        """The URL's query."""
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))
