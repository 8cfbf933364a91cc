"""Plugins and libraries that are known to get in the way of fake streams or of the leak check, where they are in use.

Each rule was seen at work; it names the versions that it was seen with.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import pytest

from .installed import version_of
from .report import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class _Companion:
    """One of them.

    Attributes:
        distribution: that it comes with.
        is_here: tells whether it is in use, in a way that interferes.
        does: what happens.
        remedy: what to do.
    """

    distribution: str
    is_here: Callable[[pytest.Config], bool]
    does: str
    remedy: str


def _loaded(*names: str) -> Callable[[pytest.Config], bool]:
    return lambda config: any(map(config.pluginmanager.has_plugin, names))


def _makes_loops(config: pytest.Config) -> bool:
    return (3, 12) <= sys.version_info < (3, 14) and _loaded("looptime_plugin")(config)


def _warns_on_import(config: pytest.Config) -> bool:
    return sys.version_info >= (3, 14) and _loaded("langsmith_plugin")(config)


def _closes_loopback(config: pytest.Config) -> bool:
    hosts = config.getoption("allow_hosts", None)
    if hosts is None:
        return bool(config.getoption("disable_socket", False))
    return not {"127.0.0.1", "localhost"} & {host.strip() for host in str(hosts).split(",")}


def _takes_tests_of_trio(config: pytest.Config) -> bool:
    """Tell whether pytest-asyncio's auto mode meets tests that another plugin runs on trio."""
    if not _loaded("asyncio", "pytest_asyncio.plugin")(config):
        return False
    mode = config.getoption("asyncio_mode", None) or config.getini("asyncio_mode")
    runs_trio = _loaded("trio")(config) or (_loaded("anyio")(config) and find_spec("trio") is not None)
    return mode == "auto" and runs_trio


def _stands_in_for_threads(_config: pytest.Config) -> bool:
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


COMPANIONS = (
    _Companion(
        distribution="gevent",  # 26.9
        is_here=_stands_in_for_threads,
        does="greenlets stand in for threads: once mock_stream_server runs, its loop seems to run in every test's own"
        " thread, and no async test can begin",
        remedy="Use mock_stream_sdk, or run tests with mock_stream_server in a process that gevent has not patched.",
    ),
    _Companion(
        distribution="pytest-asyncio",  # 1.5, with pytest-trio 0.8 and anyio 4.16
        is_here=_takes_tests_of_trio,
        does='its auto mode takes every async test for its own: @pytest.mark.trio ends in "ValueError: a coroutine was'
        ' expected, got None", and @pytest.mark.anyio runs on asyncio twice',
        remedy="`asyncio_mode = strict` in the ini file if tests are to run on trio.",
    ),
    _Companion(
        distribution="looptime",  # 0.9, on Python 3.12 and 3.13
        is_here=_makes_loops,
        does="its plugin makes an event loop for each test that is not async: Python warns of it, which fails the test"
        " where warnings are errors",
        remedy="`-p no:looptime_plugin` in addopts, unless tests use its marker; its loop is there without the plugin.",
    ),
    _Companion(
        distribution="pytest-run-parallel",  # 0.10
        is_here=_loaded("run-parallel"),
        does="a test that it runs in several threads has one mock_stream_* fixture for all of them: scripts and"
        " requests are everybody's, and each thread's leak is counted",
        remedy="Mark tests that look at .requests with @pytest.mark.thread_unsafe.",
    ),
    _Companion(
        distribution="pytest-socket",  # 0.8
        is_here=_closes_loopback,
        does="it refuses the sockets of this machine, too: mock_stream_server cannot be used",
        remedy="--allow-hosts=127.0.0.1 instead of --disable-socket. mock_stream_sdk needs no socket.",
    ),
    _Companion(
        distribution="pytest-httpx",  # 0.36
        is_here=_loaded("pytest_httpx"),
        does="a test with httpx_mock and mock_stream_sdk is answered by httpx_mock: scripts are never asked for",
        remedy="Use one of the two in a test.",
    ),
    _Companion(
        distribution="respx",  # 0.23
        is_here=_loaded("respx"),
        does="a test with respx_mock and mock_stream_sdk is answered by respx: scripts are never asked for",
        remedy="Use one of the two in a test.",
    ),
    _Companion(
        distribution="langsmith",  # 0.15
        is_here=_warns_on_import,
        does="its plugin warns when it is loaded, on Python 3.14: with -W error pytest does not start",
        remedy="`-p no:langsmith_plugin` in addopts, unless tests use it.",
    ),
)


def companions_in(config: pytest.Config) -> Iterator[Entry]:
    """Yield those that are in use."""
    for companion in COMPANIONS:
        if companion.is_here(config):
            version = version_of(companion.distribution)
            yield Entry(
                name=companion.distribution,
                says=f"{version or ''}: {companion.does}".removeprefix(": "),
                status="note",
                remedy=companion.remedy,
                data={"installed": version},
            )
