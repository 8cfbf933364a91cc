"""Nobody but the server's own page commands the server, and no other site sees what happens there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import httpx
import pytest

from pytest_mockstream import MockStreamServer
from pytest_mockstream.doors.server.panel import Panel
from pytest_mockstream.doors.server.panel.access import TOKEN_HEADER, Access

from .conftest import MESSAGES, Wire
from .paneled import HTML, Page, page_of

COMMAND = "/_mockstream/command"
EVENTS = "/_mockstream/events"
EVIL = "http://evil.example"


@pytest.fixture
def server() -> Iterator[MockStreamServer]:
    with MockStreamServer(panel=Panel(), cors=True, keep_alive=True, max_body=10_000) as server:
        yield server


@pytest.fixture
def page(server: MockStreamServer) -> Iterator[Page]:
    with page_of(server.url) as page:
        yield page


def send(page: Page, *, without: str = "", **changed: str) -> httpx.Response:
    """Send a command whose headers differ from the page's."""
    headers = {**page.headers, "content-type": "application/json"}
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    headers.pop(without, None)
    return page.http.post(COMMAND, content=b'{"command": "hold_new", "on": true}', headers=headers)


def test_the_page_commands(page: Page) -> None:
    assert send(page, sec_fetch_site="same-origin").status_code == 200
    page.wait_for(lambda page: page.state["settings"]["hold_new"])


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"without": "origin"}, 403),
        ({"origin": EVIL}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "none"}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_type": "multipart/form-data; boundary=application/json"}, 415),
        ({"without": "content-type"}, 415),
        ({"without": TOKEN_HEADER}, 403),
        ({TOKEN_HEADER: "guessed"}, 403),
    ],
)
def test_nobody_else_does(page: Page, changed: dict[str, str], status: int) -> None:
    answered = send(page, **changed)

    assert answered.status_code == status
    assert not page.state["settings"]["hold_new"]
    assert "access-control-allow-origin" not in answered.headers


@pytest.mark.parametrize("host", ["evil.example:{port}", "localhost", "127.0.0.1:1", "localhost:{port}.evil", ""])
@pytest.mark.parametrize("path", ["/", EVENTS, COMMAND])
def test_a_name_that_was_made_to_lead_here_gets_nothing(page: Page, host: str, path: str) -> None:
    host = host.format(port=page.url.rpartition(":")[2])
    headers = {**page.headers, **HTML, "host": host, "origin": f"http://{host}"}

    if path == COMMAND:
        answered = page.http.post(path, json={"command": "hold_new", "on": True}, headers=headers)
    else:
        answered = page.http.get(path, headers=headers)

    assert answered.status_code == 403
    assert "is not the name of this server" in answered.json()["error"]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "LOCALHOST"])
def test_the_names_of_this_machine_are_good(page: Page, name: str) -> None:
    host = f"{name}:{page.url.rpartition(':')[2]}"

    assert send(page, host=host, origin=f"http://{host}").status_code == 200


def test_a_page_of_another_site_cannot_follow(page: Page) -> None:
    answered = page.http.get(EVENTS, headers={"sec-fetch-site": "cross-site"})

    assert answered.status_code == 403


@pytest.mark.parametrize("method", ["OPTIONS", "GET", "PUT", "HEAD", "DELETE"])
def test_commands_are_posted(page: Page, method: str) -> None:
    preflight = {"access-control-request-method": "POST", "access-control-request-headers": TOKEN_HEADER}

    answered = page.http.request(method, COMMAND, headers={**page.headers, **preflight, "origin": EVIL})

    assert (answered.status_code, answered.headers["allow"]) == (405, "POST")
    assert not [name for name in answered.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", [COMMAND, EVENTS, "/_mockstream/nothing"])
def test_no_page_may_read_the_servers_own_paths(page: Page, path: str) -> None:
    refused = page.http.post(path, content=b"x" * 10_001, headers={"origin": EVIL})
    answered = page.http.put(path, headers={"origin": EVIL})

    assert refused.status_code == 413
    for one in (refused, answered):
        assert not [name for name in one.headers if name.startswith("access-control-")]


def test_nor_however_they_are_asked_for(server: MockStreamServer) -> None:
    with closing(Wire(server)) as wire:
        wire.send(f"GET http://localhost{EVENTS} HTTP/1.1\r\nhost: evil\r\norigin: {EVIL}\r\n\r\n".encode())
        head = wire.read_until(b"\r\n\r\n")

    assert b" 403 " in head
    assert b"access-control" not in head.lower()


def test_the_page_is_kept_out_of_frames_caches_and_other_windows(page: Page) -> None:
    headers = page.html.headers

    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert not [name for name in headers if name.startswith("access-control-")]
    assert "connect-src 'self'" in page.html.text
    assert "default-src 'none'" in page.html.text


def test_each_start_has_a_token_of_its_own(page: Page) -> None:
    with MockStreamServer(panel=Panel()) as other:
        assert Page(other.url).data["token"] != page.data["token"]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {}),
        ("GET", {"accept": "*/*"}),
        ("GET", {"accept": "application/json"}),
        ("HEAD", {}),
        ("HEAD", HTML),
        ("POST", HTML),
    ],
)
def test_who_is_no_browser_gets_at_the_root_what_the_provider_says(
    server: MockStreamServer, method: str, headers: Mapping[str, str]
) -> None:
    with MockStreamServer(cors=True, keep_alive=True) as plain:
        there, here = (httpx.request(method, one.url, headers=headers, timeout=30) for one in (plain, server))

    assert (here.status_code, here.text) == (there.status_code, there.text)
    assert here.headers["access-control-allow-origin"] == "*"


def test_a_server_without_a_page_knows_none_of_its_paths() -> None:
    with MockStreamServer() as plain:
        assert httpx.get(plain.url, headers=HTML, timeout=30).headers["content-type"] != "text/html; charset=utf-8"
        assert httpx.get(plain.url + EVENTS, timeout=30).status_code == 404


def test_what_the_page_asks_is_not_in_the_record(server: MockStreamServer, page: Page) -> None:
    send(page)

    assert server.requests == []


def test_what_a_provider_says_is_no_page_of_the_servers_origin(server: MockStreamServer) -> None:
    server.respond("hi", headers={"content-type": "text/html", "Content-Security-Policy": "script-src *"}, times=None)
    html = {"file": ("x.html", b"<script>steal()</script>", "text/html")}
    stored = httpx.post(f"{server.url}/v1/files", files=html, data={"purpose": "batch"}, timeout=30).json()

    answers = [
        httpx.get(f"{server.url}/v1/files/{stored['id']}/content", timeout=30),
        httpx.post(f"{server.url}/v1/chat/completions", json={"model": "m", "messages": MESSAGES}, timeout=30),
        httpx.get(f"{server.url}/v1/nothing", timeout=30),
    ]

    for answered in answers:
        assert answered.headers["content-security-policy"] == "sandbox"
        assert answered.headers["x-content-type-options"] == "nosniff"


def test_only_so_many_pages_follow(server: MockStreamServer, page: Page) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as http:
        streams = [http.send(http.build_request("GET", EVENTS), stream=True) for _ in range(19)]
        one_more = http.get(EVENTS)
        for stream in streams:
            stream.close()

    assert {stream.status_code for stream in streams} == {200}
    assert (one_more.status_code, "close one" in one_more.json()["error"]) == (503, True)


# An address that others reach, too. Nothing but loopback is asked in tests: 0.0.0.0 is asked by its loopback address.


ALL = "0.0.0.0"  # noqa: S104 - that is what it is about


@contextmanager
def page_open_to_all(**options: Any) -> Iterator[Page]:
    server = MockStreamServer(host=ALL, panel=Panel(**options))
    with server, page_of(server.start().url.replace(ALL, "127.0.0.1")) as page:
        yield page


def test_commands_are_off_where_others_reach_the_server() -> None:
    with page_open_to_all() as page:
        assert page.data["token"] is None
        assert "--allow-remote-control" in page.data["why_no_commands"]
        assert send(page).status_code == 403


def test_commands_are_on_there_if_that_is_allowed() -> None:
    with page_open_to_all(allows_remote=True) as page:
        assert send(page).status_code == 200
        assert send(page, origin=EVIL).status_code == 403


@pytest.mark.parametrize(
    ("host", "is_shown"),
    [
        ("192.168.1.5:8000", True),
        ("192.168.1.5:9000", True),
        ("[fd00::1]:8000", True),
        ("localhost:9000", True),
        ("evil.example:8000", False),
        ("evil.example", False),
        ("192.168.1.5.evil.example", False),
        ("a b", False),
    ],
)
def test_a_bare_address_leads_to_a_server_that_others_reach(host: str, is_shown: bool) -> None:
    access = Access(host=ALL, port=8000, is_local=False)

    assert (access.why_not_shown({"host": host}) is None) == is_shown


@pytest.mark.parametrize("host", ["[::1]:8000", "127.0.0.2:8000", "localhost:8000"])
def test_every_address_of_this_machine_leads_to_it(host: str) -> None:
    assert Access(host="::1", port=8000, is_local=True).why_not_shown({"host": host}) is None


@pytest.mark.parametrize("host", ["192.168.1.5:8000", "[fd00::1]:8000", "0.0.0.0:8000"])
def test_an_address_of_another_machine_does_not_lead_to_a_server_of_this_one(host: str) -> None:
    assert Access(host="127.0.0.1", port=8000, is_local=True).why_not_shown({"host": host}) is not None


def test_the_token_is_not_shown_where_it_might_be_logged() -> None:
    access = Access(host="127.0.0.1", port=1, is_local=True)

    assert access.token not in repr(access)
