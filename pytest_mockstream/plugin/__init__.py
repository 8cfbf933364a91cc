"""The plugin's hooks and fixtures.

Every pytest run of everyone who has the package loads this, and pytest rewrites what it loads for its asserts, so there
is little of it: what a test, a marker or an option asks for is loaded when it does.

PYTEST_DONT_REWRITE: it has no asserts, and every run loads it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mockstream._base.errors import UnclosedStreamWarning

from . import hookspecs
from .as_before import AsyncioAsBefore
from .options import SETTINGS, add_options

if TYPE_CHECKING:
    from pytest_mockstream.doors.client.client import MockStreamClient
    from pytest_mockstream.doors.in_process.sdk import MockStreamSDK
    from pytest_mockstream.doors.server import MockStreamServer

    from .settings import Settings

_MARKERS = (
    "mockstream(delay, ttft, jitter, seed, tokens_per_second, producer, buffer_size, unused): settings of this test's"
    " fake LLM streams; they win over the command line and the ini file.",
    'mockstream_sweep("cancel" or "faults", ...): run this test once for each place where it can be cancelled, or where'
    " its stream can break, its fixtures are set up only once; keywords are those of sweep_cancellation and"
    " sweep_faults.",
    "assert_no_leaks(grace, ignore, kinds, contain): check this test for leaks, even if the check is off or only warns:"
    " how long to wait; what to leave out (regular expressions for names, functions and creating functions; with the"
    " prefix stack: any function in the stack); which kinds to look for (task, thread, stream, asyncgen, coroutine,"
    " exception, loop, process, reader, server, socket, timer); whether to cancel leaked tasks whose loop stays open.",
    "allow_leaks(reason): what this test leaves running does not fail it. For example,"
    " allow_leaks('#123: shutdown is not ours').",
    "expect_leak(kind, match): this test must leak something of this kind whose name, creating function or diagnosis"
    " matches this regular expression; it fails otherwise.",
)
_MARKER_NAMES = frozenset(text.partition("(")[0] for text in _MARKERS)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


def pytest_plugin_registered(plugin: object, manager: pytest.PytestPluginManager) -> None:
    AsyncioAsBefore.beside(plugin, manager)


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    settings = {setting.name: setting.default for setting in SETTINGS}
    if _says_something(config):
        from . import in_force

        settings = vars(in_force.of_run(config))
    if settings["leaks"] == "off":
        from .tracebacks import TracebacksAsBefore

        TracebacksAsBefore.register(config)
    else:
        from .leak_check import register  # it brings asyncio, which runs without the check need not load

        register(config, settings["leaks"], settings["grace"], settings["report"], settings["known"])


def _says_something(config: pytest.Config) -> bool:
    return any(config.getoption(s.flag) is not None or config.getini(s.ini) is not None for s in SETTINGS)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main() -> None:
    if not sys.warnoptions:
        # Python hides every ResourceWarning; this one is for the tests' author. Now, so that every filter of the ini
        # file and of a conftest file's pytest_configure is stronger.
        warnings.filterwarnings("default", category=UnclosedStreamWarning)


def pytest_report_header(config: pytest.Config) -> str:
    if not _says_something(config):
        return "mockstream: producer=inline"
    from . import in_force
    from .settings import describe

    return f"mockstream: {describe(in_force.of_run(config))}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if found := _marked(items):
        from .markers import read

        read(config, found)


def _marked(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the tests that have one of our markers, themselves or from their class, module or package.

    Asks each of these once for the tests in a row that it has, and not anew for each test, as ``iter_markers`` does.
    """
    found = []
    parent: Any = None
    inherited = False
    for item in items:
        if item.parent is not parent:
            parent = item.parent
            inherited = any(mark.name in _MARKER_NAMES for mark in parent.iter_markers())
        if inherited or any(mark.name in _MARKER_NAMES for mark in item.own_markers):
            found.append(item)
    return found


@pytest.hookimpl(trylast=True)
def pytest_mockstream_make_client(settings: Settings) -> MockStreamClient:
    from .clients import make_client

    return make_client(settings)


@pytest.fixture
def mock_stream_client(request: pytest.FixtureRequest) -> Iterator[MockStreamClient]:
    """A streaming LLM client to hand to your code: mock_stream_client.respond("Hello"), then read .requests.

    Cancellation-safe, with nothing running between two reads. Queue scripts with respond(...), hand the client to the
    code under test, look at .requests afterwards. With nothing queued, every request gets default_text. The test fails
    if a script was never asked for, or if a request came that no script was left for, even when the code under test
    swallowed that error.
    """
    from .clients import client

    yield from client(request)


@pytest.fixture
def mock_stream_sdk(request: pytest.FixtureRequest) -> Iterator[MockStreamSDK]:
    """Answers openai, anthropic and other SDKs in your unchanged code: mock_stream_sdk.respond("Hello").

    No socket and no key: every client of httpx, httpx2 and aiohttp is answered in process, chunk by chunk, whenever it
    was made, so that google-genai, ollama, litellm and what is built on them are answered, too. Queue scripts with
    respond(...), look at .requests afterwards. The test fails if a script was never asked for, if a request came that
    nothing is known of, or if a provider is reached any other way.
    """
    from .clients import sdk

    yield from sdk(request)


@pytest.fixture(scope="session")
def _mock_stream_session_server(request: pytest.FixtureRequest) -> Iterator[MockStreamServer]:
    """The server behind ``mock_stream_server``: one for each process that runs tests."""
    from .clients import session_server

    yield from session_server(request)


@pytest.fixture
def mock_stream_server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _mock_stream_session_server: Any
) -> Iterator[MockStreamServer]:
    """A fake LLM provider over real HTTP, for any client or program: mock_stream_server.respond("Hello").

    For the test's duration OPENAI_BASE_URL, ANTHROPIC_BASE_URL, GOOGLE_GEMINI_BASE_URL and OLLAMA_HOST lead to it, with
    keys that are obviously fake; it listens on a socket of this machine. Queue scripts with respond(...), look at
    .requests afterwards; .url and .base_url(...) say where it is. Streams that are still open when the test is over are
    ended then.
    """
    from .clients import server

    yield from server(request, monkeypatch, _mock_stream_session_server)
