"""Refuses connections to a provider's host that bypass the door.

It checks the names of hosts where Python looks them up or connects to them; libraries that resolve names in C (gRPC,
pycurl) escape it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType
from typing import Any

from pytest_mockstream._base.callsite import calling_site, is_library
from pytest_mockstream._base.errors import UnexpectedRequestError
from pytest_mockstream._base.replace import Replacement

from .door import Door

_SOCKET_FUNCTIONS = ("getaddrinfo", "gethostbyname", "gethostbyname_ex")


def socket_hook(library: ModuleType, door: Door) -> Iterator[Replacement]:
    """Return what to replace in ``socket``: every look-up of a name, and connecting to one directly."""

    def looking_up(original: Callable[..., Any]) -> Callable[..., Any]:
        def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
            _check(door, host, library.__name__)
            return original(host, *args, **kwargs)

        return look_up

    def connecting(original: Callable[..., Any]) -> Callable[..., Any]:
        def connect(sock: Any, address: Any) -> Any:
            if isinstance(address, tuple) and address:
                _check(door, address[0], library.__name__)
            return original(sock, address)

        return connect

    for name in _SOCKET_FUNCTIONS:
        yield Replacement(library, name, looking_up)
    for name in ("connect", "connect_ex"):
        yield Replacement(library.socket, name, connecting)


def loop_hook(library: ModuleType, door: Door) -> Iterator[Replacement]:
    """Return what to replace in asyncio or uvloop, which look names up where the caller is not on the stack."""

    def looking_up(original: Callable[..., Any]) -> Callable[..., Any]:
        async def getaddrinfo(loop: Any, host: Any, *args: Any, **kwargs: Any) -> Any:
            _check(door, host, library.__name__)
            return await original(loop, host, *args, **kwargs)

        return getaddrinfo

    def connecting(original: Callable[..., Any]) -> Callable[..., Any]:
        async def create_connection(
            loop: Any, protocol_factory: Any, host: Any = None, *args: Any, **kwargs: Any
        ) -> Any:
            _check(door, host, library.__name__)
            return await original(loop, protocol_factory, host, *args, **kwargs)

        return create_connection

    owner = library.BaseEventLoop if library.__name__ == "asyncio" else library.Loop
    yield Replacement(owner, "getaddrinfo", looking_up)
    yield Replacement(owner, "create_connection", connecting)


def http_client_hook(library: ModuleType, door: Door) -> Iterator[Replacement]:
    """Return what to replace in ``http.client``: behind a proxy, only the tunnel knows the host."""

    def tunnelling(original: Callable[..., Any]) -> Callable[..., Any]:
        def set_tunnel(connection: Any, host: Any, *args: Any, **kwargs: Any) -> Any:
            _check(door, host, library.__name__)
            return original(connection, host, *args, **kwargs)

        return set_tunnel

    yield Replacement(library.HTTPConnection, "set_tunnel", tunnelling)


def _check(door: Door, host: object, entrance: str) -> None:
    """Refuse a provider's host.

    Args:
        door: knows whose host it is.
        host: the name, as any of the functions takes it.
        entrance: the module whose function was called.

    Raises:
        UnexpectedRequestError: remembered, too, for the test's end.
    """
    name = host.decode("ascii", errors="replace") if isinstance(host, bytes | bytearray) else host
    if not isinstance(name, str) or (provider := door.forbidden(name)) is None:
        return
    frame = sys._getframe(2)
    caller = _library_called(frame, entrance)
    error = UnexpectedRequestError(
        f"{caller} tried to bypass {door.playbook.name} and reach {name} ({provider}) at {calling_site(frame)}; it was"
        " refused, and nothing was sent.\n"
        f"  {door.playbook.name} answers what goes through httpx, httpx2 or aiohttp. For {caller}, use"
        f' mock_stream_server, or let the host out with passthrough=["{name}"].'
    )
    door.playbook.remember(error)
    raise error


def _library_called(frame: FrameType | None, entrance: str) -> str:
    """Return the library that the user's own code called: the outermost one below it."""
    name = entrance
    while frame is not None and is_library(frame.f_code.co_filename):
        module = frame.f_globals.get("__name__", "")
        if not module.startswith(f"{__name__.partition('.')[0]}."):
            package = module.partition(".")[0]
            name = module if package in sys.stdlib_module_names else package
        frame = frame.f_back
    return name
