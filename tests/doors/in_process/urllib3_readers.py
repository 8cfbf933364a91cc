"""How code on urllib3 asks and reads: one way each, of urllib3 itself, of requests and of botocore."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import requests
import urllib3
from requests.adapters import HTTPAdapter

PATH = "/v1/chat/completions"
CHAT: dict[str, Any] = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "stream": True}
WHOLE = {**CHAT, "stream": False}
#: Asks a base URL, with a read timeout in seconds, and yields parts of what it gets.
Reader: TypeAlias = Callable[[str, float], Iterator[bytes]]


def requests_lines(base_url: str, timeout: float) -> Iterator[bytes]:
    with requests.post(base_url + PATH, json=CHAT, stream=True, timeout=(5, timeout)) as reply:
        yield b"%d" % reply.status_code
        yield from filter(None, reply.iter_lines())


def requests_content(base_url: str, timeout: float) -> Iterator[bytes]:
    with requests.Session() as session, session.post(base_url + PATH, json=CHAT, stream=True, timeout=timeout) as reply:
        yield b"%d" % reply.status_code
        yield from reply.iter_content(chunk_size=None)


def requests_raw(base_url: str, timeout: float) -> Iterator[bytes]:
    with requests.post(base_url + PATH, json=CHAT, stream=True, timeout=timeout) as reply:
        while part := reply.raw.read(10):
            yield part


def requests_whole(base_url: str, timeout: float) -> Iterator[bytes]:
    reply = requests.post(base_url + PATH, json=WHOLE, timeout=timeout)
    yield b"%d" % reply.status_code
    yield reply.content


def requests_again(base_url: str, timeout: float) -> Iterator[bytes]:
    """Try again, as an adapter for all requests of a session is told to."""
    retry = urllib3.Retry(2, backoff_factor=0, status_forcelist=[429, 500, 503], allowed_methods=None)
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=retry))
        session.mount("https://", HTTPAdapter(max_retries=retry))
        with session.post(base_url + PATH, json=CHAT, stream=True, timeout=timeout) as reply:
            yield b"%d" % reply.status_code
            yield from reply.iter_content(chunk_size=None)


def urllib3_stream(base_url: str, timeout: float) -> Iterator[bytes]:
    with urllib3.PoolManager(timeout=timeout) as pool:
        reply = pool.request(
            "POST",
            base_url + PATH,
            body=json.dumps(CHAT).encode(),
            headers={"Content-Type": "application/json"},
            preload_content=False,
        )
        yield b"%d" % reply.status
        yield from reply.stream()
        reply.release_conn()


def urllib3_whole(base_url: str, timeout: float) -> Iterator[bytes]:
    with urllib3.PoolManager(timeout=timeout, retries=urllib3.Retry(2, allowed_methods=None)) as pool:
        reply = pool.request("POST", base_url + PATH, body=json.dumps(WHOLE).encode())
        yield b"%d" % reply.status
        yield reply.data


READERS: dict[str, Reader] = {
    "requests lines": requests_lines,
    "requests content": requests_content,
    "requests raw": requests_raw,
    "requests whole": requests_whole,
    "requests again": requests_again,
    "urllib3 stream": urllib3_stream,
    "urllib3 whole": urllib3_whole,
}
if importlib.util.find_spec("botocore") is not None:
    AWSRequest: Any = importlib.import_module("botocore.awsrequest").AWSRequest
    URLLib3Session: Any = importlib.import_module("botocore.httpsession").URLLib3Session

    def botocore_stream(base_url: str, timeout: float) -> Iterator[bytes]:
        """Read as botocore's event streams are."""
        session = URLLib3Session(timeout=(5, timeout))
        asked = AWSRequest("POST", base_url + PATH, data=json.dumps(CHAT).encode(), stream_output=True)
        reply = session.send(asked.prepare())
        yield b"%d" % reply.status_code
        yield from reply.raw.stream()
        session.close()

    def botocore_whole(base_url: str, timeout: float) -> Iterator[bytes]:
        """Read as botocore reads what is no stream."""
        session = URLLib3Session(timeout=(5, timeout))
        reply = session.send(AWSRequest("POST", base_url + PATH, data=json.dumps(WHOLE).encode()).prepare())
        yield b"%d" % reply.status_code
        yield reply.content
        session.close()

    READERS |= {"botocore stream": botocore_stream, "botocore whole": botocore_whole}
