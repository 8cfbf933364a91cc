from __future__ import annotations

import pytest

from pytest_mockstream import ScriptError
from pytest_mockstream._base.legal import hosts


@pytest.mark.parametrize(
    "host",
    ["api.example.com", "API.example.com", ".example.com", "localhost:8000", "10.0.0.1", "::1", "[::1]:8000", "db"],
)
def test_host_is_taken_in_lower_case(host: str) -> None:
    assert hosts([host], "passthrough") == (host.lower(),)


@pytest.mark.parametrize(
    "host",
    ["", ".", "*.example.com", "a.example.com,b.example.com", "api.example.com ", "https://a", "a/b", "a:b", "u@a", 3],
)
def test_what_is_no_host_is_refused(host: object) -> None:
    with pytest.raises(ScriptError, match=r"^passthrough=.*: give hosts, such as"):
        hosts([host], "passthrough")
