"""A page of the server as a program sees it: what it is told, and its commands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx

from pytest_mockstream.doors.server.panel.access import TOKEN_HEADER

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


class Page:
    """The page of a server: its data, its commands, and its state, which grows by what it is told."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=30)
        self.url = url
        self.html = self.http.get("/", headers=HTML)
        found = _DATA.search(self.html.text)
        assert found is not None, self.html.text
        self.data: dict[str, Any] = json.loads(found[1])
        self.headers = {"origin": url, TOKEN_HEADER: self.data["token"] or ""}
        self.state: dict[str, Any] = {}
        self.streams: dict[int, dict[str, Any]] = {}
        self.heard: list[str] = []
        self._told: Iterator[dict[str, Any]] | None = None

    def post(self, command: str, **said: Any) -> httpx.Response:
        body = json.dumps({"command": command, **said})  # in ASCII: httpx's own JSON has no halves of characters
        headers = {**self.headers, "content-type": "application/json"}
        return self.http.post(self.data["command"], content=body, headers=headers)

    def command(self, command: str, **said: Any) -> dict[str, Any]:
        """Give a command that is obeyed."""
        answered = self.post(command, **said)
        assert answered.status_code == 200, answered.text
        told: dict[str, Any] = answered.json()
        return told

    def refused(self, command: str, **said: Any) -> str:
        """Give a command that is refused, and return why."""
        answered = self.post(command, **said)
        assert answered.status_code in {400, 409}, answered.text
        return str(answered.json()["error"])

    def wait_for(self, holds: Callable[[Page], object]) -> None:
        """Read what is told until something holds of the state."""
        while not holds(self):
            assert self._told is not None
            self._apply(next(self._told))

    @property
    def latest(self) -> dict[str, Any]:
        """The latest stream that it knows."""
        return self.streams[max(self.streams)]

    def latest_is(self, **wanted: Any) -> dict[str, Any]:
        """Wait until the latest stream is as wanted."""
        self.wait_for(lambda page: page.streams and wanted.items() <= page.latest.items())
        return self.latest

    def _apply(self, news: dict[str, Any]) -> None:
        for told in news.pop("streams"):
            known = self.streams.setdefault(told["id"], {"text": "", "frames_seen": []})
            text = known["text"][: told.pop("at")] + "".join(text for _, text in told.pop("add"))
            seen = [*known["frames_seen"], *told.pop("frames")]
            known.update(told, text=text, frames_seen=seen)
        for number in news.pop("gone", []):
            del self.streams[number]
        self.state.update(news)

    def _events(self, response: httpx.Response) -> Iterator[dict[str, Any]]:
        quiet = 0  # times that the server had nothing to tell, which it says every 15 s
        for line in response.iter_lines():
            quiet += line.startswith(":")
            assert quiet < 3, f"what the test waits for does not come: {self.streams}"
            if line.startswith("data: "):
                quiet = 0
                self.heard.append(line.removeprefix("data: "))
                yield json.loads(self.heard[-1])


@contextmanager
def page_of(url: str) -> Iterator[Page]:
    """Open the page of a server, and follow it."""
    page = Page(url)
    with closing(page.http), page.http.stream("GET", page.data["events"]) as response:
        page._told = page._events(response)
        page.wait_for(lambda page: page.state)
        yield page
