"""What the fixtures give to a test: clients and doors, made of the settings in force, and verified when it is over.

Loaded with the first test that asks for one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from .in_force import of_test

if TYPE_CHECKING:
    from pytest_mockstream.doors.client.client import MockStreamClient
    from pytest_mockstream.doors.in_process.sdk import MockStreamSDK
    from pytest_mockstream.doors.server import MockStreamServer

    from .settings import Settings

_FAILURE = pytest.StashKey[BaseException]()


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
    client = request.config.hook.pytest_mockstream_make_client(settings=settings, request=request)
    yield client
    _verify(client, settings, request.node)


def sdk(request: pytest.FixtureRequest) -> Iterator[MockStreamSDK]:
    """Yield the in-process door for one test, and verify it."""
    from pytest_mockstream.doors.in_process.sdk import MockStreamSDK

    settings = _settings_of(request)
    with MockStreamSDK(
        **asdict(settings.pacing),
        producer=settings.producer,  # type: ignore[arg-type] # checked when it was parsed
        buffer_size=settings.buffer_size,
    ) as sdk:
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
    server.reset(pacing=settings.pacing, buffer_size=settings.buffer_size)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    yield server
    server.catch_up()
    _verify(server, settings, request.node)


class _StreamEnder:
    """Ends what a test left open on the server, once everybody has judged it."""

    server: MockStreamServer

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self) -> None:
        self.server.end_streams()


class _FailureNotes:
    """Notes what made tests fail; registered with the first test that has one of our clients."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        if call.when == "call" and call.excinfo is not None:
            item.stash[_FAILURE] = call.excinfo.value


def _settings_of(request: pytest.FixtureRequest) -> Settings:
    """Return what is in force for a test that has one of our clients."""
    plugins = request.config.pluginmanager
    if not plugins.has_plugin("mockstream-failures"):
        plugins.register(_FailureNotes(), "mockstream-failures")
    return of_test(request.node)


def _verify(client: Any, settings: Settings, item: pytest.Item) -> None:
    """Fail the test for what its code hid; what made it fail already is not said twice."""
    verify = getattr(client, "verify", None)
    if verify is None:
        return
    failure = item.stash.get(_FAILURE, None)
    found = None
    try:
        verify(unused="allow" if failure is not None else settings.unused)
    except AssertionError as error:
        found = error
    if found is not None and found is not failure:  # not in the handler, or pytest would print it twice
        pytest.fail(f"{type(found).__name__}: {found}", pytrace=False)
