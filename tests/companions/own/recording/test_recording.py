"""Requests to a server of the session, recorded by vcrpy, and played in later runs without it."""

from __future__ import annotations

import http.server
import threading
import urllib.request
from collections.abc import Iterator

import httpx
import pytest
from left import leave_task, leave_thread


class _Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Hello) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def vcr_config() -> dict[str, list[str]]:
    return {"match_on": ["method", "path"]}  # the port is another one each time


@pytest.mark.vcr
def test_recorded(url: str) -> None:
    with urllib.request.urlopen(url) as response:
        assert response.read() == b"hello"


@pytest.mark.vcr
@pytest.mark.asyncio
async def test_recorded_in_a_coroutine(url: str) -> None:
    async with httpx.AsyncClient() as client:
        assert (await client.get(url)).text == "hello"


@pytest.mark.vcr
def test_leaves_a_thread(url: str) -> None:
    with urllib.request.urlopen(url) as response:
        response.read()
    leave_thread()


@pytest.mark.vcr
@pytest.mark.asyncio
async def test_leaves_a_task(url: str) -> None:
    async with httpx.AsyncClient() as client:
        await client.get(url)
    leave_task()
