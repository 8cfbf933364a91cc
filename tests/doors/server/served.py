"""Commands that start a server in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai

from .conftest import MESSAGES, text_of

PYTHON = [sys.executable, "-W", "default", "-m", "pytest_mockstream"]


class Served:
    """A running command."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.url = self.wait_for(r" on (http:\S+) until")

    def wait_for(self, pattern: str) -> str:
        """Read its output up to a line that has the pattern, and return the group."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError(f"it ended without a word of {pattern!r}")

    def ask(self, text: str = "") -> str:
        messages: Any = [{"role": "user", "content": text}] if text else MESSAGES
        with openai.OpenAI(base_url=f"{self.url}/v1", api_key="k", max_retries=0) as client:
            return text_of(client.chat.completions.create(model="m", messages=messages, stream=True))


@contextmanager
def served(*arguments: str | Path) -> Iterator[Served]:
    """Start a command on a free port; it is ended with the block."""
    command = [*PYTHON, *map(str, arguments), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield Served(process)
        finally:
            process.kill()
