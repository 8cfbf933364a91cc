"""The hooks that the plugin offers to ``conftest.py`` and to other plugins.

The wall: declarations only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ._settings import Settings


@pytest.hookspec(firstresult=True)
def pytest_mockstream_make_client(settings: Settings, request: pytest.FixtureRequest) -> object:
    """Make what the fixture ``mock_stream_client`` gives to one test; the first result that is not None is taken.

    Our own implementation, which makes a ``MockStreamClient``, comes last (``trylast``). If the result has a method
    ``verify``, it is called when the test is over, with ``unused="error"`` or ``"allow"``.

    Args:
        settings: what is in force for this test: marker over command line over ini file over default.
        request: the fixture's request.
    """
