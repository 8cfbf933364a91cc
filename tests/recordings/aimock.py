"""Runs aimock, another project's fake of many providers, in a process of its own: nobody here wrote what it says.

It comes from npm, at a pinned version, once for each run of the tests: https://www.npmjs.com/package/@copilotkit/aimock
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PACKAGE = "@copilotkit/aimock"
VERSION = "1.43.0"


def missing() -> str | None:
    """Return what has to be installed for it to run; None if all is there."""
    lacks = [name for name in ("node", "npm") if shutil.which(name) is None]
    return f"{' and '.join(lacks)} is not installed: nothing is tested against {PACKAGE}" if lacks else None


def installed(folder: Path) -> Path:
    """Install it, and return its program.

    Raises:
        subprocess.CalledProcessError: npm cannot.
    """
    command = ["npm", "install", "--prefix", str(folder), "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run([*command, f"{PACKAGE}@{VERSION}"], check=True, capture_output=True, timeout=300)
    return folder / "node_modules" / PACKAGE / "dist" / "cli.js"


@contextmanager
def running(program: Path, fixtures: list[dict[str, Any]], folder: Path) -> Iterator[str]:
    """Run it on a free port of this machine, and yield its URL."""
    path = folder / "fixtures.json"
    path.write_text(json.dumps({"fixtures": fixtures}), encoding="utf-8")
    command = ["node", str(program), "--port", "0", "--host", "127.0.0.1", "--fixtures", str(path), "--strict"]
    process = subprocess.Popen(
        [*command, "--log-level", "info", "--chunk-size", "7"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if (found := re.search(r"http://127\.0\.0\.1:\d+", line)) is not None:
                yield found[0]
                return
        raise AssertionError(f"aimock did not start: {''.join(said)}")
    finally:
        process.terminate()
        process.communicate(timeout=30)
