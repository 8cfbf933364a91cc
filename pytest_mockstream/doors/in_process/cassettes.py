"""Puts a door above the cassette of vcrpy that is in use when it opens, for what is asked of a model.

vcrpy replaces httpx's transports, aiohttp's sessions and urllib3's connections, above the door: it reads the whole of a
stream before anybody gets any of it, and refuses what is not on the cassette. What is asked of a model goes past it to
the door that was opened within; everything else is the cassette's. A cassette that is opened later lies above the door.

It uses one private name, ``ClientSession._request``, which vcrpy replaces, too; checked against vcrpy 8.5 to 9.4 and
aiohttp 3.12 to 3.14.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any
from urllib.parse import urljoin, urlsplit

from pytest_mockstream._base.replace import Hook, Replacement
from pytest_mockstream.wire import endpoints_at, provider_of

from .door import Door
from .urllib3 import origin_of

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


def above_cassettes(door: Door) -> dict[str, Hook]:
    """Return what to replace, by the module that has it; nothing where no cassette is in use."""

    def passes(url: str) -> bool:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            return False
        asks_model = host is not None and (provider_of(host) is not None or bool(endpoints_at(parts.path, {})))
        return asks_model and door.answers(host or "", port)

    def transports(library: ModuleType) -> Iterator[Replacement]:
        for owner, name in (
            (library.HTTPTransport, "handle_request"),
            (library.AsyncHTTPTransport, "handle_async_request"),
        ):
            if (below := _below_cassette(getattr(owner, name))) is not None:
                yield Replacement(owner, name, _sending(below, passes))

    def sessions(library: ModuleType) -> Iterator[Replacement]:
        if (below := _below_cassette(library.ClientSession._request)) is not None:
            yield Replacement(library.ClientSession, "_request", _asking(below, passes))

    def connections(library: ModuleType) -> Iterator[Replacement]:
        pools = (kind for name, kind in vars(library).items() if name.endswith("ConnectionPool"))
        for recorded in {getattr(pool, "ConnectionCls", None) for pool in pools}:
            if any(kind.__module__.startswith("vcr.") for kind in getattr(recorded, "__mro__", ())):
                yield Replacement(recorded, "request", _requesting(passes))
                yield Replacement(recorded, "getresponse", _getting)

    return {
        "httpx": transports,
        "httpx2": transports,
        "aiohttp": sessions,
        "urllib3.connectionpool": connections,
        "botocore.awsrequest": connections,
    }


def _sending(below: Callable[..., Any], passes: Callable[[str], bool]) -> Callable[[Any], Any]:
    """Return what makes a replacement for ``handle_request``, or for ``handle_async_request``: it awaits nothing."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def handle(transport: Any, request: Any) -> Any:
            return (below if passes(str(request.url)) else original)(transport, request)

        return handle

    return make


def _asking(below: Callable[..., Any], passes: Callable[[str], bool]) -> Callable[[Any], Any]:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def request(session: Any, method: Any, url: Any, **kwargs: Any) -> Any:
            return (below if passes(str(url)) else original)(session, method, url, **kwargs)

        return request

    return make


def _requesting(passes: Callable[[str], bool]) -> Callable[[Any], Any]:
    """Return what makes a replacement for ``request`` of a cassette's connection, which has a real one for others."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def request(connection: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
            real = connection.real_connection
            vars(connection)["mockstream_passes"] = asked = passes(urljoin(origin_of(real), url))
            send = real.request if asked else partial(original, connection)
            return send(method, url, *args, **kwargs)

        return request

    return make


def _getting(original: Callable[..., Any]) -> Callable[..., Any]:
    def getresponse(connection: Any, *args: Any, **kwargs: Any) -> Any:
        if vars(connection).get("mockstream_passes"):
            return connection.real_connection.getresponse(*args, **kwargs)
        return original(connection, *args, **kwargs)

    return getresponse


def _below_cassette(function: Any) -> Any:
    """Return what lies below the cassette of vcrpy, or None if there is none.

    What others have put over it, which cannot be separated from it, is passed by, too.
    """
    while (below := getattr(function, "__wrapped__", None)) is not None:
        if getattr(function, "__globals__", {}).get("__name__", "").partition(".")[0] == "vcr":
            return below
        function = below
    return None
