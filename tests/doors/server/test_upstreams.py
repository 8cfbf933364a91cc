"""Where requests go that the server sends on, with which key, and what is said where that cannot be."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import openai
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pytest_mockstream import MockStreamError, MockStreamServer, ScriptError, UnexpectedRequestError
from pytest_mockstream.doors.guard import FAKE_KEY, NOWHERE, open_door
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.doors.server.upstreams import Onward, Upstream, Upstreams

from .conftest import MESSAGES, Wire, chat_request, text_of
from .recorder import Provider, Recorder, provider

CHAT = "/v1/chat/completions"
FAKE = {"authorization": f"Bearer {FAKE_KEY}"}
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    b'data: {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices":'
    b' [{"index": 0, "delta": {"content": "Hello from afar"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
)
VARIABLES = (
    "OPENAI_BASE_URL",
    "OPENAI_API_BASE",
    "OPENAI_API_KEY",
    "OPENAI_ADMIN_KEY",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_API_KEY",
    "GOOGLE_GEMINI_BASE_URL",
    "GEMINI_API_BASE",
    "GOOGLE_API_KEY",
    "GEMINI_API_KEY",
    "MISTRAL_BASE_URL",
    "MISTRAL_API_KEY",
    "GROQ_API_KEY",
    "GROQ_BASE_URL",
    "OLLAMA_HOST",
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
    "ANTHROPIC_BEDROCK_BASE_URL",
    "AZURE_OPENAI_ENDPOINT",
)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave nothing in the environment that leads anywhere."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def sent(path: str, **headers: str) -> HTTPRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTPRequest(method="POST", url=f"http://localhost{path}", headers=named, body=b"{}")


def led(provider: str, path: str, upstream: Upstream = None, **headers: str) -> Onward:
    return Upstreams(upstream).onward(provider, sent(path, **headers), own_port=1)


GIVEN: dict[str, tuple[str, str, Upstream, str]] = {
    "a host": ("openai", CHAT, "http://gateway:81", "http://gateway:81/v1/chat/completions"),
    "a host and a slash": ("openai", CHAT, "http://gateway/", "http://gateway/v1/chat/completions"),
    "a base URL as the SDK is given it": ("openai", CHAT, "https://gateway/v1", "https://gateway/v1/chat/completions"),
    "another base URL": ("openai", CHAT, "https://g/v1beta/openai/", "https://g/v1beta/openai/chat/completions"),
    "a client that leaves /v1 out": ("openai", "/chat/completions", "http://g/v1", "http://g/v1/chat/completions"),
    "one URL for all": ("anthropic", "/v1/messages", "https://gateway/v1", "https://gateway/v1/messages"),
    "a prefix": ("anthropic", "/v1/messages", "https://g/to/anthropic", "https://g/to/anthropic/v1/messages"),
    "by name": ("groq", "/groq/openai/v1/x", {"groq": "http://g"}, "http://g/openai/v1/x"),
    "by name, with a path": ("openrouter", "/openrouter/api/v1/x", {"openrouter": "http://g/q"}, "http://g/q/x"),
    "google is gemini": ("gemini", "/v1beta/models/m:g", {"google": "http://g"}, "http://g/v1beta/models/m:g"),
    "an address": ("openai", CHAT, "http://[::1]:8000", "http://[::1]:8000/v1/chat/completions"),
    "a query": ("openai", f"{CHAT}?a=%20b", "http://g", "http://g/v1/chat/completions?a=%20b"),
}
USUAL = {
    "openai": (CHAT, "https://api.openai.com/v1/chat/completions"),
    "anthropic": ("/v1/messages", "https://api.anthropic.com/v1/messages"),
    "gemini": (
        "/v1beta/models/m:streamGenerateContent?alt=sse",
        "https://generativelanguage.googleapis.com/v1beta/models/m:streamGenerateContent?alt=sse",
    ),
    "groq": ("/groq/openai/v1/chat/completions", "https://api.groq.com/openai/v1/chat/completions"),
    "openrouter": ("/openrouter/api/v1/chat/completions", "https://openrouter.ai/api/v1/chat/completions"),
    "mistral": ("/mistral/v1/chat/completions", "https://api.mistral.ai/v1/chat/completions"),
    "deepseek": ("/deepseek/chat/completions", "https://api.deepseek.com/chat/completions"),
    "xai": ("/xai/v1/chat/completions", "https://api.x.ai/v1/chat/completions"),
    "fireworks": ("/fireworks/v1/chat/completions", "https://api.fireworks.ai/inference/v1/chat/completions"),
    "perplexity": ("/perplexity/chat/completions", "https://api.perplexity.ai/chat/completions"),
    "cohere": ("/v2/chat", "https://api.cohere.com/v2/chat"),
    "ollama": ("/api/chat", "http://127.0.0.1:11434/api/chat"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_a_request_goes_to_the_base_url_that_is_given(name: str) -> None:
    provider, path, upstream, where = GIVEN[name]
    onward = led(provider, path, upstream)

    assert f"{onward}{onward.target}" == where


@pytest.mark.parametrize("provider", USUAL)
def test_a_request_goes_to_its_provider(provider: str) -> None:
    path, where = USUAL[provider]
    onward = led(provider, path)

    assert f"{onward}{onward.target}" == where


OF_ENVIRONMENT = {
    "OPENAI_BASE_URL": ("openai", CHAT, "http://g/openai", "http://g/openai/chat/completions"),
    "OPENAI_API_BASE": ("openai", CHAT, "http://g/v1", "http://g/v1/chat/completions"),
    "MISTRAL_BASE_URL": ("mistral", "/mistral/v1/chat/completions", "http://g/v1", "http://g/v1/chat/completions"),
    "ANTHROPIC_BASE_URL": ("anthropic", "/v1/messages", "http://g/a", "http://g/a/v1/messages"),
    "AZURE_OPENAI_ENDPOINT": (
        "azure",
        "/azure/openai/x",
        "https://me.openai.azure.com",
        "https://me.openai.azure.com/openai/x",
    ),
}


@pytest.mark.parametrize("name", OF_ENVIRONMENT)
def test_a_request_goes_where_the_environment_led_before(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    provider, path, value, where = OF_ENVIRONMENT[name]
    monkeypatch.setenv(name, value)
    upstreams = Upstreams()
    own = MockStreamServer().environment()
    for _ in range(2):  # for the second test, too
        upstreams.note(own)
        for variable in own:
            monkeypatch.setenv(variable, own[variable])
    onward = upstreams.onward(provider, sent(path), own_port=1)

    assert f"{onward}{onward.target}" == where


def test_a_base_url_that_leads_nowhere_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", NOWHERE)  # as a process has it that was started beside an open door

    assert str(led("openai", CHAT)) == "https://api.openai.com"


def test_a_key_of_bedrocks_own_passes() -> None:
    upstream = "https://bedrock-runtime.us-east-1.amazonaws.com"
    onward = led("bedrock", "/model/m/converse", upstream, authorization="Bearer ABSK")

    assert f"{onward}{onward.target}" == f"{upstream}/model/m/converse"
    assert ("authorization", "Bearer ABSK") in onward.headers


HOSTS_OF_OLLAMA = {
    "gpu": "http://gpu:11434",
    "gpu:81": "http://gpu:81",
    ":81": "http://127.0.0.1:81",
    "[::1]": "http://[::1]:11434",
    "http://gpu:81": "http://gpu:81",
    "https://ollama.example": "https://ollama.example",
}


@pytest.mark.parametrize("value", HOSTS_OF_OLLAMA)
def test_ollamas_host_is_read_as_its_client_reads_it(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OLLAMA_HOST", value)

    assert str(led("ollama", "/api/chat")) == HOSTS_OF_OLLAMA[value]


def test_a_fake_key_becomes_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    monkeypatch.setenv("GEMINI_API_KEY", "real-too")

    assert ("authorization", "Bearer sk-real") in led("openai", CHAT, **FAKE).headers
    assert led("gemini", f"/v1beta/x?key={FAKE_KEY}&alt=sse").target == "/v1beta/x?key=real-too&alt=sse"


def test_a_real_key_of_the_clients_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")

    assert ("authorization", "Bearer sk-mine") in led("openai", CHAT, authorization="Bearer sk-mine").headers


def test_a_fake_key_goes_to_nobody() -> None:
    onward = led("vllm", "/vllm/v1/chat/completions", "http://gpu:8000", **FAKE)

    assert FAKE_KEY not in repr(onward.headers)


def test_no_key_is_lent_to_a_web_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    page = {**FAKE, "origin": "https://example.com"}

    assert "sk-real" not in repr(led("openai", CHAT, "http://gateway", **page).headers)
    with pytest.raises(ScriptError, match="lent to programs of this machine, and to no web page"):
        led("openai", CHAT, **page)


def test_no_key_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")

    assert "sk-real" not in repr(led("openai", CHAT, **FAKE))


NO_WAY: dict[str, tuple[str, str, Upstream, dict[str, str], str]] = {
    "no key": (
        "openai",
        CHAT,
        None,
        {"authorization": f"Bearer {FAKE_KEY}"},
        "there is no key for openai .*: set OPENAI_API_KEY or",
    ),
    "no key in a query": (
        "gemini",
        f"/v1beta/x?key={FAKE_KEY}",
        None,
        {},
        "no key for gemini .*set GOOGLE_API_KEY or GEMINI",
    ),
    "no token": (
        "vertex",
        "/v1/x",
        None,
        {"authorization": f"Bearer {FAKE_KEY}"},
        "no key for vertex .*give the client a real",
    ),
    "no host": ("vllm", "/vllm/v1/x", None, {}, r"nobody has said where vllm is: .*upstream=\{'vllm': 'https://...'\}"),
    "no host, and a variable": ("azure", "/azure/x", None, {}, "or set AZURE_OPENAI_ENDPOINT before it is started"),
    "a host for each region": ("bedrock", "/model/m/converse", None, {}, "nobody has said where bedrock is"),
    "signed": (
        "bedrock",
        "/model/m/converse",
        "https://bedrock-runtime.us-east-1.amazonaws.com",
        {"authorization": "AWS4-HMAC-SHA256 Credential=AKIA"},
        "set AWS_BEARER_TOKEN_BEDROCK, or record in process",
    ),
    "itself": (
        "openai",
        CHAT,
        "http://localhost:1/v1",
        {},
        "/v1', where openai should be, is this very server",
    ),
}


@pytest.mark.parametrize("name", NO_WAY)
def test_a_request_that_cannot_go_anywhere_says_why(name: str) -> None:
    provider, path, upstream, headers, why = NO_WAY[name]

    with pytest.raises(ScriptError, match=why):
        led(provider, path, upstream, **headers)


NO_URLS: dict[str, tuple[Any, str]] = {
    "a host": (
        "api.openai.com",
        r"upstream='api.openai.com' is no base URL: it begins with neither http:// nor https://",
    ),
    "nothing": ("", "neither"),
    "no host": ("https:///v1", "it has no host"),
    "a port that is none": ("http://h:99999", "Port out of range"),
    "a query": ("http://h/?a=1", "a query or a fragment is not sent on"),
    "a user": ("http://me:secret@h", "a user, a query"),
    "no text": (8000, "it is no text"),
    "a URL that is none": ("http://[::1", "Invalid IPv6 URL"),
    "of a provider": ({"openai": "nowhere"}, r"upstream\['openai'\]='nowhere' is no base URL"),
    "of nobody": ({"opnai": "http://h"}, "upstream= names 'opnai', which is no provider. Did you mean 'openai'"),
    "of a number": ({1: "http://h"}, "upstream= names 1, which is no provider"),
}


@pytest.mark.parametrize("name", NO_URLS)
def test_an_upstream_that_is_none_is_refused(name: str) -> None:
    upstream, why = NO_URLS[name]

    with pytest.raises(ScriptError, match=why) as refused:
        MockStreamServer(upstream=upstream)
    assert "secret" not in str(refused.value)


def test_a_base_url_of_the_environment_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "nowhere")

    with pytest.raises(ScriptError, match="OPENAI_BASE_URL='nowhere' is no base URL"):
        led("openai", CHAT)


# All of it, over sockets.


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def say_hello(provider: Provider) -> None:
    provider.say(ANSWER)


def ask(**options: Any) -> str:
    with openai.OpenAI(max_retries=0, **options) as client:
        return text_of(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))


def test_a_client_in_the_servers_environment_reaches_the_provider(
    monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    seen: list[Provider] = []

    def answer(provider: Provider) -> None:
        seen.append(provider)
        provider.say(ANSWER)

    with provider(answer) as url, MockStreamServer(recordings=recorder) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/openai")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)

        assert ask() == "Hello from afar"

    assert seen[0].line == "POST /openai/chat/completions HTTP/1.1"
    assert seen[0].headers["authorization"] == "Bearer sk-real"


ANYTHING = {"model": "m", "messages": MESSAGES, "max_tokens": 9, "contents": [{"parts": [{"text": "hi"}]}]}


def refusal(server: MockStreamServer, path: str = CHAT) -> dict[str, Any]:
    """Ask, and return the body of the error that comes."""
    url = f"{server.url}{path}"
    with closing(requests.post(url, json=ANYTHING, timeout=30)) as got:
        assert got.status_code == 502
        body: dict[str, Any] = got.json()
    return body


SHAPES: dict[str, Callable[[str], Any]] = {
    CHAT: lambda said: {"error": {"message": said, "type": "server_error", "param": None, "code": None}},
    "/v1/messages": lambda said: {"type": "error", "error": {"type": "api_error", "message": said}},
    "/v1beta/models/m:generateContent": lambda said: {"error": {"code": 502, "message": said, "status": "INTERNAL"}},
    "/api/chat": lambda said: {"error": said},
}


@pytest.mark.parametrize("path", SHAPES)
def test_a_provider_that_is_not_there_is_told_in_its_own_words(recorder: Recorder, path: str) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with MockStreamServer(recordings=recorder, upstream=url) as server:
            body = refusal(server, path)

    error = body["error"]
    said = error if isinstance(error, str) else error["message"]
    assert body == SHAPES[path](said)
    assert said.startswith(f"pytest-mockstream: {url} cannot be reached: ")
    assert [(one.status, one.ending) for one in recorder.heard] == [(0, "reset")]


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70 + ".invalid"])
def test_a_host_without_an_address_is_told(recorder: Recorder, host: str) -> None:
    with MockStreamServer(recordings=recorder, upstream=f"http://{host}") as server:
        said = refusal(server)["error"]["message"]

    assert said.startswith(f"pytest-mockstream: http://{host} cannot be reached: ")


def test_no_key_is_lent_to_another_machine(monkeypatch: pytest.MonkeyPatch, recorder: Recorder) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    with (
        MockStreamServer(recordings=recorder, host="0.0.0.0") as server,  # noqa: S104 - that is what it is about
        pytest.raises(openai.APIStatusError, match="lent to programs of this machine, and to no web page"),
    ):
        ask(base_url=server.base_url("openai"), api_key=FAKE_KEY)


def test_a_mistake_in_the_setting_up_fails_the_test(recorder: Recorder) -> None:
    with MockStreamServer(recordings=recorder) as server:
        with pytest.raises(openai.APIStatusError, match="there is no key for openai"):
            ask(base_url=server.base_url("openai"), api_key=FAKE_KEY)
        with pytest.raises(ScriptError, match="there is no key for openai"):
            server.verify()


def test_the_guard_lets_the_server_out_and_nobody_else(monkeypatch: pytest.MonkeyPatch, recorder: Recorder) -> None:
    looked_up = socket.getaddrinfo

    def here(host: Any, *args: Any, **kwargs: Any) -> Any:
        return looked_up("127.0.0.1" if host == "api.openai.com" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", here)
    refused: list[MockStreamError] = []
    with provider(say_hello) as url, ExitStack() as stack:
        port = int(url.rpartition(":")[2])
        upstream = f"http://api.openai.com:{port}/v1"
        server = stack.enter_context(MockStreamServer(recordings=recorder, upstream=upstream))
        stack.enter_context(open_door("this test", refused.append, reaches="", lends_keys=True))

        assert ask(base_url=server.base_url("openai"), api_key="sk-1") == "Hello from afar"
        assert refused == []
        with pytest.raises(UnexpectedRequestError):
            socket.create_connection(("api.openai.com", port))


class Authority:
    """An authority that nobody trusts, with a certificate for this machine."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mockstream tests")])
        now = datetime.datetime.now(datetime.UTC)
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.file = folder / "authority.pem"
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM) + pem)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.file)

    def wrap(self, sock: Any) -> Any:
        return self._context.wrap_socket(sock, server_side=True)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def securely(
    answer: Callable[[Provider], None], authority: Authority, recorder: Recorder, *, host: str = "127.0.0.1"
) -> Iterator[tuple[str, MockStreamServer]]:
    """Start a provider that speaks TLS, and a server before it."""
    with provider(answer, authority.wrap) as url:
        secure = f"https://{host}:{url.rpartition(':')[2]}"
        with MockStreamServer(recordings=recorder, upstream=secure) as server:
            yield secure, server


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_tls_is_spoken(monkeypatch: pytest.MonkeyPatch, recorder: Recorder, authority: Authority, host: str) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with securely(say_hello, authority, recorder, host=host) as (_, server):
        assert ask(base_url=server.base_url("openai"), api_key="k") == "Hello from afar"

    assert recorder.heard[0].ending == "end"


@pytest.mark.parametrize("how", ["cut", "reset"])
def test_a_fault_under_tls_is_that_fault(
    monkeypatch: pytest.MonkeyPatch, recorder: Recorder, authority: Authority, how: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    is_read = threading.Event()

    def answer(provider: Provider) -> None:
        provider.say(ANSWER.replace(b"connection: close", b"content-length: 9999"))
        assert is_read.wait(30)
        if how == "reset":
            provider.reset()

    with securely(answer, authority, recorder) as (_, server), closing(Wire(server)) as wire:
        wire.send(chat_request())
        wire.read_until(b"[DONE]\n\n")
        is_read.set()
        assert (wire.read_to_reset() if how == "reset" else wire.read_to_end()) == b""

    assert recorder.heard[0].ending == how


def test_a_certificate_that_nobody_trusts_is_told(recorder: Recorder, authority: Authority) -> None:
    with securely(lambda _provider: None, authority, recorder) as (secure, server):
        said = refusal(server)["error"]["message"]

    assert said.startswith(f"pytest-mockstream: {secure} has a certificate that is not trusted here (self-signed")
    assert "SSL_CERT_FILE" in said
