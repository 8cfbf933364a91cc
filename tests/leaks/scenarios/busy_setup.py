"""A pytest plugin: starts a thread in the setup of every test that asks for it, and never stops it."""

from __future__ import annotations

import threading

import pytest

from .work import until_the_end


def pytest_runtest_setup(item: pytest.Item) -> None:
    if "watched" in item.name:
        threading.Thread(target=until_the_end, daemon=True).start()
