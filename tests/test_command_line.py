"""``python -m pytest_mockstream``: which commands there are, and what is said to calls that make no sense."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest_mockstream", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_command_line_lists_its_commands() -> None:
    done = run("--help")

    assert done.returncode == 0
    for command in (
        "  serve    play a script file over HTTP",
        "  record   record what passes between a client and its provider",
        "  convert  make recordings of",
        "  doctor   say what works here",
    ):
        assert f"\n{command}" in done.stdout


@pytest.mark.parametrize("arguments", [(), ("dance",), ("doctor", "--dance")])
def test_call_that_makes_no_sense_is_refused(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: python -m pytest_mockstream")


def test_what_the_console_cannot_show_is_escaped(tmp_path: Path) -> None:
    script = tmp_path / "日本.toml"
    script.write_text('[[script]]\nsteps = ["hi"]', encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "pytest_mockstream", "serve", str(script), "--check"],
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},  # a pipe's on Windows
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode("cp1252").strip().endswith("\\u65e5\\u672c.toml: 1 script, no mistakes")


def test_serve_without_its_library_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "h11.py").write_text("raise ModuleNotFoundError('no h11', name='h11')")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))

    done = subprocess.run(
        [sys.executable, "-m", "pytest_mockstream", "serve", "script.toml"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("pip install 'pytest-mockstream[server]'")
