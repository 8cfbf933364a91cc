"""The three doors behind one face, for tests of what holds in all of them."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from pytest_mockstream import MockStreamClient, MockStreamSDK
from pytest_mockstream.doors.server import MockStreamServer

DOORS = ("client", "sdk", "server")
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # empty: to load the usual certificates takes longer than to ask


@dataclass
class Door:
    """One of the three doors, and how it is asked; ``ask`` returns the text of the answer."""

    name: str
    scripts: Any
    ask: Callable[..., str]


def ask_http(base: str) -> Callable[..., str]:
    """Return what asks a provider or a server: with a text, and further fields of the body or headers."""
    import httpx

    def ask(text: str, *, headers: dict[str, str] | None = None, **fields: Any) -> str:
        body = {"model": "m", "messages": [{"role": "user", "content": text}], **fields}
        answer = httpx.post(f"{base}/v1/chat/completions", json=body, headers=headers, timeout=30, verify=_NO_TLS)
        if answer.is_error:
            raise RuntimeError(answer.json()["error"]["message"])
        content: str = answer.json()["choices"][0]["message"]["content"]
        return content

    return ask


@contextmanager
def opened_door(name: str) -> Iterator[Door]:
    """Open one of ``DOORS``."""
    with ExitStack() as stack:
        if name == "client":
            client = MockStreamClient()
            yield Door("client", client, lambda text, **params: client.complete(text, **params).content)
        elif name == "sdk":
            yield Door("sdk", stack.enter_context(MockStreamSDK()), ask_http("https://api.openai.com"))
        else:
            server = stack.enter_context(MockStreamServer())
            yield Door("server", server, ask_http(server.url))
