"""A pytest plugin: refuses, in their setup, what is called ``..._refused`` or ``..._unwanted``."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.name.endswith("_refused"):
        pytest.fail("refused")
    if item.name.endswith("_unwanted"):
        pytest.skip("unwanted")
