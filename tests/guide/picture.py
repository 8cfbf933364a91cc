"""A picture of a leak report: what pytest prints for a test that leaks, as SVG.

The text is that of a real run, with its colours; only how long it took is not said as it was. It is readable in light
and in dark surroundings, for it brings a background for each.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from html import escape
from pathlib import Path

from .pages import project

COLUMNS = 108
TEST = """\
import asyncio


def start_pump(queue):
    async def pump():
        for number in range(100):
            await queue.put(number)

    asyncio.create_task(pump(), name="pump")


async def test_first_number():
    queue = asyncio.Queue(maxsize=2)
    start_pump(queue)
    assert await queue.get() == 0
"""
_CHARACTER, _LINE, _MARGIN = 8, 19, 16
#: What else changes what pytest prints: on a build server it does not shorten its lines.
_TELLS_PYTEST = ("CI", "BUILD_NUMBER", "NO_COLOR", "FORCE_COLOR", "PY_COLORS")
_COLOUR = re.compile("\x1b\\[([0-9;]*)m")
_COLOURS = {"31": "red", "32": "green", "33": "yellow", "36": "cyan"}
_STYLE = """
    rect { fill: #ffffff; stroke: #d0d7de }
    text { fill: #1f2328; font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre }
    .bold { font-weight: 600 } .red { fill: #cf222e } .green { fill: #1a7f37 } .yellow { fill: #9a6700 }
    .cyan { fill: #1b7c83 } .prompt { fill: #59636e }
    @media (prefers-color-scheme: dark) {
      rect { fill: #0d1117; stroke: #3d444d }
      text { fill: #e6edf3 }
      .red { fill: #ff7b72 } .green { fill: #3fb950 } .yellow { fill: #d29922 } .cyan { fill: #39c5cf }
      .prompt { fill: #9198a1 }
    }
"""


def picture() -> str:
    """Return the picture."""
    lines = ["$ pytest -q", *wrapped(printed())]
    width = round(COLUMNS * _CHARACTER + 2 * _MARGIN)
    height = len(lines) * _LINE + 2 * _MARGIN
    rows = "\n".join(_row(number, line) for number, line in enumerate(lines) if line.strip())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' role="img" aria-labelledby="title">\n'
        '  <title id="title">pytest\'s report of a test that leaks a task</title>\n'
        f"  <style>{_STYLE}  </style>\n"
        f'  <rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="6"/>\n'
        f"{rows}\n</svg>\n"
    )


def printed() -> list[str]:
    """Run the test, and return the lines that pytest prints, with its colours and without what differs each time."""
    environment = {name: value for name, value in os.environ.items() if name not in _TELLS_PYTEST}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    environment["COLUMNS"] = str(COLUMNS)
    command = [sys.executable, "-m", "pytest", "-p", "asyncio", "-p", "mockstream", "-q", "--color=yes"]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pyproject.toml").write_text(project())
        Path(folder, "test_pump.py").write_text(TEST)
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout + run.stderr
    return re.sub(r"in \d+\.\d+s", "in 0.25s", run.stdout).splitlines()


def wrapped(lines: list[str]) -> Iterator[str]:
    """Break lines that are longer than the window, between words; those with colours are as wide as it anyway."""
    for line in lines:
        if _COLOUR.search(line) or len(line) <= COLUMNS:
            yield line
        else:
            indent = " " * (len(line) - len(line.lstrip()) + 4)
            yield from textwrap.wrap(line, COLUMNS, subsequent_indent=indent, break_on_hyphens=False)


def _row(number: int, line: str) -> str:
    y = _MARGIN + number * _LINE + 14
    return f'  <text x="{_MARGIN}" y="{y}" xml:space="preserve">{"".join(_spans(line))}</text>'


def _spans(line: str) -> Iterator[str]:
    """Yield the parts of a line, each in its colours; what is beyond the window is cut off."""
    if line.startswith("$ "):
        yield f'<tspan class="prompt">$</tspan>{escape(line[1:])}'
        return
    room, colour, weight = COLUMNS, "", ""
    for position, part in enumerate(_COLOUR.split(line)):
        if position % 2:
            for code in part.split(";"):
                if code == "1":
                    weight = "bold"
                elif code in _COLOURS:
                    colour = _COLOURS[code]
                else:
                    colour = weight = ""
            continue
        text, room = escape(part[:room], quote=False), room - len(part[:room])
        classes = f"{colour} {weight}".strip()
        if text:
            yield f'<tspan class="{classes}">{text}</tspan>' if classes else text
