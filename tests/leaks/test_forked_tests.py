"""Each test in a process of its own, as pytest-forked runs them: the child judges it, and its reports carry that."""

from __future__ import annotations

import os

import pytest
from leak_runs import FORKS, Runner

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

_TESTS = """
async def test_clean(): await asyncio.create_task(asyncio.sleep(0))
async def test_task(): leak_task()
def test_thread(): leak_thread()
@pytest.fixture(scope="module")
def forgetful(): leak_thread()
def test_fixture(forgetful): pass
def test_joined():
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
"""

_EARLY = """
import threading
over = threading.Event()
threading.Thread(target=over.wait, args=(60,), daemon=True).start()
"""


def test_leaks_of_a_test_in_a_process_of_its_own_fail_it(run_leaks: Runner) -> None:
    run = run_leaks(_TESTS, conftest=FORKS)

    run.result.assert_outcomes(passed=5, errors=3)
    run.result.stdout.fnmatch_lines_random(
        [
            "ERROR test_it.py::test_task*",
            "ERROR test_it.py::test_thread*",
            "ERROR test_it.py::test_fixture*",
        ]
    )


def test_threads_of_the_parent_are_not_missed_in_its_children(run_leaks: Runner) -> None:
    run = run_leaks(_TESTS, conftest=_EARLY + FORKS)

    run.result.assert_outcomes(passed=5, errors=3)


def test_child_of_a_test_leaves_the_verdict_to_its_parent(run_leaks: Runner) -> None:
    run = run_leaks(
        """
        def test_forks():
            child = os.fork()
            if child == 0:
                leak_thread()
                os._exit(0)
            os.waitpid(child, 0)
        def test_forks_and_leaks():
            leak_thread()
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
        """.replace("\n        ", "\n"),
        "-W",
        "ignore:.*use of fork.*:DeprecationWarning",
    )

    run.result.assert_outcomes(passed=2, errors=1)
    assert [leak[0] for leak in run.leaks] == ["test_forks_and_leaks"]
