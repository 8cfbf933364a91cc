"""Who may see the server's page, and who may command the server through it.

It is pure: it reads headers.

Theory of operation: programs of this machine may do what they like; what is kept out is the web page of somebody else,
which a browser of this machine shows. Such a page can send requests anywhere. It cannot choose ``Origin`` and ``Host``,
it cannot send JSON to another origin without asking first (and is never told yes), and it cannot read the answers, the
page's token among them; a file that it has uploaded runs nowhere. A page whose own name suddenly leads to this machine
(DNS rebinding) has that name in ``Host``. See
https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html.
"""

from __future__ import annotations

import hmac
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

TOKEN_HEADER = "x-mockstream-token"  # noqa: S105 - the name of a header
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_HTTP_PORT = 80


#: What a provider says may be anything, such as a file that somebody else's page has uploaded. A browser that opens it
#: must not take it for a page of this server, which could read the token: it belongs to no origin, and runs nothing.
_DISARMED = {"content-security-policy": "sandbox", "x-content-type-options": "nosniff"}


def disarmed(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a provider's answer, with those that keep it from being a page of this server."""
    return {name: value for name, value in headers.items() if name.lower() not in _DISARMED} | _DISARMED


class Refusal(NamedTuple):
    """Why a request is refused.

    Attributes:
        status: of HTTP.
        why: a sentence.
    """

    status: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may see the page, and command.

    Attributes:
        host: the address that is bound.
        port: the port that is bound.
        is_local: whether nobody but this machine reaches that address.
        allows_remote: whether commands are taken where others reach it, too.
        token: what a command has to bring; new for each start.
    """

    host: str
    port: int
    is_local: bool
    allows_remote: bool = False
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def why_no_commands(self) -> str | None:
        """Why no commands are taken from anybody; None if they are."""
        if self.is_local or self.allows_remote:
            return None
        return (
            f"commands are off, since other machines reach {self.host}: start the server on 127.0.0.1,"
            " or with --allow-remote-control"
        )

    def why_not_shown(self, headers: Mapping[str, str]) -> Refusal | None:
        """Say why nothing may be shown to who sends these headers; None if it may.

        Args:
            headers: of the request, their names in lower case.
        """
        said = headers.get("host", "")
        found = _HOST.fullmatch(said)
        if found is None or not self._is_ours(found["name"].strip("[]").lower(), int(found["port"] or _HTTP_PORT)):
            return Refusal(403, f"Host: {said[:80]!r} is not the name of this server: ask for {self._named()}")
        return None

    def why_not_followed(self, headers: Mapping[str, str]) -> Refusal | None:
        """Say why who sends these headers may not follow what happens; None if it may."""
        site = headers.get("sec-fetch-site", "none")
        if site not in {"same-origin", "none"}:
            return Refusal(403, f"Sec-Fetch-Site: {site[:80]!r}: another site's page may not follow what happens here")
        return self.why_not_shown(headers)

    def why_not_obeyed(self, headers: Mapping[str, str]) -> Refusal | None:
        """Say why a command with these headers is not obeyed; None if it is."""
        if (why := self.why_no_commands) is not None:
            return Refusal(403, why)
        if (refusal := self.why_not_shown(headers)) is not None:
            return refusal
        own, origin = f"http://{headers['host']}".lower(), headers.get("origin")
        if origin is None or origin.lower() != own:
            told = "there is no Origin" if origin is None else f"Origin: {origin[:80]!r} is another one"
            return Refusal(403, f"{told}: only the server's own page may command, which is at {own}")
        site = headers.get("sec-fetch-site", "same-origin")
        if site != "same-origin":
            return Refusal(403, f"Sec-Fetch-Site: {site[:80]!r}: only the server's own page may command")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return Refusal(415, f"Content-Type: {kind[:80]!r}: a command is application/json")
        if not hmac.compare_digest(headers.get(TOKEN_HEADER, "").encode(), self.token.encode()):
            return Refusal(403, f"{TOKEN_HEADER} is not that of this start of the server: reload the page")
        return None

    def _is_ours(self, name: str, port: int) -> bool:
        try:
            address = ip_address(name)
        except ValueError:
            names = {"localhost"} if self.is_local else {"localhost", self.host.lower(), socket.gethostname().lower()}
            is_ours = name in names
        else:  # no page of the internet has a bare address of this machine for its name
            is_ours = address.is_loopback or not self.is_local
        # Where others reach it, the port may be another one on their side, as with containers.
        return is_ours and (port == self.port or not self.is_local)

    def _named(self) -> str:
        return f"localhost:{self.port} or {self.host}:{self.port}"
