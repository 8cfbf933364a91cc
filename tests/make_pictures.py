"""Makes the pictures of traces in the guide: runs real tests that fail, and takes pictures of their pages.

    python tests/make_pictures.py [FOLDER]

Needs the extra ``browser`` and Chromium. The folder is ``examples`` by default.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

_EXAMPLES = Path(__file__).parents[1] / "examples"
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
_INI = """\
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
mockstream_trace = failed
"""

#: The code under test, and a test of it that fails, by the name of the picture.
TESTS = {
    "trace_leak": '''
import asyncio


class Chat:
    """Shows a reply as it comes; keeps the connection warm meanwhile."""

    def __init__(self, client):
        self.client = client
        self.shown = ""

    async def keep_warm(self):
        while True:
            await asyncio.sleep(0.05)

    async def ask(self, question):
        self.warm = asyncio.create_task(self.keep_warm(), name="keep warm")
        async with self.client.complete_stream(question) as stream:
            async for chunk in stream:
                self.shown += chunk.delta
        return self.shown


async def test_chat_shows_reply(mock_stream_client):
    mock_stream_client.respond("Paris is the capital of France.", delay=0.02)

    assert await Chat(mock_stream_client).ask("Tell me about Paris") == "Paris is the capital of France."
''',
    "trace_cancelled": '''
import asyncio

from pytest_mockstream import Stall


async def answer(client, question):
    """Asks two models at once, and shows whichever answers first."""

    async def ask(model):
        async with client.complete_stream(question, model=model) as stream:
            return await stream.aread()

    tasks = [asyncio.create_task(ask(model), name=model) for model in ("large", "small")]
    done, pending = await asyncio.wait(tasks, timeout=0.4)
    for task in pending:
        task.cancel()
    return [await task for task in tasks]


async def test_slow_model_does_not_hold_up_the_answer(mock_stream_client):
    mock_stream_client.when(model="large").respond("Paris is ", Stall(), delay=0.05)
    mock_stream_client.when(model="small").respond("Paris is lovely, and so is Rome.", delay=0.04)

    assert "lovely" in await answer(mock_stream_client, "Tell me about Paris")
''',
    "trace_sweep": """
import pytest


async def ask(client):
    parts = []
    async with client.complete_stream("Tell me about Paris", timeout=1) as stream:
        async for chunk in stream:
            parts.append(chunk.delta)
    return "".join(parts)


@pytest.mark.mockstream_sweep("faults")
async def test_broken_anywhere_it_says_so(mock_stream_client):
    mock_stream_client.respond("Paris is lovely.")

    assert await ask(mock_stream_client)
""",
}


def main(folder: Path) -> None:
    """Write each picture into a folder."""
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=_FLAGS)
        for name, source in TESTS.items():
            _picture(browser, _trace(Path(temporary, name), source), folder / f"{name}.png")
        browser.close()


def _chromium() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        raise SystemExit("no Chromium on the PATH")
    return found


def _trace(project: Path, source: str) -> Path:
    project.mkdir()
    (project / "pytest.ini").write_text(_INI, encoding="utf-8")
    (project / "test_chat.py").write_text(source.lstrip(), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    pages = sorted(project.glob("mockstream-trace/*.html"))
    if len(pages) != 1:
        raise SystemExit(f"{len(pages)} traces, not one:\n{run.stdout}{run.stderr}")
    return pages[0]


def _picture(browser: Browser, page_file: Path, picture: Path) -> None:
    context = browser.new_context(viewport={"width": 1200, "height": 1180}, device_scale_factor=1)
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.screenshot(path=picture)
    context.close()
    sys.stdout.write(f"{picture}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else _EXAMPLES)
