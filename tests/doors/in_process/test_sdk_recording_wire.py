"""Recording what real servers do on the wire: compression, TLS, connections that stay, other requests than chats."""

from __future__ import annotations

import asyncio
import ssl
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import aiohttp
import httpx
import pytest
import requests
from raw_server import chunked, raw_server, tunnel
from recorded_clients import CHAT, CLIENTS, Asking
from recorder import Recorder

from pytest_mockstream import MockStreamSDK, ScriptError
from pytest_mockstream.doors.decompression import UnknownCodingError, decompressor

PATH = "/v1/chat/completions"
PIECES = (b'data: {"one": 1}\n\n', b'data: {"two": 2}\n\n', b"data: [DONE]\n\n")


@pytest.fixture(params=CLIENTS)
def ask(request: pytest.FixtureRequest) -> Asking:
    return CLIENTS[request.param]


async def read(ask: Asking, url: str) -> bytes:
    async with ask(url) as reply:
        return b"".join([piece async for piece in reply.pieces])


def gzipped(*pieces: bytes) -> list[bytes]:
    made = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    flushed = [made.compress(piece) + made.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]
    return [*flushed, made.flush()]


async def test_compressed_body_is_taken_as_its_client_reads_it(ask: Asking) -> None:
    recorder = Recorder()
    with (
        raw_server(chunked(*gzipped(*PIECES), headers="content-encoding: gzip\r\n")) as server,
        MockStreamSDK(recordings=recorder),
    ):
        seen = await read(ask, server.url + PATH)

    assert seen == recorder.only.body == b"".join(PIECES)
    assert b"gzip" in server.requests[0].lower().partition(b"accept-encoding:")[2].partition(b"\r\n")[0]


def _zstd(data: bytes) -> bytes:
    compressed: bytes = pytest.importorskip("zstandard").ZstdCompressor().compress(data)
    return compressed


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: zlib.compress(data, wbits=zlib.MAX_WBITS | 16),
    "deflate": zlib.compress,
    "deflate, bare": lambda data: zlib.compress(data, wbits=-zlib.MAX_WBITS),
    "zstd": _zstd,
    "gzip and zstd": lambda data: _zstd(CODINGS["gzip"](data)),
}


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("coding", CODINGS)
def test_codings_are_read_in_any_pieces(coding: str, size: int) -> None:
    data = b"Bonjour, " * 500
    compressed = CODINGS[coding](data)
    decompress = decompressor(coding.partition(",")[0].replace(" and ", ", "))
    assert decompress is not None

    read = b"".join(decompress(compressed[at : at + size]) for at in range(0, len(compressed), size))

    assert read == data


def test_identity_is_no_coding() -> None:
    assert decompressor("") is decompressor("Identity") is None
    with pytest.raises(UnknownCodingError, match="nothing is installed that decompresses 'compress'"):
        decompressor("compress")


def test_coding_that_cannot_be_read_fails_the_test() -> None:
    recorder = Recorder()
    with (
        raw_server(chunked(b"\x1f\x9d", headers="content-encoding: compress\r\n")) as server,
        MockStreamSDK(recordings=recorder) as sdk,
    ):
        httpx.post(server.url + PATH, json=CHAT)

        with pytest.raises(ScriptError, match=r"the answer to /v1/chat/completions .* cannot be recorded: nothing is"):
            sdk.verify()


@pytest.mark.parametrize(
    "answer",
    [
        [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde"],
        [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-", b"length: 5\r\n\r\nab", b"cde"],
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r", b"\n2\r\nde\r\n0\r\nx: y\r\n\r\n"],
    ],
    ids=["length", "interim", "trailer"],
)
async def test_connection_that_stays_is_used_again(ask: Asking, answer: list[bytes]) -> None:
    recorder = Recorder()
    with raw_server(answer, answer) as server, MockStreamSDK(recordings=recorder):
        async with ask(server.url + PATH) as reply:
            seen = b"".join([piece async for piece in reply.pieces])
            assert await reply.again() == 200

    assert seen == b"abcde"
    assert [taken.body for taken in recorder.takes] == [b"abcde", b"abcde"]
    assert [taken.ending for taken in recorder.takes] == ["end", "end"]
    assert server.connections == 1


async def test_second_request_of_a_connection_may_have_a_script(ask: Asking) -> None:
    recorder = Recorder()
    with (
        raw_server([b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde"]) as server,
        MockStreamSDK(recordings=recorder) as sdk,
    ):
        async with ask(server.url + PATH) as reply:
            async for _ in reply.pieces:
                pass
            sdk.respond("scripted")
            assert await reply.again() == 200

    assert recorder.only.body == b"abcde"
    assert [request.chunks_sent for request in sdk.requests][1] == 2


def test_connection_of_requests_from_before_the_door_is_the_doors() -> None:
    recorder = Recorder()
    answer = [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde"]
    with raw_server(answer, answer, answer) as server, requests.Session() as session:
        url = server.url + PATH
        session.post(url, json=CHAT, timeout=60)
        with MockStreamSDK(recordings=recorder):
            assert session.post(url, json=CHAT, timeout=60).content == b"abcde"
        session.post(url, json=CHAT, timeout=60)
        with MockStreamSDK(intercept=["localhost"]) as sdk:
            sdk.respond("scripted")
            assert b"scripted" in session.post(url, json=CHAT, timeout=60).content

    assert recorder.only.body == b"abcde"
    assert server.connections == 1
    assert len(server.requests) == 3


async def test_body_without_length_ends_with_its_connection(ask: Asking) -> None:
    recorder = Recorder()
    hung_up = threading.Event()
    with (
        raw_server([b"HTTP/1.0 200 OK\r\n\r\nabcde", _hang_up(hung_up)]) as server,
        MockStreamSDK(recordings=recorder),
    ):
        seen = await read(ask, server.url + PATH)

    assert seen == recorder.only.body == b"abcde"
    assert recorder.only.ending == "end"


def _hang_up(done: threading.Event) -> Callable[[], object]:
    def hang_up() -> None:
        done.set()
        raise OSError("the connection is closed here")

    return hang_up


async def test_other_requests_on_loopback_are_let_out_unasked(ask: Asking) -> None:
    recorder = Recorder()
    with (
        raw_server([b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde"]) as server,
        MockStreamSDK(recordings=recorder) as sdk,
    ):
        seen = await read(ask, server.url + "/health")

    assert seen == b"abcde"
    assert recorder.takes == []
    assert sdk.requests == []


async def test_requests_with_scripts_are_not_recorded(ask: Asking) -> None:
    recorder = Recorder()
    with MockStreamSDK(recordings=recorder) as sdk:
        sdk.respond("scripted")
        seen = await read(ask, "http://127.0.0.1:9/v1/chat/completions")

    assert b"scripted" in seen
    assert recorder.takes == []


async def test_plain_endpoints_are_recorded(ask: Asking) -> None:
    recorder = Recorder()
    answer = b'{"data": [], "model": "m"}'
    with (
        raw_server([b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer]) as server,
        MockStreamSDK(recordings=recorder),
    ):
        async with ask(server.url + "/v1/embeddings", body={"model": "m", "input": "hi"}) as reply:
            seen = b"".join([piece async for piece in reply.pieces])

    assert seen == recorder.only.body == answer


# TLS.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a certificate for localhost that signs itself, and its key."""
    import datetime

    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(
        made.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.mark.parametrize("library", ["httpx", "httpx-async", "aiohttp", "requests"])
@pytest.mark.parametrize("leaves", [False, True], ids=["reads all", "leaves"])
def test_tls_is_recorded_and_its_rest_is_read(certificate: Path, library: str, leaves: bool) -> None:
    head, one, two, done, end = chunked(*PIECES)
    go_on = threading.Event()
    recorder = Recorder()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    trusted = ssl.create_default_context(cafile=certificate)

    async def ask_httpx(url: str) -> None:
        async with httpx.AsyncClient(verify=trusted) as client, client.stream("POST", url, json=CHAT) as reply:
            async for _ in reply.aiter_bytes():
                go_on.set()
                if leaves:
                    break

    async def ask_aiohttp(url: str) -> None:
        async with aiohttp.ClientSession() as session, session.post(url, json=CHAT, ssl=trusted) as reply:
            async for _ in reply.content.iter_any():
                go_on.set()
                if leaves:
                    reply.close()
                    break

    with (
        raw_server([head, one, lambda: go_on.wait(60), two, done, end], tls=context) as server,
        MockStreamSDK(recordings=recorder),
    ):
        url = server.url + PATH
        if library == "httpx":
            with httpx.Client(verify=trusted) as client, client.stream("POST", url, json=CHAT) as reply:
                for _ in reply.iter_bytes():
                    go_on.set()
                    if leaves:
                        break
        elif library == "requests":
            with requests.post(url, json=CHAT, stream=True, verify=str(certificate), timeout=60) as answer:
                for _ in answer.iter_content(None):
                    go_on.set()
                    if leaves:
                        break
        else:
            asyncio.run(ask_httpx(url) if library == "httpx-async" else ask_aiohttp(url))

    assert recorder.only.body == b"".join(PIECES)
    assert recorder.only.ending == "end"
    assert ("left" in recorder.only.events) is leaves


@pytest.mark.parametrize("library", ["httpx", "httpx-async", "aiohttp", "requests"])
def test_what_goes_through_a_proxy_is_recorded(certificate: Path, library: str) -> None:
    recorder = Recorder()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    trusted = ssl.create_default_context(cafile=certificate)

    async def ask_httpx(url: str, proxy: str) -> bytes:
        async with httpx.AsyncClient(verify=trusted, proxy=proxy, trust_env=False) as client:
            return (await client.post(url, json=CHAT)).content

    async def ask_aiohttp(url: str, proxy: str) -> bytes:
        async with aiohttp.ClientSession() as session, session.post(url, json=CHAT, ssl=trusted, proxy=proxy) as reply:
            return await reply.read()

    with (
        raw_server(chunked(*PIECES), tls=context) as server,
        tunnel() as proxy,
        MockStreamSDK(recordings=recorder),
    ):
        url = server.url + PATH
        if library == "httpx":
            with httpx.Client(verify=trusted, proxy=proxy, trust_env=False) as client:
                seen = client.post(url, json=CHAT).content
        elif library == "requests":
            with requests.Session() as session:
                session.trust_env = False
                reply = session.post(url, json=CHAT, verify=str(certificate), timeout=60, proxies={"https": proxy})
                seen = reply.content
                reply.close()
                del reply
        else:
            ask_library = ask_httpx if library == "httpx-async" else ask_aiohttp
            seen = asyncio.run(ask_library(url, proxy))

    assert seen == recorder.only.body == b"".join(PIECES)
    assert recorder.only.events.count("answered") == 1
    assert recorder.only.ending == "end"
