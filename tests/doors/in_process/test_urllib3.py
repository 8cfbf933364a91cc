"""What code on urllib3 does besides reading a stream to its end: bodies, leaving, proxies, redirects, neighbours."""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from typing import Any, TypeAlias

import pytest
import requests
import urllib3
from urllib3_readers import CHAT, PATH, WHOLE

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    Gate,
    HTTPError,
    MockStreamSDK,
    MockStreamServer,
    Stall,
    Text,
    UnclosedStreamWarning,
    UnexpectedRequestError,
)
from pytest_mockstream._base.collector import collect
from pytest_mockstream.playbook.ledger import entry_of

URL = "https://api.openai.com" + PATH
JSON = json.dumps(WHOLE)
Answer: TypeAlias = "Callable[[BaseHTTPRequestHandler], None]"
#: Nobody listens there: a connection would fail.
NOBODY = "http://127.0.0.1:9"


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """Run a server on this machine; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


# Request bodies: what arrives in process is what arrives over the network.


def _in_parts() -> Iterator[bytes]:
    for start in range(0, len(JSON), 20):
        yield JSON[start : start + 20].encode()


class _Nameless(io.RawIOBase):
    """A file of unknown length."""

    def __init__(self) -> None:
        self._parts = _in_parts()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return next(self._parts, b"")


def _through_urllib3(body: Any, **options: Any) -> Callable[[str], object]:
    def ask(url: str) -> object:
        with urllib3.PoolManager() as pool:
            return pool.request("POST", url, body=body(), **options).status

    return ask


BODIES: dict[str, Callable[[str], object]] = {
    "json": lambda url: requests.post(url, json=WHOLE),
    "str": lambda url: requests.post(url, data=JSON),
    "bytes": lambda url: requests.post(url, data=JSON.encode()),
    "file": lambda url: requests.post(url, data=io.BytesIO(JSON.encode())),
    "generator": lambda url: requests.post(url, data=_in_parts()),
    "form": lambda url: requests.post(url, data={"model": "m", "ünï": "cödé"}),
    "multipart": lambda url: requests.post(url, files={"file": ("a.txt", b"\r\n0\r\n\r\n" * 9)}, data={"model": "m"}),
    "none": requests.post,
    "urllib3 str": _through_urllib3(lambda: JSON),
    "urllib3 file": _through_urllib3(lambda: io.BytesIO(JSON.encode())),
    "urllib3 text file": _through_urllib3(lambda: io.StringIO(JSON)),
    "urllib3 file of unknown length": _through_urllib3(_Nameless),
    "urllib3 generator": _through_urllib3(_in_parts),
    "urllib3 chunked bytes": _through_urllib3(JSON.encode, chunked=True),
    "urllib3 list": _through_urllib3(lambda: list(_in_parts())),
    "urllib3 memoryview": _through_urllib3(lambda: memoryview(JSON.encode())),
}


@pytest.mark.mockstream(unused="allow")
@pytest.mark.parametrize("kind", BODIES)
def test_body_arrives_as_over_the_network(kind: str) -> None:
    arrived = []
    for door in (MockStreamSDK(), MockStreamServer()):
        with door:
            BODIES[kind](URL if isinstance(door, MockStreamSDK) else door.url + PATH)
            request = door.requests[0]
            with contextlib.suppress(UnexpectedRequestError):  # what is no JSON is refused by both
                door.verify()
        headers = {name: value for name, value in request.headers.items() if name not in {"host", "content-type"}}
        body = re.sub(r"--[0-9a-f]{32}", "--boundary", str(request.body))
        arrived.append((body, headers, request.model, request.text))

    assert arrived[0] == arrived[1]
    assert kind in {"form", "multipart", "none"} or arrived[0][2:] == ("gpt-5", "hi")


def test_body_is_sent_again_when_the_request_is(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond(Disconnect())
    mock_stream_sdk.respond("Hello")
    retry = urllib3.Retry(1, allowed_methods=None)

    with urllib3.PoolManager() as pool:
        pool.request("POST", URL, body=io.BytesIO(JSON.encode()), retries=retry)

    assert [request.text for request in mock_stream_sdk.requests] == ["hi", "hi"]


def test_request_with_expect_is_told_to_go_on(mock_stream_sdk: MockStreamSDK) -> None:
    """As botocore does for uploads: it waits for the socket to be readable, and then for a status of 100."""
    pytest.importorskip("botocore")
    session = importlib.import_module("botocore.httpsession").URLLib3Session()
    headers = {"Expect": b"100-continue"}
    asked = importlib.import_module("botocore.awsrequest").AWSRequest("POST", URL, headers=headers, data=JSON.encode())

    answered = session.send(asked.prepare())

    session.close()
    assert answered.status_code == 200
    assert [request.text for request in mock_stream_sdk.requests] == ["hi"]


def test_request_that_is_never_complete_times_out(mock_stream_sdk: MockStreamSDK) -> None:
    with urllib3.PoolManager(retries=False, timeout=0.1) as pool, pytest.raises(urllib3.exceptions.ReadTimeoutError):
        pool.request("POST", URL, body=JSON, headers={"Content-Length": "9999"})

    assert mock_stream_sdk.requests == []


@pytest.mark.parametrize("stream", [False, True])
def test_long_answer_is_read_in_parts_of_any_size(mock_stream_sdk: MockStreamSDK, stream: bool) -> None:
    text = "é" * 100_000
    mock_stream_sdk.respond(Text([text]), times=None)
    body = {**CHAT, "stream": stream}
    read = []

    for size in (7, 8192, 10**6):
        with requests.post(URL, json=body, stream=True) as answer:
            parts = list(answer.iter_content(size))
        assert max(map(len, parts)) <= size
        read.append(re.sub(r"chatcmpl-\d+", "", b"".join(parts).decode()))

    assert text in read[0]
    assert read[0] == read[1] == read[2]


# Status and methods.


def test_get_is_answered(mock_stream_sdk: MockStreamSDK) -> None:
    assert requests.get("https://api.openai.com/v1/models").json()["object"] == "list"


def test_head_has_no_body() -> None:
    with MockStreamSDK() as sdk:
        answered = requests.head(URL)

        assert (answered.status_code, answered.content) == (405, b"")
        with pytest.raises(UnexpectedRequestError, match="this path is asked with POST"):
            sdk.verify()


def test_unknown_path_is_answered_with_404_and_names_the_line() -> None:
    with MockStreamSDK() as sdk:
        status = requests.get("https://weather.example/rain").status_code

        assert status == 404
        with pytest.raises(UnexpectedRequestError, match=r"GET /rain of weather\.example \(at .*test_urllib3\.py:"):
            sdk.verify()


@pytest.mark.parametrize("follow", [True, False])
def test_redirect_of_a_server_on_this_machine_leads_to_the_door(mock_stream_sdk: MockStreamSDK, follow: bool) -> None:
    def redirect(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(307)
        handler.send_header("Location", "https://api.openai.com/v1/models")
        handler.end_headers()

    with serving(redirect) as url:
        answered = requests.get(url, allow_redirects=follow)

    assert answered.status_code == (200 if follow else 307)
    assert len(mock_stream_sdk.requests) == follow


# Leaving.


def opened(**options: Any) -> requests.Response:
    return requests.post(URL, json=CHAT, stream=True, **options)


def states(sdk: MockStreamSDK) -> list[str]:
    return [request.state for request in sdk.requests]


def test_chunks_come_one_by_one(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("a b c d")

    with opened() as answer:
        lines = filter(None, answer.iter_lines())
        counts = [mock_stream_sdk.requests[0].chunks_sent for _ in lines]

    assert counts == [0, 1, 2, 3, 4, 5, 5]  # openai's first and last lines are no chunks


def test_stream_closed_is_closed_at_once(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("a b c d e f g")
    with opened() as answer:
        parts = answer.iter_content(None)
        next(parts)
        before = states(mock_stream_sdk)

    assert (before, states(mock_stream_sdk)) == (["open"], ["closed"])


def test_generator_left_closes_the_connection_as_urllib3_does(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("a b c d e f g")
    answer = opened()

    for _ in answer.iter_lines():
        break

    assert states(mock_stream_sdk) == ["closed"]
    assert answer.raw.closed


def test_stream_left_after_its_last_line_is_exhausted(mock_stream_sdk: MockStreamSDK) -> None:
    with opened() as answer:
        for line in answer.iter_lines():
            if line == b"data: [DONE]":
                break

    assert states(mock_stream_sdk) == ["exhausted"]


def test_stream_is_broken_once_its_error_is_read(mock_stream_sdk: MockStreamSDK) -> None:
    """The server has ended it; botocore, for one, neither reads on nor closes it."""
    mock_stream_sdk.respond("a b c ", ErrorEvent("overloaded"))
    answer = opened()
    lines = answer.iter_lines()

    while b"overloaded" not in next(lines):
        assert states(mock_stream_sdk) == ["open"]

    assert states(mock_stream_sdk) == ["broken"]


@pytest.mark.filterwarnings("error")
def test_answer_with_an_error_that_is_forgotten_is_broken(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond(HTTPError(429))

    opened()

    assert states(mock_stream_sdk) == ["broken"]


def test_stream_kept_is_open_even_if_its_session_is_closed(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("a b c d e f g")
    with requests.Session() as session:
        answer = session.post(URL, json=CHAT, stream=True)
    state = states(mock_stream_sdk)
    remedy = entry_of(mock_stream_sdk.requests[0]).remedy
    answer.close()

    assert (state, states(mock_stream_sdk)) == (["open"], ["closed"])
    assert remedy.startswith("With requests, write `with requests.post(..., stream=True) as reply:`")


@pytest.mark.parametrize("cycle", [False, True])
def test_stream_forgotten_is_dropped(mock_stream_sdk: MockStreamSDK, cycle: bool) -> None:
    mock_stream_sdk.respond("a b c d e f g")
    gc.disable()
    answer: Any = opened()
    if cycle:
        answer.itself = answer

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del answer
        before = states(mock_stream_sdk)
        collect()
    gc.enable()

    assert (before, states(mock_stream_sdk)) == (["open" if cycle else "dropped"], ["dropped"])
    assert [warning.category for warning in caught] == [UnclosedStreamWarning]


def test_stream_of_urllib3_forgotten_is_dropped(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("a b c d e f g")
    pool = urllib3.PoolManager()
    answer = pool.request("POST", URL, body=json.dumps(CHAT), preload_content=False)

    with pytest.warns(UnclosedStreamWarning, match="With urllib3, call close"):
        del answer

    assert states(mock_stream_sdk) == ["dropped"]


@pytest.mark.skipif(not hasattr(urllib3.HTTPResponse, "shutdown"), reason="urllib3 has it since 2.3")
def test_shutdown_wakes_a_reader_in_another_thread(mock_stream_sdk: MockStreamSDK) -> None:
    gate = Gate()
    mock_stream_sdk.respond("a ", gate, "b")
    answer = opened()
    ended: list[object] = []

    def read() -> None:
        try:
            ended.append(list(answer.iter_content(None)))
        except requests.RequestException as error:
            ended.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    gate.wait_reached(60)
    answer.raw.shutdown()
    reader.join(60)

    assert isinstance(ended[0], requests.exceptions.ChunkedEncodingError)
    assert states(mock_stream_sdk) == ["closed"]


def test_timeout_at_a_closed_gate_says_so(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("a ", Gate(), "b")

    with pytest.raises(requests.ConnectionError) as caught, opened(timeout=0.05) as answer:
        list(answer.iter_content(None))

    error: BaseException | None = caught.value
    notes: list[str] = []
    while error is not None:
        notes += getattr(error, "__notes__", [])
        error = error.__cause__ or error.__context__
    assert notes == ["pytest-mockstream: a Gate() held the stream that nobody has opened: call its open()"]


def test_threads_share_a_pool(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("Hello", times=None)
    texts: list[str] = []

    with urllib3.PoolManager(maxsize=2, block=True) as pool:

        def ask() -> None:
            for _ in range(5):
                reply = json.loads(pool.request("POST", URL, body=JSON).data)
                texts.append(reply["choices"][0]["message"]["content"])

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    assert texts == ["Hello"] * 20


# Which connections.


def test_host_let_out_is_reached() -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "4")
        handler.end_headers()
        handler.wfile.write(b"real")

    with MockStreamSDK() as sdk, serving(answer) as url:
        text = requests.get(url).text

    assert (text, sdk.requests) == ("real", [])


def test_host_on_this_machine_is_answered_on_demand() -> None:
    with MockStreamSDK(intercept=["127.0.0.1:9"]):
        assert requests.get(f"{NOBODY}/v1/models").status_code == 200


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set proxies in the environment that cannot be reached."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, NOBODY)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxies_do_not_matter(mock_stream_sdk: MockStreamSDK, proxied: None, scheme: str) -> None:
    answered = requests.get(f"{scheme}://api.openai.com:8443/v1/models")

    assert answered.status_code == 200
    assert mock_stream_sdk.requests[0].headers["host"] == "api.openai.com:8443"


@pytest.mark.skipif(version("urllib3") < "2", reason="urllib3 1.26 takes any trouble behind a proxy for the proxy's")
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("steps", [(Disconnect(),), (Stall(),)], ids=["reset", "silence"])
def test_trouble_is_not_the_proxys(
    mock_stream_sdk: MockStreamSDK, proxied: None, scheme: str, steps: tuple[Any, ...]
) -> None:
    mock_stream_sdk.respond(*steps)

    with pytest.raises(requests.RequestException) as caught:
        requests.post(f"{scheme}://api.openai.com{PATH}", json=CHAT, timeout=0.05)

    assert not isinstance(caught.value, requests.exceptions.ProxyError)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxies_of_botocore_do_not_matter(mock_stream_sdk: MockStreamSDK, scheme: str) -> None:
    pytest.importorskip("botocore")
    session = importlib.import_module("botocore.httpsession").URLLib3Session(proxies={scheme: NOBODY})
    asked = importlib.import_module("botocore.awsrequest").AWSRequest("GET", f"{scheme}://api.openai.com/v1/models")

    answered = session.send(asked.prepare())

    session.close()
    assert answered.status_code == 200


def test_proxy_is_asked_for_what_is_let_out() -> None:
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        handler.send_response(204)
        handler.end_headers()

    with serving(answer) as proxy, MockStreamSDK(passthrough=["let-out.example"]):
        status = requests.get("http://let-out.example/rain", proxies={"http": proxy}).status_code

    assert (status, asked) == (204, ["http://let-out.example/rain"])


def test_proxy_that_cannot_be_reached_is_told_from_what_is_let_out() -> None:
    with MockStreamSDK(passthrough=["let-out.example"]), pytest.raises(requests.exceptions.ProxyError):
        requests.get("http://let-out.example/rain", proxies={"http": NOBODY})


def test_http2_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    http2 = pytest.importorskip("urllib3.http2")
    pytest.importorskip("h2")
    http2.inject_into_urllib3()
    try:
        with MockStreamSDK() as sdk, urllib3.PoolManager(retries=False) as pool:
            with pytest.raises(UnexpectedRequestError, match="urllib3 tried to bypass mock_stream_sdk"):
                pool.request("GET", "https://api.openai.com/v1/models")
            assert sdk.requests == []
    finally:
        http2.extract_from_urllib3()


# Libraries that are imported late, or never.


def _run(code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def test_library_that_nobody_has_loaded_is_not_loaded() -> None:
    code = """
import sys
from pytest_mockstream import MockStreamSDK
with MockStreamSDK():
    print({"urllib3", "requests", "botocore", "boto3", "http.client"} & set(sys.modules))
"""
    assert _run(code) == "set()"


def test_library_that_is_imported_while_the_door_is_open_is_answered() -> None:
    code = f"""
from pytest_mockstream import MockStreamSDK
with MockStreamSDK() as sdk:
    sdk.respond("Hello")
    import requests
    print(requests.post({URL!r}, json={WHOLE!r}).json()["choices"][0]["message"]["content"])
"""
    assert _run(code) == "Hello"


def test_first_door_that_opens_within_a_cassette_answers_after_it() -> None:
    """The cassette has put classes of its own in urllib3's place, and takes them along."""
    pytest.importorskip("vcr")
    code = """
import requests, vcr
from pytest_mockstream import MockStreamSDK
with vcr.VCR(record_mode="none").use_cassette("/nowhere/none.yaml"):
    door = MockStreamSDK().__enter__()
print(requests.get("https://api.openai.com/v1/models").status_code)
door.__exit__(None, None, None)
"""
    assert _run(code) == "200"


# What is built on it.


def test_google_gets_a_token(mock_stream_sdk: MockStreamSDK) -> None:
    pytest.importorskip("google.auth")
    known = {"client_id": "i", "client_secret": "s", "refresh_token": "r", "type": "authorized_user"}
    credentials = importlib.import_module("google.oauth2.credentials").Credentials.from_authorized_user_info(known)
    session = importlib.import_module("google.auth.transport.requests").AuthorizedSession(credentials)

    with session:
        answered = session.get("https://aiplatform.googleapis.com/v1/models")

    assert (credentials.token, credentials.valid) == ("mockstream-fake-key", True)
    assert answered.status_code == 200
    assert [request.path for request in mock_stream_sdk.requests] == ["/v1/models"]


async def test_aiobotocore_is_answered(mock_stream_sdk: MockStreamSDK) -> None:
    """It is on aiohttp."""
    pytest.importorskip("aiobotocore")
    session = importlib.import_module("aiobotocore.httpsession").AIOHTTPSession()
    request = importlib.import_module("botocore.awsrequest").AWSRequest
    mock_stream_sdk.respond("a b c")

    async with session:
        answered = await session.send(
            request("POST", URL, data=json.dumps(CHAT).encode(), stream_output=True).prepare()
        )
        text = b"".join([part async for part in answered.raw.content.iter_any()])

    assert text.endswith(b"data: [DONE]\n\n")
    assert states(mock_stream_sdk) == ["exhausted"]


def test_responses_answers_what_it_was_told_to_and_leaves_the_rest_to_the_door(mock_stream_sdk: MockStreamSDK) -> None:
    responses = pytest.importorskip("responses")
    mock_stream_sdk.respond("Hello")

    with responses.RequestsMock() as told:
        told.get("https://weather.example/rain", body="rain")
        told.add_passthru("https://api.openai.com")
        texts = [requests.get("https://weather.example/rain").text, requests.post(URL, json=WHOLE).json()["model"]]

    assert texts == ["rain", "gpt-5"]


def test_requests_mock_answers_what_it_was_told_to_and_leaves_the_rest_to_the_door(
    mock_stream_sdk: MockStreamSDK,
) -> None:
    requests_mock = pytest.importorskip("requests_mock")
    mock_stream_sdk.respond("Hello")

    with requests_mock.Mocker(real_http=True) as told:
        told.get("https://weather.example/rain", text="rain")
        texts = [requests.get("https://weather.example/rain").text, requests.post(URL, json=WHOLE).json()["model"]]

    assert texts == ["rain", "gpt-5"]
