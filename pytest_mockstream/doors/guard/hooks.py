"""Where the guard looks: what Python says to audit hooks, and the functions of libraries that look names up in C.

What remains: libraries that resolve names and encrypt in C of their own (pycurl), and gRPC channels that were made
before the guard went up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from pytest_mockstream._base.replace import Hook, Replacement

from .children import LAUNCHES, before_launch, multiprocessing_hook, subprocess_hook
from .judge import GUARD, Guard, wire

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


def _resolving(host: object, port: object = None, *_: object) -> None:
    GUARD.check(host, "socket", port=port, look_up=True)


def _tunnelling(connection: Any, host: object, port: object) -> None:
    # Behind a proxy, only the tunnel knows the host. It has no public name; checked against Python 3.11 to 3.15.
    GUARD.check(getattr(connection, "_tunnel_host", None), "http.client")


_EVENTS: dict[str, Callable[..., None]] = {
    "socket.getaddrinfo": _resolving,
    "socket.gethostbyname": _resolving,
    "http.client.connect": _tunnelling,
    **dict.fromkeys(LAUNCHES, before_launch),
}
_listening: list[Callable[..., None]] = []


def listen() -> None:
    """Add the audit hook, once for the process: Python has no way to remove one. Without the guard it does nothing."""
    if not _listening:
        _listening.append(_hear)
        sys.addaudithook(_hear)


def _hear(
    event: str,
    args: tuple[Any, ...],
    # Bound here: the interpreter tells the hook of its own end, when this module is empty already.
    events: dict[str, Callable[..., None]] = _EVENTS,
    guard: Guard = GUARD,
) -> None:
    if event in events and guard.holders:
        events[event](*args)


def _socket_hook(library: ModuleType) -> Iterator[Replacement]:
    """Return what to replace in ``socket``, where no audit hook is told, or too late.

    Somebody's stand-in for the look-up tells none.
    """

    def looking_up(original: Callable[..., Any]) -> Callable[..., Any]:
        def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
            GUARD.check(host, library.__name__)
            return original(host, *args, **kwargs)

        return getaddrinfo

    def connecting(original: Callable[..., Any]) -> Callable[..., Any]:
        def connect(sock: Any, address: Any) -> Any:
            if isinstance(address, tuple) and address:
                GUARD.check(address[0], library.__name__, port=address[1] if len(address) > 1 else None)
            return original(sock, address)

        return connect

    yield Replacement(library, "getaddrinfo", looking_up)
    for name in ("connect", "connect_ex"):  # given a name, they look it up before they tell an audit hook
        yield Replacement(library.socket, name, connecting)


def _ssl_hook(library: ModuleType) -> Iterator[Replacement]:
    def wrapping(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrap(*args: Any, **kwargs: Any) -> Any:
            # server_hostname is the last positional argument of both that can be given as text.
            names = [kwargs.get("server_hostname"), *args[3:]]
            GUARD.check(next((name for name in names if isinstance(name, str | bytes)), None), library.__name__)
            return original(*args, **kwargs)

        return wrap

    yield Replacement(library.SSLContext, "wrap_socket", wrapping)
    yield Replacement(library.SSLContext, "wrap_bio", wrapping)


def _loop_hook(library: ModuleType) -> Iterator[Replacement]:
    """Return what to replace in asyncio or uvloop, which look names up where the caller is not on the stack."""

    def looking_up(original: Callable[..., Any]) -> Callable[..., Any]:
        async def getaddrinfo(loop: Any, host: Any, *args: Any, **kwargs: Any) -> Any:
            GUARD.check(host, library.__name__, look_up=True)
            return await original(loop, host, *args, **kwargs)

        return getaddrinfo

    def connecting(original: Callable[..., Any]) -> Callable[..., Any]:
        async def create_connection(
            loop: Any, protocol_factory: Any, host: Any = None, port: Any = None, *args: Any, **kwargs: Any
        ) -> Any:
            for name in (host, kwargs.get("server_hostname")):
                GUARD.check(name, library.__name__, port=port, look_up=True)
            return await original(loop, protocol_factory, host, port, *args, **kwargs)

        return create_connection

    def encrypting(original: Callable[..., Any]) -> Callable[..., Any]:
        async def start_tls(loop: Any, *args: Any, **kwargs: Any) -> Any:
            GUARD.check(kwargs.get("server_hostname"), library.__name__)
            return await original(loop, *args, **kwargs)

        return start_tls

    owner = library.BaseEventLoop if library.__name__ == "asyncio" else library.Loop
    yield Replacement(owner, "getaddrinfo", looking_up)
    yield Replacement(owner, "create_connection", connecting)
    yield Replacement(owner, "start_tls", encrypting)


def _httpcore_hook(library: ModuleType) -> Iterator[Replacement]:
    """Return what to replace in httpcore or httpcore2, which know the host whatever proxy they use."""

    def handling(original: Callable[..., Any]) -> Callable[..., Any]:
        def handle_request(pool: Any, request: Any) -> Any:
            return library.Response(204) if _judge(request.url) else original(pool, request)

        return handle_request

    def handling_async(original: Callable[..., Any]) -> Callable[..., Any]:
        async def handle_async_request(pool: Any, request: Any) -> Any:
            return library.Response(204) if _judge(request.url) else await original(pool, request)

        return handle_async_request

    def _judge(url: Any) -> bool:
        host = url.host.decode("ascii", errors="replace")
        if _is_upload(host, url.target.decode("ascii", errors="replace")):
            return True
        GUARD.check(host, library.__name__, port=url.port)
        return False

    yield Replacement(library.ConnectionPool, "handle_request", handling)
    yield Replacement(library.AsyncConnectionPool, "handle_async_request", handling_async)


def _aiohttp_hook(library: ModuleType) -> Iterator[Replacement]:
    def connecting(original: Callable[..., Any]) -> Callable[..., Any]:
        async def connect(connector: Any, req: Any, *args: Any, **kwargs: Any) -> Any:
            GUARD.check(req.url.raw_host, library.__name__, port=req.url.port)
            return await original(connector, req, *args, **kwargs)

        return connect

    yield Replacement(library.BaseConnector, "connect", connecting)


def _is_upload(host: str, target: str) -> bool:
    """Tell whether a library sends this to a provider in the background, as openai-agents does with what was said.

    It does so only because it has found a key in the environment. Nobody asked for it, so it is accepted and dropped.
    """
    if not GUARD.holders or wire().provider_of(host) is None:
        return False
    return wire().upload_to(host, target.partition("?")[0]) is not None


def _grpc_hook(library: ModuleType) -> Iterator[Replacement]:
    """Return what to replace in gRPC: the constructor of channels, whichever function makes one."""

    def making(original: Callable[..., Any]) -> Callable[..., Any]:
        def init(channel: Any, target: Any, *args: Any, **kwargs: Any) -> None:
            host, port = _grpc_host(target)
            GUARD.check(host, "grpc", port=port, look_up=True)
            original(channel, target, *args, **kwargs)

        return init

    yield Replacement(library.Channel, "__init__", making)


def _grpc_host(target: str | bytes) -> tuple[str | None, int | None]:
    """Return host and port of a target (https://github.com/grpc/grpc/blob/master/doc/naming.md)."""
    text = target.decode() if isinstance(target, bytes) else target
    if text.startswith(("unix:", "unix-abstract:", "vsock:", "ipv4:", "ipv6:")):
        return None, None
    parts = urlsplit("//" + text.rpartition("/")[2].removeprefix("dns:"))
    try:
        return parts.hostname, parts.port
    except ValueError:
        return parts.hostname, None


#: By the module that has it. Of gRPC's, whose functions others bind early, the classes have no public name: checked
#: against grpcio 1.7x and 1.8x.
HOOKS: dict[str, Hook] = {
    "httpcore": _httpcore_hook,
    "httpcore2": _httpcore_hook,
    "aiohttp": _aiohttp_hook,
    "ssl": _ssl_hook,
    "asyncio": _loop_hook,
    "uvloop": _loop_hook,
    "grpc._channel": _grpc_hook,
    "grpc.aio._channel": _grpc_hook,
    "subprocess": subprocess_hook,
    "multiprocessing.process": multiprocessing_hook,
    "socket": _socket_hook,
}
#: What each door that opens puts on once more, over what others have put there since.
ON_TOP: dict[str, Hook] = {"socket": _socket_hook}
