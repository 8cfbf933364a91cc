"""Lets nothing out of this machine while things are tried, should a door not hold.

Below the doors no name is looked up and no address but loopback is connected to.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

_ROUTES = ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL", "OLLAMA_HOST", "CO_API_URL")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_HERE = {"127.0.0.1", "localhost", "::1"}


@contextmanager
def sealed() -> Iterator[None]:
    """Let nothing out, and set aside the user's own base URLs and proxies."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def connecting(sock: socket.socket, address: Any) -> Any:
        if isinstance(address, tuple) and address[0] not in _HERE:
            msg = f"the doctor lets nothing out: {address!r}"
            raise ConnectionRefusedError(msg)
        return connect(sock, address)

    def looking_up(host: Any, *args: Any, **keywords: Any) -> Any:
        if host not in _HERE:
            msg = f"the doctor looks no name up: {host!r}"
            raise socket.gaierror(msg)
        return look_up(host, *args, **keywords)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ))
        for name in (*_ROUTES, *_PROXIES, *map(str.lower, _PROXIES)):
            os.environ.pop(name, None)
        stack.enter_context(mock.patch.object(socket.socket, "connect", connecting))
        stack.enter_context(mock.patch.object(socket, "getaddrinfo", looking_up))
        yield
