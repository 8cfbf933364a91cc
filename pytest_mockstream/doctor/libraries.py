"""How each HTTP library asks, and which ones nobody can see ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import Any

_TIMEOUT = 5.0


def ask_urllib(url: str) -> None:
    """Ask with what Python has, past any proxy."""
    request: Any = import_module("urllib.request")
    request.build_opener(request.ProxyHandler({})).open(url, timeout=_TIMEOUT).close()


def _ask_httpx(name: str) -> Callable[[str], object]:
    return lambda url: import_module(name).get(url, trust_env=False, timeout=_TIMEOUT)


def _ask_httpcore(name: str) -> Callable[[str], object]:
    return lambda url: import_module(name).request("GET", url)


def _ask_aiohttp(url: str) -> None:
    library = import_module("aiohttp")

    async def ask() -> None:
        async with library.ClientSession() as session, session.get(url) as response:
            await response.read()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(ask())


def _ask_requests(url: str) -> None:
    with import_module("requests").Session() as session:
        session.trust_env = False
        session.get(url, timeout=_TIMEOUT)


def _ask_urllib3(url: str) -> None:
    with import_module("urllib3").PoolManager(retries=False, timeout=_TIMEOUT) as pool:
        pool.request("GET", url)


def _ask_botocore(url: str) -> None:
    session = import_module("botocore.httpsession").URLLib3Session(timeout=_TIMEOUT)
    session.send(import_module("botocore.awsrequest").AWSRequest("GET", url).prepare())
    session.close()


#: By distribution; what Python brings is under its module's name.
ASKS: dict[str, Callable[[str], object]] = {
    "httpx": _ask_httpx("httpx"),
    "httpx2": _ask_httpx("httpx2"),
    "httpcore": _ask_httpcore("httpcore"),
    "httpcore2": _ask_httpcore("httpcore2"),
    "aiohttp": _ask_aiohttp,
    "requests": _ask_requests,
    "urllib3": _ask_urllib3,
    "botocore": _ask_botocore,
    "urllib.request": ask_urllib,
}
OF_PYTHON = {"urllib.request"}

#: They look names up and connect in code that is not Python's.
UNSEEN = {
    "grpcio": "it connects in C",
    "pycurl": "it connects in C",
    "curl-cffi": "it connects in C",
}
