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

#: A conftest file that runs each test in a process of its own, as pytest-forked does.
FORKS = """
import faulthandler, json, os, pytest
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    hook, config = item.config.hook, item.config
    reader, writer = os.pipe()
    faulthandler.cancel_dump_traceback_later()  # a child would wait for a watchdog thread that it does not have
    child = os.fork()
    if child == 0:
        reports = runtestprotocol(item, log=False, nextitem=None)
        sent = [hook.pytest_report_to_serializable(config=config, report=report) for report in reports]
        os.write(writer, json.dumps(sent).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        sent = json.loads(pipe.read())
    os.waitpid(child, 0)
    for data in sent:
        report = hook.pytest_report_from_serializable(config=config, data=data)
        hook.pytest_runtest_logreport(report=report)
    return True
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
