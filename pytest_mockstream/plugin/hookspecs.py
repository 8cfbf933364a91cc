"""The hooks that the plugin offers to ``conftest.py`` and to other plugins; declarations only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_mockstream.leaks import Leak, LeakReport
    from pytest_mockstream.recordings import Recording

    from .settings import Settings


@pytest.hookspec(firstresult=True)
def pytest_mockstream_make_client(settings: Settings, request: pytest.FixtureRequest) -> object:
    """Make what the fixture ``mock_stream_client`` gives to one test; the first result that is not None is taken.

    Our own implementation, which makes a ``MockStreamClient``, comes last (``trylast``). If the result has a method
    ``verify``, it is called when the test is over, with ``unused="error"`` or ``"allow"``.

    Args:
        settings: what is in force for this test: marker over command line over ini file over default.
        request: the fixture's request.
    """


@pytest.hookspec(firstresult=True)
def pytest_mockstream_ignore_leak(leak: Leak, item: pytest.Item) -> bool | None:
    """Tell whether something that a test leaves running is meant to; True leaves it out, None asks the next one.

    Called before it is waited for, so that what is ignored costs no time.

    Args:
        leak: what is known of it now.
        item: the test that would be blamed.
    """


@pytest.hookspec
def pytest_mockstream_leaks_found(report: LeakReport, item: pytest.Item) -> None:
    """Take note of what a test left running, after the grace period, whether it fails the test or not.

    Args:
        report: all of it.
        item: the test that is blamed.
    """


@pytest.hookspec
def pytest_mockstream_scrub(recording: Recording) -> None:
    """Take out of a recording what nobody is to see, before it is looked through and written.

    Keys of known shapes, and the values of environment variables whose names end in KEY, TOKEN, SECRET or PASSWORD, are
    out of it already. What is changed here is what is written; a changed ``request`` needs the key that is its own.

    Args:
        recording: its ``replies`` can be changed, added to and removed.
    """
