"""The escape guard: a provider is reached through the door or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import inspect
import socket
import urllib.request
from collections.abc import Callable

import pytest

from pytest_mockstream import MockStreamSDK, UnexpectedRequestError

HOST = "api.openai.com"


def with_urllib() -> None:
    urllib.request.urlopen(f"https://{HOST}/v1/models")


def with_http_client() -> None:
    http.client.HTTPSConnection(HOST).request("GET", "/v1/models")


def with_a_proxy() -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", 9)
    connection.set_tunnel(HOST)
    connection.connect()


def with_socket() -> None:
    socket.create_connection((HOST, 443))


def with_a_name_to_connect_to() -> None:
    with socket.socket() as sock:
        sock.connect((HOST, 443))


def with_gethostbyname() -> None:
    socket.gethostbyname(HOST)


def with_asyncio() -> None:
    async def main() -> None:
        await asyncio.open_connection(HOST, 443)

    asyncio.run(main())


def with_a_subdomain() -> None:
    socket.getaddrinfo(b"mine.openai.azure.com", 443)


WAYS = [
    (with_urllib, "urllib.request"),
    (with_http_client, "http.client"),
    (with_a_proxy, "http.client"),
    (with_socket, "socket"),
    (with_a_name_to_connect_to, "socket"),
    (with_gethostbyname, "socket"),
    (with_asyncio, "asyncio.streams"),
    (with_a_subdomain, "socket"),
]


@pytest.mark.parametrize(("way", "library"), [pytest.param(*way, id=way[0].__name__) for way in WAYS])
def test_way_that_bypasses_the_door_is_refused_naming_library_and_line(way: Callable[[], None], library: str) -> None:
    with MockStreamSDK() as sdk, pytest.raises(UnexpectedRequestError) as caught:
        way()

    text = str(caught.value)
    assert text.startswith(f"{library} tried to bypass ")
    lines, first = inspect.getsourcelines(way)
    line = int(text.partition("test_sdk_guard.py:")[2].partition(";")[0])
    assert first < line < first + len(lines)
    with pytest.raises(UnexpectedRequestError, match="bypass mock_stream_sdk"):
        sdk.verify()


def test_swallowed_refusal_fails_the_test() -> None:
    with MockStreamSDK() as sdk, contextlib.suppress(Exception):
        with_urllib()

    with pytest.raises(UnexpectedRequestError):
        sdk.verify()


def test_other_hosts_are_none_of_its_business(mock_stream_sdk: MockStreamSDK) -> None:
    assert socket.getaddrinfo("127.0.0.1", 80)


def test_host_let_out_is_let_out(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def look_up(host: object, *_: object) -> list[object]:
        asked.append(host)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with MockStreamSDK(passthrough=[HOST]):
        socket.getaddrinfo(HOST, 443)

    assert asked == [HOST]
