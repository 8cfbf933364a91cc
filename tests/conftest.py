from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version

import hypothesis
import pytest
from forked_runs import Forks
from hypothesis import HealthCheck, settings, strategies
from leak_runs import HEAD, INI, Run, Runner

from pytest_mockstream._base.collector import collect

pytest_plugins = ["pytester", "tiers"]

# freezegun looks at every name of every module that is loaded. These import what is asked of them only then, and
# pydantic would make models of a clock that is frozen.
with contextlib.suppress(ImportError):
    import freezegun

    freezegun.configure(extend_ignore_list=["cohere", "mistralai"])

settings.register_profile(
    "thorough", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
# The same examples each time: what is found by chance is found by `--slow`, which nobody waits for.
settings.register_profile("suite", settings.get_profile("thorough"), max_examples=50, derandomize=True)
settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """Try twice as many examples where there is time."""
    if config.getoption("--slow"):
        settings.load_profile("thorough")


if version("pytest-asyncio") < "1.4":

    def pytest_sessionstart(session: pytest.Session) -> None:
        """Give the main thread a loop: pytest-asyncio asks for one, and never closes what asyncio would make for it."""
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        session.config.add_cleanup(loop.close)


def producers() -> list[threading.Thread]:
    """Return the producer threads that are alive."""
    return [thread for thread in threading.enumerate() if thread.name == "mockstream producer"]


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Fail a test that ends with more producer threads than it began with."""
    before = set(producers())
    yield
    collect()
    for thread in set(producers()) - before:
        thread.join(60)
        assert not thread.is_alive(), f"{thread} is still running"


@pytest.fixture(scope="module")
def small_heap() -> Iterator[None]:
    """Let collections pass over what is there already, as the modules of all SDKs: they take a tenth of the time."""
    # Hypothesis makes its thread's generator at its first example and asks the collector who holds it, which does not
    # look into what is frozen: it would warn of a generator that nobody holds.
    hypothesis.find(strategies.none(), lambda _: True)
    collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def no_garbage() -> None:
    """Collect what earlier tests dropped: a client that closes itself would do so in a task of this test's loop."""
    collect()


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
        result = pytester.runpytest_subprocess(f"--mockstream-report={path}", *options, timeout=300)
        return Run(result, json.loads(path.read_text()) if path.exists() else {})

    return go


@pytest.fixture(scope="session")
def forks(pytestconfig: pytest.Config) -> Iterator[Forks | None]:
    """What forks the runs of pytest that tests start; None where each is to be a new interpreter."""
    if not hasattr(os, "fork") or pytestconfig.getoption("--slow"):
        yield None
        return
    forks = Forks()
    yield forks
    forks.close()


@pytest.fixture
def pytester(
    pytester: pytest.Pytester, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch, forks: Forks | None
) -> pytest.Pytester:
    """Give the tests that a test runs half the time that it has itself: one that hangs is shown with its stacks."""
    if forks is not None:
        monkeypatch.setattr(pytester, "popen", partial(forks.popen, pytester.popen))
    if limit := float(pytestconfig.getini("faulthandler_timeout")):
        options = f"-o faulthandler_timeout={limit / 2} -o faulthandler_exit_on_timeout=true"
        monkeypatch.setenv("PYTEST_ADDOPTS", options)
    return pytester
