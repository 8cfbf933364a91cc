"""The pages of the guide, and the blocks of code in them.

A page is the README or one of the Markdown files in ``examples/``. What a block needs, and what must come of it, stands
in comments right above it, which no reader sees:

- ``<!-- needs: openai -->``: the block is skipped where one of these modules is missing;
- ``<!-- options: --mockstream-leaks=warn -->``: pytest gets these, too;
- ``<!-- outcome: passed=1 errors=1 -->``: default is that every test in it passes;
- ``<!-- output -->`` above a block of text: the block of Python before it prints these very lines.

A block that begins with the name of a file is that file. One that is no test file, or that belongs into
``pyproject.toml``, holds for all later blocks of its chapter; the first ``pyproject.toml`` of the README holds for the
whole guide, for the reader was told to write it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
EXAMPLES = ROOT / "examples"
PAGES = (README, *sorted(EXAMPLES.glob("*.md")))

_FENCE = re.compile(
    r"^(?P<notes>(?:<!-- [^\n]* -->\n)*)```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_NOTE = re.compile(r"<!-- (?P<name>\w+)(?:: (?P<value>.*?))? -->")
_CHAPTER = re.compile(r"^## ", re.MULTILINE)
_FILE = re.compile(r"\A# (?P<name>[\w.]+\.(?:py|toml))$", re.MULTILINE)
_TABLE = "[tool.pytest.ini_options]\n"


@dataclass(frozen=True)
class Block:
    """One block of code.

    Attributes:
        page: the file it is in.
        line: its first line, from 1.
        language: as its fence says.
        code: its text.
        notes: the comments above it, by name.
        files: what has to be there when it runs: name and content.
        outputs: what it prints.
    """

    page: Path
    line: int
    language: str
    code: str
    notes: Mapping[str, str]
    files: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        """The name of the file that it is, or None if it does not say so."""
        match = _FILE.match(self.code)
        return match["name"] if match else None

    @property
    def is_test(self) -> bool:
        """Whether pytest can run it."""
        return self.language == "python" and (self.file is None or self.file.startswith("test_"))


def blocks(page: Path) -> list[Block]:
    """Return all blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        notes = {note["name"]: note["value"] or "" for note in _NOTE.finditer(match["notes"])}
        line = text[: match.start("code")].count("\n") + 1
        found.append(Block(page, line, match["language"], match["code"], notes))
    return found


def project() -> str:
    """Return the ``pyproject.toml`` that the README tells its reader to write."""
    return next(block.code for block in blocks(README) if block.file == "pyproject.toml")


def runnable(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page that pytest can run, each with the files and the output that belong to it."""
    text = page.read_text(encoding="utf-8")
    starts = [text[: match.start()].count("\n") for match in _CHAPTER.finditer(text)]
    chapter = -1
    files: dict[str, str] = {}
    waiting: Block | None = None
    for block in blocks(page):
        if (now := sum(start < block.line for start in starts)) != chapter:
            chapter, files = now, {}
        if waiting is not None and "output" in block.notes:
            waiting = replace(waiting, outputs=(*waiting.outputs, block.code))
            continue
        if block.is_test:
            if waiting is not None:
                yield waiting
            waiting = replace(block, files={"pyproject.toml": project(), **files})
        elif block.file == "pyproject.toml" and block.code != project():
            files["pyproject.toml"] = project() + block.code.partition(_TABLE)[2]
        elif block.file is not None and block.file != "pyproject.toml":
            files[block.file] = block.code
    if waiting is not None:
        yield waiting
