"""A real browser for the tests of pages: Chromium, driven by Playwright."""

from __future__ import annotations

import importlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_mockstream.pages import page, write

_NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Opens a page that shows data, or the page that is in a file, and returns Playwright's page.
Show = Callable[..., Any]


def chromium() -> str | None:
    """Return the path of Chromium, if there is one."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


def until(page: Any, condition: str) -> None:
    """Wait until a condition holds in a page: Playwright's own wait is forbidden by the page's policy."""
    end = time.monotonic() + 30
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(20)


def painted(page: Any) -> None:
    """Wait until a page has drawn what it was told: in a frame or two after that."""
    page.evaluate("""() => new Promise((done) => {
        let frames = 3;
        const next = () => (frames-- ? requestAnimationFrame(next) : done());
        next();
    })""")


def needs_browser() -> None:
    """Skip a module, or a test, where there is no browser or nothing that drives it."""
    pytest.importorskip("playwright", reason="no browser: pip install pytest-mockstream[browser]")
    if chromium() is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is on the PATH", allow_module_level=True)


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Start one browser for the tests of this folder, which are not async: its driver has the main thread's loop."""
    needs_browser()
    api = importlib.import_module("playwright.sync_api")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Show]:
    """Open pages from files, with the network off; they ask for nothing else, and have nothing to complain of."""
    contexts: list[Any] = []
    files: set[str] = set()
    asked: set[str] = set()
    said: list[str] = []

    def go(
        data: object, name: str = "trace", *, at: str = "", width: int = 1280, height: int = 900, **options: Any
    ) -> Any:
        path = data if isinstance(data, Path) else tmp_path / f"{name}.html"
        if path is not data:
            write(path, page(name, data, title="A page"))
        files.add(path.as_uri())
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.set_offline(True)
        opened = context.new_page()
        opened.on("request", lambda request: asked.add(request.url.partition("#")[0]))
        opened.on("console", lambda message: said.append(message.text))
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.goto(path.as_uri() + at)
        painted(opened)
        return opened

    yield go
    for context in contexts:
        context.close()
    assert said == []
    assert {url for url in asked if not url.startswith("blob:")} == files
