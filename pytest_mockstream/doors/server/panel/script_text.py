"""The text of the script that a server plays: as its file has it, or as somebody has edited it on the page.

Theory of operation: the file is looked at in one thread and edited from another, so everything here takes a lock. What
is played is what was told last: a file that has changed, or a text of the page. Only the file that the server was
started with is ever written, and only if it still is what the edited text was made of.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.wording import counted
from pytest_mockstream.playbook.script_file import ScriptFile, ScriptFileError
from pytest_mockstream.playbook.script_source import ScriptSource

from .control import CommandError

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_TOML_PLACE = re.compile(r"\(at line (?P<line>\d+), column (?P<column>\d+)\)")


class Problem(NamedTuple):
    """What is wrong with a script file.

    Attributes:
        line: from 1.
        column: from 1; None where only the line is known.
        text: as ``serve --check`` tells it, without the file's name.
    """

    line: int | None
    column: int | None
    text: str


class ScriptText:
    """The script of a server, its text and its file.

    Args:
        source: the file.
    """

    def __init__(self, source: ScriptSource) -> None:
        self.source = source
        self._play: Callable[[ScriptFile], None] = lambda _content: None
        self._lock = threading.RLock()
        self._edited: str | None = None
        self._problems: list[Problem] = []
        #: The line that each script of what is played begins at.
        self.lines: tuple[int, ...] = ()
        #: Called when something here has changed, in any thread.
        self.changed: Callable[[], object] = lambda: None

    def play_with(self, play: Callable[[ScriptFile], None], content: ScriptFile) -> None:
        """Have a function play what is to be played from now on: first of all what the file said when it was read."""
        self._play = play
        self._now(content, None)

    def look(self) -> ScriptFile | None:
        """Read the file and play it if it has changed; return what it says, None if it has not.

        Raises:
            ScriptError: it cannot be read, or has mistakes; what was played before goes on.
        """
        with self._lock:
            return self._read() if self.source.has_changed() else None

    def _read(self) -> ScriptFile:
        try:
            content = self.source.read()
        except ScriptError as error:
            self._problems = problems_of(error, str(self.source.path))
            self.changed()
            raise
        self._now(content, None)
        return content

    def _now(self, content: ScriptFile, edited: str | None) -> None:
        self._play(content)
        self._edited, self._problems = edited, []
        self.lines = content.lines
        self.changed()

    def state(self) -> dict[str, Any]:
        """Return what the page shows."""
        with self._lock:
            text = self.source.text
            return {
                "path": str(self.source.path),
                "text": text,
                "base": None if text is None else digest(text),
                "played": self._edited if self._edited is not None else text,
                "edited": self._edited is not None,
                "problems": [problem._asdict() for problem in self._problems],
            }

    def check(self, text: object) -> tuple[list[Problem], int]:
        """Return what is wrong with a text, and how many scripts it has if nothing is."""
        try:
            return [], len(self._parsed(text).scripts)
        except ScriptError as error:
            return problems_of(error, str(self.source.path)), 0

    def play(self, text: object) -> None:
        """Play a text from now on, and leave the file as it is.

        Raises:
            CommandError: it has mistakes.
        """
        with self._lock:
            content = self._checked(text)
            assert isinstance(text, str)  # noqa: S101 - it has been parsed
            self._now(content, None if text == self.source.text else text)

    def save(self, text: object, base: object, *, overwrite: bool) -> None:
        """Write a text into the file, and play it.

        Args:
            text: what the file is to say.
            base: the digest of the text that it was made of.
            overwrite: whether it is written, too, if the file says something else by now.

        Raises:
            CommandError: it has mistakes, the file has changed meanwhile, or cannot be written.
        """
        with self._lock:
            self._checked(text)
            assert isinstance(text, str)  # noqa: S101 - it has been parsed
            now = self.source.reread()
            if not overwrite and (now is None or digest(now) != base):
                msg = f"{self.source.path} is not what it was when the page got it: look at it first, or save over it"
                raise CommandError(msg, 409)
            try:
                self.source.write(text)
                self._read()
            except (OSError, ScriptError) as error:
                raise CommandError(f"{self.source.path} cannot be written: {error}", 409) from None

    def _checked(self, text: object) -> ScriptFile:
        problems, _ = self.check(text)
        if problems:
            told = "\n".join(problem.text for problem in problems)
            raise CommandError(f"{counted(len(problems), 'mistake')}:\n{told}")
        return self._parsed(text)

    def _parsed(self, text: object) -> ScriptFile:
        if not isinstance(text, str):
            raise CommandError(f"text={text!r:.80}: give the text of a script file")
        return self.source.parse(text)


def digest(text: str) -> str:
    """Return what tells one text from another."""
    return sha256(text.encode(errors="surrogatepass")).hexdigest()


def problems_of(error: ScriptError, name: str) -> list[Problem]:
    """Return what is wrong with a script file, each with its place."""
    told = error.problems if isinstance(error, ScriptFileError) else [str(error)]
    return [_placed(problem.removeprefix(f"{name}:")) for problem in told]


def _placed(problem: str) -> Problem:
    line, colon, text = problem.partition(":")
    if colon and line.isdigit():
        return Problem(int(line), None, text.strip())
    if (found := _TOML_PLACE.search(problem)) is not None:
        return Problem(int(found["line"]), int(found["column"]), problem.strip())
    return Problem(None, None, problem.strip())
