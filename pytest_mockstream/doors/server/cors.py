"""Headers that let a web page of any origin call the server and read all that it answers, errors included.

See https://fetch.spec.whatwg.org/#http-cors-protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def preflight(asked: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that allow what a browser asks for before the page's own request.

    The headers are named, since ``*`` does not cover ``Authorization``, which every SDK sends. A page of the internet
    may reach this machine: https://wicg.github.io/private-network-access/.

    Args:
        asked: the headers of the ``OPTIONS`` request, their names in lower case.
    """
    allowed = {
        "access-control-allow-methods": asked.get("access-control-request-method", "GET, POST"),
        "access-control-allow-headers": asked.get("access-control-request-headers", "*"),
    }
    if asked.get("access-control-request-private-network") == "true":
        allowed["access-control-allow-private-network"] = "true"
    return allowed


#: Said for the server itself, also where another one has said so of its own pages.
_READING = {"access-control-allow-credentials", "access-control-allow-origin", "access-control-expose-headers"}


def readable(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers of a response, and those that let any page read all of it.

    Here, too, the headers are named: jsdom knows no wildcard for them (checked: 24).
    """
    own = [(name, value) for name, value in headers if name not in _READING]
    named = ", ".join(name for name, _ in own if not name.startswith("access-control-"))
    exposed = [("access-control-expose-headers", named)] if named else []
    return [*own, ("access-control-allow-origin", "*"), *exposed]
