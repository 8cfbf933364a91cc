"""Runs of pytest of their own, under the leak check: what they print, and what the leak report says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

HEAD = """
import asyncio, os, threading, time, unittest, pytest
KEPT = []
def leak_task(seconds=3600.0):
    task = asyncio.ensure_future(asyncio.sleep(seconds))
    KEPT.append(task)
    return task
def leak_thread(seconds=5.0):
    over = threading.Event()
    thread = threading.Thread(target=over.wait, args=(seconds,), daemon=True)
    thread.start()
    return over
"""
INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
addopts = -p asyncio -p mockstream -p no:cacheprovider
"""


@dataclass
class Run:
    """One run of pytest: what it printed, what its report says."""

    result: pytest.RunResult
    data: dict[str, Any]

    @property
    def leaks(self) -> list[tuple[str, str, str, str]]:
        """Test, owner, kind and outcome of each leak."""
        return [
            (leak["test"].partition("::")[2], leak["owner"], leak["kind"], leak["outcome"])
            for leak in self.data["leaks"]
        ]

    @property
    def text(self) -> str:
        return self.result.stdout.str()


Runner = Callable[..., Run]
