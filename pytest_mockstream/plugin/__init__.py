"""The plugin's hooks and fixtures.

Every pytest run of everyone who has the package loads this, and pytest rewrites what it loads for its asserts, so there
is little of it: what a test, a marker or an option asks for is loaded when it does.

PYTEST_DONT_REWRITE: it has no asserts, and every run loads it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mockstream._base import OrderMemory, before_a_door, order_memories
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
    "mockstream(delay, ttft, jitter, seed, tokens_per_second, producer, buffer_size, passthrough, provider, unused,"
    " findings, record, replay_speed, trace): settings of this test's fake LLM streams; they win over the command line"
    " and the ini file.",
    'mockstream_sweep("cancel", "faults" or "orders", ...): run this test once for each place where it can be'
    " cancelled, or where its stream can break, or for each order in which things can arrive, its fixtures are set up"
    " only once; keywords are those of sweep_cancellation, sweep_faults and sweep_orders.",
    "mockstream_recorded(path=None, speed=0, match=None, frames=False): play the recording of this test, or the one at"
    " this path, in place of the provider; --mockstream-record=missing makes it.",
    "assert_no_leaks(grace, ignore, kinds, contain): check this test for leaks, even if the check is off or only warns:"
    " how long to wait; what to leave out (regular expressions for names, functions and creating functions; with the"
    " prefix stack: any function in the stack); which kinds to look for (task, thread, stream, asyncgen, coroutine,"
    " exception, loop, process, reader, server, socket, timer); whether to cancel leaked tasks whose loop stays open.",
    "allow_leaks(reason): what this test leaves running does not fail it. For example,"
    " allow_leaks('#123: shutdown is not ours').",
    "expect_leak(kind, match): this test must leak something of this kind whose name, creating function or diagnosis"
    " matches this regular expression; it fails otherwise.",
)
_ORDERS = pytest.StashKey[Callable[[], OrderMemory]]()
_EXPLORERS = ("detangle", "simloom", "simloop")
_GUESTS = "mockstream-guests"
_GUARD = pytest.StashKey[Callable[[], None]]()
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
    guard: Callable[[], None] = partial(_put_up_guard, config)
    config.stash[_GUARD] = guard
    before_a_door.append(guard)
    memory: Callable[[], OrderMemory] = partial(_order_cache, config)
    config.stash[_ORDERS] = memory
    order_memories.append(memory)
    settings = {setting.name: setting.default for setting in SETTINGS}
    if _says_something(config):
        from . import in_force

        settings = vars(in_force.of_run(config))
        if settings["record"] != "none":
            from .recordings import begin

            begin(config, settings["record"])
    if settings["report"] is not None:
        from .run_report import register as write_report

        write_report(config, settings["report"], settings["leaks"], settings["grace"])
    if settings["leaks"] == "off":
        from .tracebacks import TracebacksAsBefore

        TracebacksAsBefore.register(config)
    else:
        from .leak_check import register  # it brings asyncio, which runs without the check need not load

        register(config, settings["leaks"], settings["grace"], settings["known"])
    if settings["trace"] != "off":
        from .trace import record

        record(config, settings["trace"])


def pytest_unconfigure(config: pytest.Config) -> None:
    if (guard := config.stash.get(_GUARD, None)) is not None:
        before_a_door.remove(guard)
        order_memories.remove(config.stash[_ORDERS])


def _order_cache(config: pytest.Config) -> OrderMemory:
    from .order_cache import OrderCache

    return OrderCache(config)


def _put_up_guard(config: pytest.Config) -> None:
    from .guard import GuardPlugin

    GuardPlugin.register(config)


def _says_something(config: pytest.Config) -> bool:
    return any(config.getoption(s.flag) is not None or config.getini(s.ini) is not None for s in SETTINGS)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """Take what workers tell of traces: a marker may ask for one in a test that this process never sees."""
    from .trace_summary import ReportsOfWorkers

    config.pluginmanager.register(ReportsOfWorkers(config))


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
    if any(explorer in sys.modules for explorer in _EXPLORERS) and not config.pluginmanager.has_plugin(_GUESTS):
        from .guests import GuestPlugin

        config.pluginmanager.register(GuestPlugin(), _GUESTS)
    if "looptime" in sys.modules and not config.pluginmanager.has_plugin("mockstream-deadlocks"):
        from .deadlocks import DeadlockPlugin

        config.pluginmanager.register(DeadlockPlugin(), "mockstream-deadlocks")
    if "trio.testing" in sys.modules and not config.pluginmanager.has_plugin("mockstream-deadlocks-on-trio"):
        from .deadlocks import DeadlockOnTrioPlugin

        config.pluginmanager.register(DeadlockOnTrioPlugin(), "mockstream-deadlocks-on-trio")


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


@pytest.hookimpl(tryfirst=True)
def pytest_assertrepr_compare(config: pytest.Config, op: str, left: object, right: object) -> list[str] | None:
    if "pytest_mockstream._base.redaction" not in sys.modules:  # nothing was recorded
        return None
    from .comparing import explained

    return explained(config, op, left, right)


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

    No socket and no key: every client of httpx, httpx2, aiohttp and urllib3 (requests, boto3) is answered in process,
    chunk by chunk, whenever it was made, so that google-genai, ollama, litellm and what is built on them are answered,
    too. Queue scripts with respond(...), look at .requests afterwards. The test fails if a script was never asked for,
    if a request came that nothing is known of, or if a provider is reached any other way.
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

    For the test's duration OPENAI_BASE_URL, ANTHROPIC_BASE_URL, GOOGLE_GEMINI_BASE_URL, OLLAMA_HOST and CO_API_URL lead
    to it, with keys that are obviously fake; it listens on a socket of this machine. Queue scripts with respond(...),
    look at .requests afterwards; .url and .base_url(...) say where it is. Streams that are still open when the test is
    over are ended then.
    """
    from .clients import server

    yield from server(request, monkeypatch, _mock_stream_session_server)
