"""What the fixtures give to a test: clients and doors, made of the settings in force, and verified when it is over.

Loaded with the first test that asks for one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mockstream._base.errors import MockStreamError
from pytest_mockstream.doors.guard import GUARD, UNTRACED, open_door
from pytest_mockstream.playbook.playbook import Playbook

from .in_force import of_test

if TYPE_CHECKING:
    from pytest_mockstream.doors.client.client import MockStreamClient
    from pytest_mockstream.doors.in_process.sdk import MockStreamSDK
    from pytest_mockstream.doors.server import MockStreamServer
    from pytest_mockstream.recordings import Tape

    from .settings import Settings

_CLIENT_REACHES = (
    "mock_stream_client answers nobody but whoever is given it. For {caller}, use mock_stream_sdk (what goes through"
    " httpx, httpx2, aiohttp or urllib3) or mock_stream_server"
)
_SERVER_REACHES = (
    "mock_stream_server answers at its own address. Have {caller} ask there (mock_stream_server.url; most SDKs find it"
    " in the environment)"
)
_FAILURE = pytest.StashKey[BaseException]()
_PRINTED = pytest.StashKey[str]()


def make_client(settings: Settings) -> MockStreamClient:
    """Return the default client."""
    from pytest_mockstream.doors.client.client import MockStreamClient

    return MockStreamClient(
        **asdict(settings.pacing),
        producer=settings.producer,  # type: ignore[arg-type] # checked when it was parsed
        buffer_size=settings.buffer_size,
    )


def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Yield what the hook makes for one test, and verify it."""
    settings = _settings_of(request)
    tape = _tape_of(request.node, settings)
    client = request.config.hook.pytest_mockstream_make_client(settings=settings, request=request)
    refused: list[BaseException] = []
    if isinstance(playbook := getattr(client, "_playbook", None), Playbook):
        _play(tape, playbook, passes=False)
    with open_door("mock_stream_client", refused.append, reaches=_CLIENT_REACHES):
        yield client
    _verify(client, settings, request.node, refused)


def sdk(request: pytest.FixtureRequest) -> Iterator[MockStreamSDK]:
    """Yield the in-process door for one test, and verify it."""
    from pytest_mockstream.doors.in_process.sdk import MockStreamSDK

    settings = _settings_of(request)
    tape = _tape_of(request.node, settings)
    with MockStreamSDK(
        **asdict(settings.pacing),
        producer=settings.producer,  # type: ignore[arg-type] # checked when it was parsed
        buffer_size=settings.buffer_size,
        passthrough=settings.passthrough or (),
        provider=settings.provider,
        recordings=tape,
    ) as sdk:
        _play(tape, sdk._playbook)
        yield sdk
    _verify(sdk, settings, request.node)


def session_server(request: pytest.FixtureRequest) -> Iterator[MockStreamServer]:
    """Yield the server that all tests of this process share."""
    missing = None
    try:
        from pytest_mockstream.doors.server import MockStreamServer
    except ModuleNotFoundError as error:
        missing = str(error)
    if missing is not None:  # not in the handler, or pytest would print the error twice
        pytest.fail(missing, pytrace=False)
    ender = _StreamEnder()
    with MockStreamServer() as ender.server:
        request.config.pluginmanager.register(ender)
        yield ender.server
        request.config.pluginmanager.unregister(ender)
        ender.server.end_streams()  # a run that was interrupted may have left some


def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, server: MockStreamServer
) -> Iterator[MockStreamServer]:
    """Yield the session's server, emptied for one test, and verify it."""
    settings = _settings_of(request)
    tape = _tape_of(request.node, settings)
    server.reset(pacing=settings.pacing, buffer_size=settings.buffer_size, provider=settings.provider, recordings=tape)
    _play(tape, server._playbook)
    for name, value in server.environment().items():
        if name not in UNTRACED:  # openai-agents reads it once; here its uploads are dropped, and children get it
            monkeypatch.setenv(name, value)
    refused: list[BaseException] = []
    with open_door("mock_stream_server", refused.append, reaches=_SERVER_REACHES, lends_keys=True):
        yield server
        server.catch_up()
        if tape is not None:
            server.finish_recording()
    _verify(server, settings, request.node, refused)


class _StreamEnder:
    """Ends what a test left open on the server, once everybody has judged it."""

    server: MockStreamServer

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self) -> None:
        self.server.end_streams()


class _FailureNotes:
    """Notes what made tests fail, and what they printed; registered with the first test that has one of our clients."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        if call.when == "setup" and _FAILURE in item.stash:  # of an attempt before this one
            del item.stash[_FAILURE]
        if call.when == "call" and call.excinfo is not None:
            item.stash[_FAILURE] = call.excinfo.value
        report = yield
        if call.when == "call":
            item.stash[_PRINTED] = report.capstdout
        return report


def _settings_of(request: pytest.FixtureRequest) -> Settings:
    """Return what is in force for a test that has one of our clients."""
    plugins = request.config.pluginmanager
    if not plugins.has_plugin("mockstream-failures"):
        plugins.register(_FailureNotes(), "mockstream-failures")
    settings = of_test(request.node)
    GUARD.allow(settings.passthrough or ())
    return settings


def _tape_of(item: pytest.Item, settings: Settings) -> Tape | None:
    """Return the tape of a test that plays a recording or makes one."""
    if settings.record == "none" and item.get_closest_marker("mockstream_recorded") is None:
        return None
    from .recordings import tape_of

    with _in_one_line():
        return tape_of(item, settings)


def _play(tape: Tape | None, playbook: Playbook, *, passes: bool = True) -> None:
    """Play a test's recordings at a door."""
    if tape is not None:
        with _in_one_line():
            tape.play_at(playbook, passes=passes)


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Fail the test for an error of ours, without the lines of this package."""
    problem = None
    try:
        yield
    except MockStreamError as error:
        problem = f"{type(error).__name__}: {error}"
    if problem is not None:  # not in the handler, or pytest would print the error twice
        pytest.fail(problem, pytrace=False)


def _verify(client: Any, settings: Settings, item: pytest.Item, refused: Iterable[BaseException] = ()) -> None:
    """Fail the test for what its code hid; what made it fail already is not said twice."""
    verify = getattr(client, "verify", None)
    failure = item.stash.get(_FAILURE, None)
    found = next(iter(refused), None)
    try:
        if found is None and verify is not None:
            verify(unused="allow" if failure is not None else settings.unused)
    except AssertionError as error:
        found = error
    if found is None and failure is None and settings.findings == "error" and hasattr(client, "findings"):
        _refuse_findings(client, item.stash.get(_PRINTED, ""))
    if found is not None and found is not failure:  # not in the handler, or pytest would print it twice
        pytest.fail(f"{type(found).__name__}: {found}", pytrace=False)


def _refuse_findings(client: Any, printed: str) -> None:
    """Fail the test if its code did not cope well with failures; what a library does by itself fails nobody."""
    own = [finding for finding in client.findings(wrote=printed) if finding.by is None]
    if own:
        listed = "\n".join(f"  {finding}\n    {finding.remedy}" for finding in own)
        pytest.fail(f"the code under test does not cope well with failures:\n{listed}", pytrace=False)
