"""Where a request goes that is sent on to its provider, and with which key.

Theory of operation: a base URL of the server stands in place of the provider's. So where a request goes is what the
client asked for, with the provider's base URL in place of the server's: the one that was given, or the one that the
environment has named before the server's own was set there, or the provider's usual one. Keys are replaced likewise.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import did_you_mean
from pytest_mockstream._base.redaction import Secrets, brief
from pytest_mockstream.doors.guard import FAKE_KEY, NOWHERE
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.wire import DIALECTS, VARIABLES, Variables, base_of, is_loopback, provider_of

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: One URL for all providers, or one for each by its name; None for where SDKs would go without us.
Upstream: TypeAlias = "str | Mapping[str, str] | None"

_PORTS = {"http": 80, "https": 443}
_ALIASES = {"google": "gemini"}
_OWN_BASES = dict.fromkeys(("anthropic", "google", "gemini", "ollama", "bedrock", "vertex", "cohere"), "")
#: The path of the server's base URL for each provider.
BASES = {**_OWN_BASES, **{provider: base_of(provider) for provider in DIALECTS}}
_OLLAMA = "127.0.0.1:11434"  # https://docs.ollama.com/faq
_PATHS = {"fireworks": "/inference"}  # of the usual base URL, where its SDK adds /v1 itself
# For one connection (RFC 9110, section 7.6.1), and what is said anew.
_NOT_SENT_ON = {
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Onward:
    """A request as its provider gets it.

    Attributes:
        method: ``"POST"`` and so on.
        scheme: ``"http"`` or ``"https"``.
        host: of the provider, a name or an address.
        port: of the provider.
        target: path and query.
        headers: all of them; the provider is asked not to compress what it says.
        body: as the client sent it.
    """

    method: str
    scheme: str
    host: str
    port: int
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def __str__(self) -> str:
        return f"{self.scheme}://{_authority(self.scheme, self.host, self.port)}"

    def __repr__(self) -> str:
        return f"<Onward {self.method} {self}>"


class Upstreams:
    """The base URLs and the keys of providers.

    Args:
        given: see ``Upstream``.
        lends_keys: whether fake keys are replaced by the real ones of the environment. That is for programs of this
            machine: who knows the fake key of this package could else ask at the expense of its user.

    Raises:
        ScriptError: it has what is no URL, or names no provider.
    """

    def __init__(self, given: Upstream = None, *, lends_keys: bool = True) -> None:
        self._lends_keys = lends_keys
        self._given: dict[str, SplitResult] = {}
        self._for_all: SplitResult | None = None
        self._own: dict[str, str] = {}
        self._before: dict[str, str | None] = {}
        if isinstance(given, Mapping):
            self._given = {_named(name): base_url(url, f"upstream[{name!r}]") for name, url in given.items()}
        elif given is not None:
            self._for_all = base_url(given, "upstream")

    def note(self, own: Mapping[str, str]) -> None:
        """Note what the environment says before it is changed to lead to the server.

        Args:
            own: the variables that are about to be set.
        """
        for name in own:
            if (value := os.environ.get(name)) is None or value != self._own.get(name):
                self._before[name] = value
        self._own = dict(own)

    def onward(self, provider: str, incoming: HTTPRequest, *, own_port: int) -> Onward:
        """Return a request as its provider gets it.

        Args:
            provider: who is asked.
            incoming: as the client sent it.
            own_port: the server's.

        Raises:
            ScriptError: nobody has said where the provider is, or with which key it is asked; or it is the server
                itself.
        """
        base, own_path = self._base(provider)
        host = base.hostname or ""
        port = base.port or _PORTS[base.scheme]
        if is_loopback(host) and port == own_port:
            msg = f"{base.geturl()!r}, where {provider} should be, is this very server: give upstream= another one"
            raise ScriptError(msg)
        asked = urlsplit(incoming.url)
        target = _joined(base.path.rstrip("/"), _without(asked.path, f"/{provider}"), own_path)
        # Web pages of anybody can ask a server of this machine; browsers say whose page it is.
        key = self._key(provider) if self._lends_keys and "origin" not in incoming.lower_headers else None
        sent = {
            name: value if FAKE_KEY not in value else value.replace(FAKE_KEY, key) if key else None
            for name, value in incoming.lower_headers.items()
            if name not in _not_sent_on(incoming)
        }
        query = asked.query.replace(FAKE_KEY, key or FAKE_KEY)
        if provider_of(host) is not None:
            self._check_credentials(provider, sent, query)
        return Onward(
            method=incoming.method,
            scheme=base.scheme,
            host=host,
            port=port,
            target=f"{target or '/'}{f'?{query}' if query else ''}",
            headers=[
                ("host", _authority(base.scheme, host, port)),
                *((name, value) for name, value in sent.items() if value is not None),
                ("accept-encoding", "identity"),
                *_length(incoming),
            ],
            body=incoming.body,
        )

    def _base(self, provider: str) -> tuple[SplitResult, str]:
        """Return a provider's base URL, and the path of the server's that it stands for."""
        given = self._given.get(provider, self._for_all)
        if given is not None:
            return given, _without(BASES.get(provider, "/v1"), f"/{provider}")
        rows = _rows(provider)
        for name in (row.base_url for row in rows if row.base_url):
            value = self._real(name)
            if value and value != NOWHERE:
                own = urlsplit(self._own.get(name, "")).path or BASES.get(provider, "")
                return base_url(_of_ollama(value) if provider == "ollama" else value, name), _without(
                    own, f"/{provider}"
                )
        if provider == "ollama":
            return urlsplit(f"http://{_OLLAMA}"), ""
        host = next((row.host for row in rows if row.host), None)
        if host is None or provider == "bedrock":  # which has a host for each region, and no other
            msg = (
                f"nobody has said where {provider} is: give the server upstream={{{provider!r}: 'https://...'}}"
                + "".join(f", or set {row.base_url} before it is started" for row in rows[:1] if row.base_url)
            )
            raise ScriptError(msg)
        return urlsplit(f"https://{host}{_PATHS.get(provider, '')}"), ""

    def _key(self, provider: str) -> str | None:
        names = [name for row in _rows(provider) for name in row.keys]
        return next((key for name in names if (key := self._real(name)) and key != FAKE_KEY), None)

    def _check_credentials(self, provider: str, sent: Mapping[str, str | None], query: str) -> None:
        """Refuse to ask a provider at its own host what it would refuse."""
        if (sent.get("authorization") or "").startswith("AWS4-"):
            msg = (
                "a request that AWS's SDK has signed for this server's address is refused by AWS: set"
                " AWS_BEARER_TOKEN_BEDROCK, or record in process, with mock_stream_sdk"
            )
            raise ScriptError(msg)
        if None not in sent.values() and FAKE_KEY not in query:
            return
        names = [name for row in _rows(provider) for name in row.keys]
        if self._key(provider):
            remedy = "those of the environment are lent to programs of this machine, and to no web page"
        elif names:
            remedy = f"set {' or '.join(names)} before the server's own is set"
        else:
            remedy = "give the client a real one"
        raise ScriptError(f"there is no key for {provider} but the fake one of the server: {remedy}")

    def _real(self, name: str) -> str | None:
        """Return what a variable says, or said before the server's own value was set."""
        value = os.environ.get(name)
        return self._before.get(name) if value is not None and value == self._own.get(name) else value


def _rows(provider: str) -> list[Variables]:
    return [row for row in VARIABLES if row.whose == provider]


def _named(name: object) -> str:
    if not isinstance(name, str) or name not in BASES:
        known = ", ".join(BASES)
        near = did_you_mean(name.lower(), BASES) if isinstance(name, str) else ""
        raise ScriptError(f"upstream= names {brief(name)}, which is no provider.{near} Give some of {known}")
    return _ALIASES.get(name, name)


def base_url(text: object, name: str) -> SplitResult:
    """Return a base URL.

    Args:
        text: the URL.
        name: of the setting, for the message.

    Raises:
        ScriptError: it is none.
    """
    try:
        if not isinstance(text, str):
            raise ValueError("it is no text")
        url = urlsplit(text.strip())
        if url.scheme not in _PORTS:
            raise ValueError("it begins with neither http:// nor https://")
        if not url.hostname:
            raise ValueError("it has no host")
        if url.username is not None or url.query or url.fragment:
            raise ValueError("a user, a query or a fragment is not sent on")
        _ = url.port
    except ValueError as error:
        shown = Secrets().shown(brief(text))
        msg = f"{name}={shown} is no base URL: {error}. Give one such as 'https://api.openai.com/v1'"
        raise ScriptError(msg) from None
    return url


def is_of_this_machine(host: str) -> bool:
    """Tell whether nobody but this machine reaches a server that is bound to a host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _of_ollama(value: str) -> str:
    """Return what OLLAMA_HOST says as a URL, as its own client does: scheme, host and port may be missing."""
    if "//" in value:
        return value
    host, colon, port = value.rpartition(":") if not value.endswith("]") else (value, "", "")
    if not colon:
        host, port = value, "11434"
    return f"http://{host or '127.0.0.1'}:{port}"


def _joined(base: str, path: str, own: str) -> str:
    """Return a path with a base of the provider's in place of our own; what both end and begin with, only once.

    A base URL without a path is a host, and is asked for all of the path.
    """
    rest = _without(path, own) if base else path
    parts, more = base.split("/"), rest.split("/")
    for shared in range(min(len(parts), len(more)) - 1, 0, -1):
        if parts[-shared:] == more[1 : shared + 1]:
            return "/".join(parts + more[shared + 1 :])
    return base + rest


def _without(path: str, prefix: str) -> str:
    return path.removeprefix(prefix) if prefix and f"{path}/".startswith(f"{prefix}/") else path


def _authority(scheme: str, host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port == _PORTS[scheme] else f"{name}:{port}"


def _not_sent_on(incoming: HTTPRequest) -> set[str]:
    listed = incoming.lower_headers.get("connection", "").lower().split(",")
    return _NOT_SENT_ON | {name.strip() for name in listed}


def _length(incoming: HTTPRequest) -> list[tuple[str, str]]:
    """Return the length of the body, where there is one or one is expected (RFC 9110, section 8.6)."""
    expects = incoming.method.upper() in {"POST", "PUT", "PATCH"}
    return [("content-length", str(len(incoming.body)))] if incoming.body or expects else []
