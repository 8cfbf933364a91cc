"""The server's page in a real browser, while the real SDK reads the streams that are held and broken there."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import openai
import pytest

from pytest_mockstream import MockStreamServer
from pytest_mockstream.doors.answer import WIRE_PROVIDERS
from pytest_mockstream.doors.server.panel import Panel, ScriptText
from pytest_mockstream.doors.unknown import wrong_path
from pytest_mockstream.playbook.script_source import ScriptSource

_REFUSED = "Failed to load resource: the server responded with a status of 4"  # which the browser says of each refusal
SCRIPT = '[[script]]\nsteps = ["one two three"]\n'
HOSTILE = "</script><img src=x onerror='window.ran=1'> \u202eevil\u202c \u2066a\u2069 \x00 \ufeff " + "w" * 1_000_000


class Reader:
    """Reads a stream with the SDK's asynchronous client, in a thread of its own."""

    def __init__(self, server: MockStreamServer, text: str = "hi", **options: Any) -> None:
        self.text = ""
        self.error: Exception | None = None
        self._url = server.base_url("openai")
        self._asked = text
        self._options = options
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.run(self._read())

    async def _read(self) -> None:
        async with openai.AsyncOpenAI(base_url=self._url, api_key="k", max_retries=0, timeout=30) as client:
            try:
                messages: Any = [{"role": "user", "content": self._asked}]
                made: Any = client.chat.completions.create(model="gpt", messages=messages, stream=True, **self._options)
                async with await made as stream:
                    async for chunk in stream:
                        self.text += chunk.choices[0].delta.content or ""
            except Exception as error:
                self.error = error

    def result(self) -> tuple[str, str | None]:
        """Wait for its end; return what it read, and the name of what was raised."""
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.text, None if self.error is None else type(self.error).__name__


slow = pytest.mark.slow
Opened: TypeAlias = Callable[..., Any]


@pytest.fixture
def script() -> str:
    return SCRIPT


@pytest.fixture
def file(tmp_path: Path, script: str) -> Path:
    path = tmp_path / "script.toml"
    path.write_text(script)
    return path


def server_of(file: Path, port: int = 0) -> MockStreamServer:
    script = ScriptText(ScriptSource(file, providers=WIRE_PROVIDERS, wrong_path=wrong_path))
    server = MockStreamServer(panel=Panel(script=script), cors=True, keep_alive=True, port=port)
    script.play_with(server.replace, script.source.read())
    return server


@pytest.fixture
def server(file: Path) -> Iterator[MockStreamServer]:
    with server_of(file) as server:
        yield server


@pytest.fixture
def opened(browser: Any, server: MockStreamServer) -> Iterator[Opened]:
    """Opens the server's page; it asks for nothing from elsewhere and has nothing to complain of."""
    said: list[str] = []
    asked: list[str] = []
    with ExitStack() as stack:

        def opened(*, width: int = 1280, **options: Any) -> Any:
            context = browser.new_context(viewport={"width": width, "height": 900}, **options)
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(10_000)
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("request", lambda request: asked.append(request.url))
            page.goto(server.url)
            page.get_by_text("live", exact=True).wait_for()
            return page

        yield opened
    assert [text for text in said if not text.startswith(_REFUSED)] == []
    assert {url for url in asked if not url.startswith(f"{server.url}/")} == set()


@pytest.fixture
def page(opened: Opened) -> Any:
    return opened()


def press(page: Any, name: str) -> None:
    """Press the button of this name, the first one."""
    page.get_by_role("button", name=name).first.click()


def hold_new(page: Any) -> None:
    press(page, "Hold new streams")
    page.locator("button[aria-pressed=true]", has_text="Hold new streams").wait_for()


def state(page: Any, word: str) -> None:
    """Wait until the latest stream is in a state."""
    page.locator(".streams > li:first-child .badge", has_text=word).wait_for()


def reply(page: Any, text: str) -> None:
    """Wait until the reply of the latest stream is shown so far."""
    page.wait_for_function(
        "text => document.querySelector('.streams > li:first-child .said')?.textContent === text", arg=text
    )


@pytest.fixture
def held(page: Any, server: MockStreamServer) -> Reader:
    """Reads a stream that is held before its first chunk."""
    hold_new(page)
    reader = Reader(server)
    state(page, "held")
    return reader


def test_a_stream_is_held_stepped_and_let_go(page: Any, held: Reader) -> None:
    assert held.text == ""
    press(page, "Step stream 1")
    reply(page, "one ")
    press(page, "Step stream 1")
    reply(page, "one two ")
    press(page, "Let go stream 1")

    assert held.result() == ("one two three", None)
    state(page, "read to its end")
    reply(page, "one two three")


@pytest.mark.parametrize(("name", "error"), [("Cut", "APIConnectionError"), ("Reset", "APIConnectionError")])
def test_a_stream_is_broken(page: Any, held: Reader, name: str, error: str) -> None:
    press(page, "Step stream 1")
    reply(page, "one ")

    press(page, f"{name} stream 1")

    assert held.result()[1] == error
    state(page, "broken")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_an_error_is_sent(page: Any, held: Reader) -> None:
    press(page, "Error… stream 1")
    page.get_by_label("Message").fill("Try later")
    page.get_by_label("Type").fill("server_error")
    press(page, "Send")

    assert held.result()[1] == "APIError"
    assert "Try later" in str(held.error)
    state(page, "broken")


def test_a_stall_goes_on(page: Any, held: Reader) -> None:
    press(page, "Stall… stream 1")
    page.get_by_label("How long").fill("soon")
    page.get_by_role("button", name="Stall", exact=True).click()
    page.locator("dialog [role=alert]", has_text="is not a duration").wait_for()
    page.get_by_label("How long").fill("10ms")
    page.get_by_role("button", name="Stall", exact=True).click()

    assert held.result() == ("one two three", None)
    page.locator("dialog").wait_for(state="detached")


@pytest.mark.parametrize("script", ['[[script]]\nsteps = ["one ", { stall = true }]\n'], ids=[""])
def test_what_is_held_and_what_stalls_are_told_apart(page: Any, server: MockStreamServer) -> None:
    reader = Reader(server)

    state(page, "stalled by its script")
    press(page, "Hold stream 1")
    state(page, "held, stalled by its script")
    press(page, "Let go stream 1")
    page.get_by_text("stalled by its script", exact=True).wait_for()
    press(page, "Stall… stream 1")
    page.locator("dialog").get_by_role("button", name="Stall").click()
    page.get_by_text("stalled by hand", exact=True).wait_for()
    press(page, "Cut stream 1")

    assert reader.result()[0] == "one "


def test_keys_do_the_same(page: Any, server: MockStreamServer) -> None:
    page.keyboard.press("n")
    page.locator("button[aria-pressed=true]", has_text="Hold new streams").wait_for()
    reader = Reader(server)
    state(page, "held")
    page.keyboard.press("s")
    reply(page, "one ")
    page.keyboard.press("j")
    assert "Stream 1" in page.evaluate("document.activeElement.textContent")

    page.keyboard.press("h")

    assert reader.result() == ("one two three", None)


def test_all_connections_are_dropped_and_the_page_stays(page: Any, held: Reader) -> None:
    press(page, "Drop all connections")

    assert held.result()[1] == "APIConnectionError"
    state(page, "broken")
    page.get_by_text("live", exact=True).wait_for()


def test_the_next_request_gets_the_script_that_is_chosen(page: Any, server: MockStreamServer, file: Path) -> None:
    page.locator("#script-text").fill('[[script]]\nwhen = {model = "other"}\nsteps = ["chosen"]\n' + SCRIPT)
    press(page, "Play from now on")
    page.get_by_role("button", name="Play next: script 2").wait_for()  # until then, the old list is shown
    press(page, "Play next: script 1")
    page.get_by_role("button", name="Is next: script 1").wait_for()

    assert [Reader(server).result()[0], Reader(server).result()[0]] == ["chosen", "one two three"]
    assert file.read_text() == SCRIPT


def test_the_request_is_looked_at_without_its_secrets(page: Any, server: MockStreamServer) -> None:
    Reader(server, extra_headers={"x-secret": "sk-0123456789abcdef"}, user="sk-fedcba9876543210").result()

    page.get_by_text("Request and frames").first.click()

    page.locator(".log", has_text="x-secret: [redacted]").wait_for()
    page.locator(".log", has_text='"user": "[redacted]"').wait_for()
    assert [secret for secret in ("sk-0123456789abcdef", "sk-fedcba9876543210") if secret in page.content()] == []


def test_the_frames_of_a_stream_are_shown(page: Any, held: Reader) -> None:
    page.get_by_text("Request and frames").first.click()
    press(page, "Step stream 1")
    page.locator(".log", has_text='"content":"one "').wait_for()
    press(page, "Let go stream 1")

    page.locator(".log", has_text="data: [DONE]").wait_for()
    assert held.result() == ("one two three", None)


def test_the_file_is_edited_checked_and_saved(page: Any, server: MockStreamServer, file: Path) -> None:
    area = page.locator("#script-text")
    area.fill(SCRIPT + "times = 0\n")
    page.get_by_role("button", name="Line 3").click()
    selected = "(area) => area.value.slice(area.selectionStart, area.selectionEnd)"
    assert area.evaluate(selected) == "times = 0"
    assert area.get_attribute("aria-invalid") == "true"
    page.get_by_text("1 mistake: the text can be neither played nor saved").wait_for()
    enabled = [page.get_by_role("button", name=name).is_enabled() for name in ("Save", "Play from", "Undo")]
    assert enabled == [False, False, True]
    area.press("Control+s")
    assert file.read_text() == SCRIPT

    area.fill(SCRIPT.replace("one", "four"))
    page.get_by_text("1 script, no mistakes").wait_for()
    assert page.get_by_role("button", name="Save").is_enabled()
    area.press("Control+s")
    page.locator("[role=status]", has_text="Saved").wait_for()

    assert "four" in file.read_text()
    assert Reader(server).result()[0] == "four two three"


def test_a_file_that_changes_meanwhile_is_told(page: Any, file: Path) -> None:
    page.locator("#script-text").fill(SCRIPT + "# mine\n")
    file.write_text(SCRIPT + "# of somebody else\n")

    press(page, "Save")
    page.get_by_text("is not what it was").first.wait_for()
    assert "somebody else" in file.read_text()
    press(page, "Save over it")
    page.locator("[role=status]", has_text="Saved").wait_for()

    assert file.read_text() == SCRIPT + "# mine\n"


def test_the_page_goes_on_with_a_server_that_was_started_again(browser: Any, file: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(20_000)
    with server_of(file) as first:
        page.goto(first.url)
        page.get_by_text("live", exact=True).wait_for()
        Reader(first).result()
        state(page, "read to its end")
        page.locator("#script-text").fill(SCRIPT + "# a draft")
    page.get_by_text("reconnecting", exact=True).wait_for()

    with server_of(file, int(first.url.rpartition(":")[2])) as second:
        page.get_by_text("No request has come yet").wait_for()
        hold_new(page)
        reader = Reader(second)
        state(page, "held")
        press(page, "Let go stream 1")
        assert reader.result()[0] == "one two three"
        assert page.locator("#script-text").input_value().endswith("# a draft")
        context.close()


@pytest.mark.parametrize(
    "script",
    [f"[[script]]\nwhen = {{ model = 'gpt' }}\nchunking = 100000\nsteps = [{json.dumps(HOSTILE[:900_000])}]"],
    ids=[""],
)
def test_what_is_hostile_is_shown_and_runs_nowhere(page: Any, server: MockStreamServer) -> None:
    Reader(server, HOSTILE, extra_headers={"x-request-id": "<img src=x onerror='window.ran=1'>"}).result()

    state(page, "read to its end")
    page.get_by_text("Request and frames").first.click()
    page.locator(".log", has_text="onerror").first.wait_for()
    assert page.locator("#script-text").input_value().count("</script>") == 1
    shown = page.locator(".said").first.text_content()
    assert shown.startswith("</script><img src=x onerror='window.ran=1'> U+202Eevil")
    page.get_by_text("More is not shown.").wait_for()
    assert page.evaluate("window.ran") is None
    assert page.locator("img").count() == 0


# Another origin.


ATTACK = """
<!doctype html><title>x</title><body><script>
const target = "{target}";
const command = target + "/_mockstream/command";
const body = '{{"command": "hold_new", "on": true}}';
const log = {{}};
async function attempt(name, run) {{
  try {{ log[name] = await run(); }} catch (error) {{ log[name] = "failed"; }}
}}
(async () => {{
  await attempt("no-cors", () => fetch(command, {{ method: "POST", mode: "no-cors", body }}).then((r) => r.type));
  await attempt("text", () => fetch(command, {{ method: "POST", body }}).then((r) => r.status));
  await attempt("json", () => fetch(command, {{
    method: "POST", headers: {{ "content-type": "application/json", "x-mockstream-token": "x" }}, body,
  }}).then((r) => r.status));
  await attempt("beacon", () => navigator.sendBeacon(command, new Blob([body], {{ type: "text/plain" }})) && "sent");
  await attempt("page", () => fetch(target + "/", {{ headers: {{ accept: "text/html" }} }}).then((r) => r.text()));
  await attempt("events", () => new Promise((done) => {{
    const source = new EventSource(target + "/_mockstream/events");
    source.onmessage = (event) => done(event.data);
    source.onerror = () => done("refused");
  }}));
  await attempt("frame", () => new Promise((done) => {{
    const frame = document.createElement("iframe");
    frame.onload = () => {{
      try {{ done(frame.contentDocument ? "readable" : "closed"); }} catch {{ done("closed"); }}
    }};
    frame.src = target;
    document.body.append(frame);
  }}));
  window.log = log;
}})();
</script>
<form method="post" enctype="text/plain" action="{target}/_mockstream/command">
<input name='{{"command": "hold_new", "on": true, "x": "' value='"}}'><button>Win a prize</button></form>
"""


@pytest.fixture
def elsewhere(server: MockStreamServer) -> Iterator[str]:
    """Is the address of a web site of somebody else."""
    html = ATTACK.format(target=server.url).encode()

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(html)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as site:
        thread = threading.Thread(target=site.serve_forever, name="elsewhere", daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{site.server_port}"
        site.shutdown()
        thread.join()


def test_a_page_of_another_origin_commands_nothing_and_reads_nothing(
    browser: Any, page: Any, server: MockStreamServer, elsewhere: str
) -> None:
    context = browser.new_context()
    evil = context.new_page()
    evil.goto(elsewhere)
    evil.wait_for_function("window.log")
    log = evil.evaluate("window.log")

    with evil.expect_response(lambda answered: answered.url.endswith("/command")) as posted:
        evil.get_by_role("button").click()

    assert (log["no-cors"], log["text"], log["json"]) == ("failed", "failed", "failed")
    assert (log["page"], log["events"], log["frame"]) == ("failed", "refused", "closed")
    assert posted.value.status == 403
    context.close()
    Reader(server).result()
    state(page, "read to its end")  # nothing was held


def test_a_file_that_another_origin_uploads_runs_nowhere(browser: Any, page: Any, server: MockStreamServer) -> None:
    html = (
        b"<title>up</title><script>document.title = 'ran'; fetch('/').then(() => (document.title = 'read'));</script>"
    )
    upload = httpx.post(
        f"{server.url}/v1/files", files={"file": ("x.html", html, "text/html")}, data={"purpose": "batch"}, timeout=30
    )
    context = browser.new_context()
    uploaded = context.new_page()

    uploaded.goto(f"{server.url}/v1/files/{upload.json()['id']}/content")

    assert uploaded.title() == "up"
    context.close()


# Many.


def test_of_many_streams_the_latest_are_unfolded_and_the_rest_can_be(page: Any, server: MockStreamServer) -> None:
    hold_new(page)
    readers = [Reader(server, f"question {number}") for number in range(12)]
    page.get_by_text("12 playing, 12 in all").wait_for()
    assert page.locator(".stream[open]").count() == 12  # nobody folds what is held

    hold_new_off = page.get_by_role("button", name="Hold new streams")
    hold_new_off.click()
    for number in range(1, 13):
        page.get_by_role("button", name=f"Let go stream {number}", exact=True).click()
    assert {reader.result()[0] for reader in readers} == {"one two three"}

    page.locator(".stream[open]").nth(2).wait_for(state="hidden")
    assert page.locator(".stream[open]").count() == 2  # the one that has the focus, and the latest other
    page.locator("li[data-ordinal='1'] summary").first.click()
    page.locator("li[data-ordinal='1'] .said", has_text="one two three").wait_for()


# How it looks.


@pytest.mark.parametrize("width", [390, pytest.param(768, marks=slow), pytest.param(1280, marks=slow), 1600])
def test_it_fits_every_width(opened: Opened, server: MockStreamServer, width: int) -> None:
    page = opened(width=width)
    Reader(server, "a question " * 40).result()
    state(page, "read to its end")

    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize(
    ("width", "scheme", "view"),
    [
        pytest.param(1280, "light", "held", marks=slow),
        (1280, "dark", "held"),
        pytest.param(390, "light", "held", marks=slow),
        (390, "light", "dialog"),
        pytest.param(1280, "dark", "dialog", marks=slow),
        pytest.param(1280, "dark", "mistakes", marks=slow),
        pytest.param(1280, "light", "mistakes", marks=slow),
    ],
)
def test_axe_finds_nothing(opened: Opened, server: MockStreamServer, width: int, scheme: str, view: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened(width=width, color_scheme=scheme)
    Reader(server).result()
    hold_new(page)
    reader = Reader(server)
    state(page, "held")
    page.get_by_text("Request and frames").first.click()
    page.locator(".log", has_text="messages").wait_for()
    if view == "dialog":
        press(page, "Error… stream 2")
    elif view == "mistakes":
        page.locator("#script-text").fill(SCRIPT + "times = 0\n")
        page.get_by_role("button", name="Line 3").wait_for()

    found = axe.run(page)

    assert found.response["violations"] == []
    page.keyboard.press("Escape")
    press(page, "Reset stream 2")
    reader.result()
