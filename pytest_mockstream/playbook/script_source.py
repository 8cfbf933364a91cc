"""Reads a script file from disk, and again when it has changed, whatever stands at its path.

Theory of operation: a file has changed when its inode, its size or one of its times has. Two changes may have the same
time, as its clock ticks only now and then; so a file that was modified just now is read once more and compared. What is
not a regular file may block whoever opens or reads it, and is refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeAlias

from pytest_mockstream._base.clock import time_ns
from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.files import write_whole

from .script_file import ScriptFile, ScriptFileError, parse_script_file

_Stamp: TypeAlias = "tuple[int, int, int, int] | None"

_LARGEST = 2**20  # tomllib reads about this much in a second
_FRESH_NS = 2 * 10**9  # FAT, the coarsest, notes times to 2 s
_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFDIR: "a directory",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


class UnreadableError(ScriptError):
    """There is no text of a script at the path."""


class ScriptSource:
    """A script file on disk.

    Args:
        path: of the file.
        providers: every provider that a request can come for; None checks none.
        wrong_path: says what is wrong with a path that no request can have; None where nothing is.
        largest: how many bytes are read at most.

    Attributes:
        text: what the file said when it was read; None if it could not be.
    """

    def __init__(
        self,
        path: Path,
        *,
        providers: Collection[str] | None = None,
        wrong_path: Callable[[str], str | None] = lambda _path: None,
        largest: int = _LARGEST,
    ) -> None:
        self.path = path
        self._largest = largest
        self._providers = providers
        self._wrong_path = wrong_path
        self._stamp: _Stamp = None
        self.text: str | None = None
        self._has_crlf = False

    def read(self) -> ScriptFile:
        """Read the file.

        Raises:
            ScriptFileError: it has mistakes.
            UnreadableError: it is no file, or not a text, or nothing that can be read.
        """
        self._stamp = self._look()  # before it is read: what changes later is read again
        self.text = None
        self.text = self._read()
        return self.parse(self.text)

    def parse(self, text: str) -> ScriptFile:
        """Return what a text would say, if it were the file's.

        Raises:
            ScriptFileError: it has mistakes.
            UnreadableError: nothing can be made of it.
        """
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            line = 1 + text.count("\n", 0, error.start)
            raise ScriptFileError([f"{self.path}:{line}: half of a character, which no file can have"]) from None
        if size > self._largest:
            raise self._unreadable(f"it has {size} bytes; {self._largest} are read at most")
        try:
            name = str(self.path)
            return parse_script_file(text, name=name, providers=self._providers, wrong_path=self._wrong_path)
        except ScriptFileError:
            raise
        except Exception as error:  # whatever a file has in it, whoever serves it goes on
            raise self._unreadable(repr(error)) from error

    def has_changed(self) -> bool:
        """Tell whether the file is another one than when it was read, or tried to be."""
        stamp = self._look()
        if stamp != self._stamp:
            return True
        return self.text is not None and stamp is not None and _is_fresh(stamp) and self.text != self.reread()

    def write(self, text: str) -> None:
        """Write the file: all of it or nothing. A link stays one, and permissions and line ends stay what they are.

        Raises:
            OSError: it cannot be written.
        """
        target = self.path.resolve()
        data = (text.replace("\n", "\r\n") if self._has_crlf else text).encode()
        write_whole(target, data, keeps_mode=True)

    def _look(self) -> _Stamp:
        try:
            status = self.path.stat()
        except OSError:  # an editor that replaces the file has it away for a moment
            return None
        # The time of the status changes with the permissions, too, and where a program sets back the other one.
        return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino

    def reread(self) -> str | None:
        """Return what the file says now; None if it cannot be read."""
        try:
            return self._read()
        except UnreadableError:
            return None

    def _read(self) -> str:
        try:
            with open(self.path, "rb", opener=_open_at_once) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise self._unreadable(f"it is {_KINDS.get(stat.S_IFMT(status.st_mode), 'no file')}, not a file")
                content = file.read(self._largest + 1)
        except OSError as error:
            raise self._unreadable(error) from None
        if len(content) > self._largest:
            raise self._unreadable(f"it has {status.st_size} bytes; {self._largest} are read at most")
        self._has_crlf = b"\r\n" in content
        return self._decoded(content).replace("\r\n", "\n").replace("\r", "\n")

    def _decoded(self, content: bytes) -> str:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = 1 + content.count(b"\n", 0, error.start)
            msg = f"{self.path}:{line}: this is not UTF-8: {error.reason}. Save it as UTF-8"
            raise UnreadableError(msg) from None

    def _unreadable(self, why: object) -> UnreadableError:
        return UnreadableError(f"{self.path}: cannot be read: {why}")


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # or a FIFO would wait for somebody who writes


def _is_fresh(stamp: tuple[int, int, int, int]) -> bool:
    return time_ns() - max(stamp[:2]) < _FRESH_NS
