"""Everything that is pytest.

The wall: thin. Every pytest run of everyone who has the package loads this module, so at import it loads nothing but
pytest and what is needed to read settings; clients and doors come in inside the fixtures that need them.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mockstream._base.errors import ScriptError, UnclosedStreamWarning

from . import hookspecs
from .as_before import AsyncioAsBefore, TracebacksAsBefore
from .marked import marked
from .settings import SETTINGS, Settings, check_keywords, parse_level, resolve

if TYPE_CHECKING:
    from pytest_mockstream.doors.client.client import MockStreamClient
    from pytest_mockstream.doors.in_process.sdk import MockStreamSDK
    from pytest_mockstream.doors.server import MockStreamServer

_LEVELS = pytest.StashKey[tuple[Mapping[str, Any], ...]]()
_SETTINGS = pytest.StashKey[Settings]()
_FAILURE = pytest.StashKey[BaseException]()

_MARKERS = (
    "mockstream(delay, ttft, jitter, seed, tokens_per_second, producer, buffer_size, unused): settings of this test's"
    " fake LLM streams; they win over the command line and the ini file.",
    'mockstream_sweep("cancel" or "faults", ...): run this test once for each place where it can be cancelled, or where'
    " its stream can break, with fixtures that are set up once; keywords are those of sweep_cancellation and"
    " sweep_faults.",
    "assert_no_leaks(grace, ignore, kinds, contain): tune the leak check for this test: how long to wait, what to leave"
    " out (by name, creating function or any function in the stack), which kinds to look for, and whether to cancel the"
    " tasks that fail it even where their loop lives on.",
    "allow_leaks(reason): what this test leaves running does not fail it.",
    "expect_leak(kind, match): this test must leak something of this kind whose name, creating function or diagnosis"
    " matches this regular expression; it fails otherwise.",
)
_LEAK_IGNORE = "what the leak check leaves out: names of tasks or threads, or functions in their stacks; regexes too"
_LEAK_KINDS = "which kinds of leaks to look for besides tasks, threads and streams"
_CONTAIN = "whether tasks that fail a test by leaking are cancelled even where their loop lives on (default: false)"


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


def pytest_plugin_registered(plugin: object, manager: pytest.PytestPluginManager) -> None:
    AsyncioAsBefore.beside(plugin, manager)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mockstream", "fake LLM streams (pytest-mockstream)")
    for setting in SETTINGS:
        default = "" if setting.default is None else f" (default: {setting.default})"
        group.addoption(setting.flag, metavar=setting.metavar, default=None, help=setting.help + default)
        parser.addini(setting.ini, setting.help + default, type="string", default=None)
    parser.addini("mockstream_leak_ignore", _LEAK_IGNORE, type="linelist", default=[])
    parser.addini("mockstream_leak_kinds", _LEAK_KINDS, type="args", default=[])
    parser.addini("mockstream_contain", _CONTAIN, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    options = {setting.name: config.getoption(setting.flag) for setting in SETTINGS}
    inis = {setting.name: config.getini(setting.ini) for setting in SETTINGS}
    try:
        levels = (
            parse_level(options, spell=lambda setting: setting.flag),
            parse_level(inis, spell=lambda setting: setting.ini),
        )
    except ScriptError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[_LEVELS] = levels
    settings = config.stash[_SETTINGS] = resolve(levels)
    if settings.leaks == "off":
        TracebacksAsBefore.register(config)
    else:
        from .leak_setup import register  # it brings asyncio, which runs without the check need not load

        register(config, settings)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main() -> None:
    if not sys.warnoptions:
        # Python hides every ResourceWarning; this one is for the tests' author. Now, so that every filter of the ini
        # file and of a conftest file's pytest_configure is stronger.
        warnings.filterwarnings("default", category=UnclosedStreamWarning)


def pytest_report_header(config: pytest.Config) -> str:
    settings = config.stash[_SETTINGS]
    shown = {**asdict(settings.pacing), "producer": settings.producer}
    if settings.producer == "background":
        shown["buffer_size"] = settings.buffer_size
    return "mockstream: " + ", ".join(f"{name}={value}" for name, value in shown.items() if value is not None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in marked(items, {"mockstream"}):
        _marker_levels(item)
    swept = list(marked(items, {"mockstream_sweep"}))
    if swept:
        from .sweeps import SweepPlugin, prepare

        prepare(swept)
        if not config.pluginmanager.has_plugin("mockstream-sweep"):
            config.pluginmanager.register(SweepPlugin(), "mockstream-sweep")


def _marker_levels(item: pytest.Item) -> list[Mapping[str, Any]]:
    """Return the parsed ``mockstream`` markers of a test, the closest first."""
    levels: list[Mapping[str, Any]] = []
    for marker in item.iter_markers("mockstream"):
        try:
            if marker.args:
                msg = f"takes keywords only, got {marker.args[0]!r}"
                raise ScriptError(msg)
            check_keywords(marker.kwargs)
            levels.append(parse_level(marker.kwargs, spell=lambda setting: setting.name))
        except ScriptError as error:
            msg = f"{item.nodeid}: @pytest.mark.mockstream: {error}"
            raise pytest.UsageError(msg) from None
    return levels


class _FailureNotes:
    """Notes what made tests fail; registered with the first test that has one of our clients."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        if call.when == "call" and call.excinfo is not None:
            item.stash[_FAILURE] = call.excinfo.value


@pytest.hookimpl(trylast=True)
def pytest_mockstream_make_client(settings: Settings) -> MockStreamClient:
    from pytest_mockstream.doors.client.client import MockStreamClient

    return MockStreamClient(
        **asdict(settings.pacing),
        producer=settings.producer,  # type: ignore[arg-type] # checked when it was parsed
        buffer_size=settings.buffer_size,
    )


@pytest.fixture
def mock_stream_client(request: pytest.FixtureRequest) -> Iterator[MockStreamClient]:
    """A streaming LLM client that plays scripts, cancellation-safe, with nothing running between two reads.

    Queue scripts with respond(...), hand the client to the code under test, look at .requests afterwards. With nothing
    queued, every request gets default_text. The test fails if a script was never asked for, or if a request came that
    no script was left for, even when the code under test swallowed that error.
    """
    settings = _settings_of(request)
    client = request.config.hook.pytest_mockstream_make_client(settings=settings, request=request)
    yield client
    _verify(client, settings, request.node)


@pytest.fixture
def mock_stream_sdk(request: pytest.FixtureRequest) -> Iterator[MockStreamSDK]:
    """Answers the real SDKs (openai, anthropic, google-genai, ollama, litellm, ...) in process, chunk by chunk.

    No socket, no key and no change to the code under test: every client of httpx, httpx2 and aiohttp is answered,
    whenever it was made. Queue scripts with respond(...), look at .requests afterwards. The test fails if a script was
    never asked for, if a request came that nothing is known of, or if a provider is reached any other way.
    """
    from pytest_mockstream.doors.in_process.sdk import MockStreamSDK

    settings = _settings_of(request)
    with MockStreamSDK(
        **asdict(settings.pacing),
        producer=settings.producer,  # type: ignore[arg-type] # checked when it was parsed
        buffer_size=settings.buffer_size,
    ) as sdk:
        yield sdk
    _verify(sdk, settings, request.node)


@pytest.fixture(scope="session")
def _mock_stream_session_server(request: pytest.FixtureRequest) -> Iterator[MockStreamServer]:
    """The server behind ``mock_stream_server``: one for each process that runs tests."""
    try:
        from pytest_mockstream.doors.server import MockStreamServer
    except ModuleNotFoundError as error:
        pytest.fail(str(error), pytrace=False)
    ender = _StreamEnder()
    with MockStreamServer() as ender.server:
        request.config.pluginmanager.register(ender)
        yield ender.server
        request.config.pluginmanager.unregister(ender)
        ender.server.end_streams()  # a run that was interrupted may have left some


class _StreamEnder:
    """Ends what a test left open on the server, once everybody has judged it."""

    server: MockStreamServer

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self) -> None:
        self.server.end_streams()


@pytest.fixture
def mock_stream_server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _mock_stream_session_server: MockStreamServer
) -> Iterator[MockStreamServer]:
    """A streaming LLM provider on a real socket of this machine, that plays scripts to any client in any language.

    For the test's duration OPENAI_BASE_URL, ANTHROPIC_BASE_URL, GOOGLE_GEMINI_BASE_URL and OLLAMA_HOST lead to it, with
    keys that are obviously fake. Queue scripts with respond(...), look at .requests afterwards; .url and .base_url(...)
    say where it is. Streams that are still open when the test is over are ended then.
    """
    settings = _settings_of(request)
    server = _mock_stream_session_server
    server.reset(pacing=settings.pacing, buffer_size=settings.buffer_size)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    yield server
    server.catch_up()
    _verify(server, settings, request.node)


def _settings_of(request: pytest.FixtureRequest) -> Settings:
    """Return what is in force for a test that has one of our clients."""
    plugins = request.config.pluginmanager
    if not plugins.has_plugin("mockstream-failures"):
        plugins.register(_FailureNotes(), "mockstream-failures")
    config, levels = request.config, _marker_levels(request.node)
    return resolve([*levels, *config.stash[_LEVELS]]) if levels else config.stash[_SETTINGS]


def _verify(client: Any, settings: Settings, item: pytest.Item) -> None:
    """Fail the test for what its code hid; what made it fail already is not said twice."""
    verify = getattr(client, "verify", None)
    if verify is None:
        return
    failure = item.stash.get(_FAILURE, None)
    try:
        verify(unused="allow" if failure is not None else settings.unused)
    except AssertionError as error:
        if error is not failure:
            pytest.fail(f"{type(error).__name__}: {error}", pytrace=False)
