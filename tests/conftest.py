from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings
from leak_runs import HEAD, INI, Run, Runner

pytest_plugins = ["pytester"]

settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
settings.load_profile("suite")


def producers() -> list[threading.Thread]:
    """Return the producer threads that are alive."""
    return [thread for thread in threading.enumerate() if thread.name == "mockstream producer"]


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Fail a test that ends with more producer threads than it began with."""
    before = set(producers())
    yield
    gc.collect()
    for thread in set(producers()) - before:
        thread.join(5)
        assert not thread.is_alive(), f"{thread} is still running"


@pytest.fixture
def no_garbage() -> None:
    """Collect what earlier tests dropped: a client that closes itself would do so in a task of this test's loop."""
    gc.collect()


@pytest.fixture
def tasks(no_garbage: None) -> Callable[[], int]:
    """Count the tasks of the running loop, the test's own excluded."""
    return lambda: len(asyncio.all_tasks()) - 1


@pytest.fixture
def lean_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runs of pytest that a test starts load only those plugins that they name: it is six times as fast."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture
def run_leaks(pytester: pytest.Pytester, lean_pytest: None) -> Runner:
    """Run a test file under the leak check."""

    def go(source: str, *options: str, ini: str = "", conftest: str = "") -> Run:
        pytester.makeini(INI + ini)
        pytester.makepyfile(test_it=HEAD + source)
        if conftest:
            pytester.makeconftest(conftest)
        path = pytester.path / "report.json"
        result = pytester.runpytest_subprocess(f"--mockstream-report={path}", *options, timeout=60)
        return Run(result, json.loads(path.read_text()) if path.exists() else {})

    return go


@pytest.fixture
def pytester(
    pytester: pytest.Pytester, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """Give the tests that a test runs half the time that it has itself: one that hangs is shown with its stacks."""
    if limit := float(pytestconfig.getini("faulthandler_timeout")):
        options = f"-o faulthandler_timeout={limit / 2} -o faulthandler_exit_on_timeout=true"
        monkeypatch.setenv("PYTEST_ADDOPTS", options)
    return pytester
