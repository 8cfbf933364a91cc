"""Every HTTP client whose requests can be recorded, behind one face."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import aiohttp
import httpx
import httpx2
import requests

CHAT: Any = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "stream": True}


@dataclass
class Reply:
    """An answer that is being read.

    Attributes:
        status: of it.
        pieces: its body, as it comes.
        close: the way in which the library has it closed early.
        again: asks once more with the same client, which has room for one connection, and returns the status.
    """

    status: int
    pieces: AsyncGenerator[bytes, None]
    close: Callable[[], Any]
    again: Callable[[], Any]


Asking: TypeAlias = "Callable[..., AbstractAsyncContextManager[Reply]]"


async def _pieces(of: Any) -> AsyncGenerator[bytes, None]:
    for piece in of:
        yield piece


async def _apieces(of: Any) -> AsyncGenerator[bytes, None]:
    async for piece in of:
        yield piece


def _httpx(library: Any) -> Asking:
    @asynccontextmanager
    async def ask(url: str, *, timeout: float = 5, body: Any = CHAT, headers: Any = None) -> AsyncIterator[Reply]:
        limits = library.Limits(max_connections=1)
        with library.Client(limits=limits, timeout=timeout) as client:
            reply = client.send(client.build_request("POST", url, json=body, headers=headers), stream=True)

            async def close() -> None:
                reply.close()

            async def again() -> int:
                return int(client.post(url, json=body).status_code)

            try:
                yield Reply(reply.status_code, _pieces(reply.iter_bytes()), close, again)
            finally:
                reply.close()

    return ask


def _async_httpx(library: Any) -> Asking:
    @asynccontextmanager
    async def ask(url: str, *, timeout: float = 5, body: Any = CHAT, headers: Any = None) -> AsyncIterator[Reply]:
        limits = library.Limits(max_connections=1)
        async with library.AsyncClient(limits=limits, timeout=timeout) as client:
            reply = await client.send(client.build_request("POST", url, json=body, headers=headers), stream=True)

            async def again() -> int:
                return int((await client.post(url, json=body)).status_code)

            try:
                yield Reply(reply.status_code, reply.aiter_bytes(), reply.aclose, again)
            finally:
                await reply.aclose()

    return ask


@asynccontextmanager
async def _aiohttp(url: str, *, timeout: float = 5, body: Any = CHAT, headers: Any = None) -> AsyncIterator[Reply]:
    limits = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=limits, timeout=aiohttp.ClientTimeout(sock_read=timeout)) as session:
        reply = await session.post(url, json=body, headers=headers)

        async def close() -> None:
            reply.close()

        async def again() -> int:
            async with session.post(url, json=body) as other:
                await other.read()
                return other.status

        try:
            yield Reply(reply.status, _apieces(reply.content.iter_any()), close, again)
        finally:
            reply.close()


@asynccontextmanager
async def _requests(url: str, *, timeout: float = 5, body: Any = CHAT, headers: Any = None) -> AsyncIterator[Reply]:
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=1, pool_block=True))
        reply = session.post(url, json=body, stream=True, timeout=timeout, headers=headers)

        async def close() -> None:
            reply.close()

        async def again() -> int:
            return session.post(url, json=body, timeout=timeout).status_code

        try:
            yield Reply(reply.status_code, _pieces(reply.iter_content(None)), close, again)
        finally:
            reply.close()


ASYNC: dict[str, Asking] = {
    "httpx-async": _async_httpx(httpx),
    "httpx2-async": _async_httpx(httpx2),
    "aiohttp": _aiohttp,
}
SYNC: dict[str, Asking] = {"httpx": _httpx(httpx), "httpx2": _httpx(httpx2), "requests": _requests}
CLIENTS = SYNC | ASYNC
