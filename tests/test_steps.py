"""A step of CI runs the few tests that fail once more, alone: what fails twice stops it, and what passes is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

STEPS = Path(__file__).parent.parent / ".ci" / "steps.sh"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="its steps are for Linux")


CONFTEST = """
from pathlib import Path
def pytest_addoption(parser): parser.addoption("--slow", action="store_true")
def pytest_sessionfinish(): Path("seen").touch()
"""
HEAD = """
from pathlib import Path
import pytest
FIRST = not Path("seen").exists()
"""


def step(folder: Path, tests: str, before: str = "true") -> subprocess.CompletedProcess[str]:
    """Run tests as a step does, after another command of it."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(HEAD + tests)
    own = Path(sys.executable).parent / "pytest"
    script = f". {STEPS}\nstep demo\ntests {own} limit 60 bash -ec '{before}; {own} -q'\ntell_flaky"
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": ""}
    return subprocess.run(
        ["/bin/bash", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_what_passes_alone_is_told_and_stops_nobody(tmp_path: Path) -> None:
    ran = step(tmp_path, "@pytest.mark.parametrize('n', ['a b', '100%'])\ndef test_flaky(n): assert not FIRST\n")

    told = [line for line in ran.stdout.splitlines() if line.startswith("== FLAKY")]
    assert sorted(told) == [f"== FLAKY: demo: test_it.py::test_flaky[{n}]" for n in ("100%", "a b")]
    assert ran.returncode == 0


def test_what_fails_twice_stops_the_step(tmp_path: Path) -> None:
    ran = step(tmp_path, "def test_flaky(): assert not FIRST\ndef test_broken(): assert 0\n")

    assert "FLAKY" not in ran.stdout
    assert ran.returncode == 1


def test_many_that_fail_are_not_tried_again(tmp_path: Path) -> None:
    ran = step(tmp_path, "@pytest.mark.parametrize('n', range(6))\ndef test_flaky(n): assert not FIRST\n")

    assert "once more" not in ran.stdout
    assert ran.returncode == 1


def test_step_that_fails_before_its_tests_runs_none(tmp_path: Path) -> None:
    ran = step(tmp_path, "def test_passes(): pass\n", before="false")

    assert "once more" not in ran.stdout
    assert "passed" not in ran.stdout
    assert ran.returncode == 1
