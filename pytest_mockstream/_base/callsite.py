"""Finds the line of the user's code that made a call.

It keeps strings and numbers only, never a frame, which would keep the caller's local variables alive.
"""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import CoroutineType, FrameType
from typing import Any

from .loops import running_coroutine
from .paths import comparable, is_ours, start_of


@dataclass(frozen=True, slots=True)
class CallSite:
    """A place in a source file.

    Attributes:
        filename: the path, as the interpreter has it.
        lineno: the line, from 1.
        function: the qualified name of the function.
    """

    filename: str
    lineno: int
    function: str

    def __str__(self) -> str:
        """Return ``path:line``.

        The path begins with the package if it is installed, and else below the current directory where it lies there.
        """
        folder = ""
        with contextlib.suppress(OSError):  # the current directory was removed
            folder = os.getcwd()
        return f"{_path(self.filename, folder)}:{self.lineno}"


#: The function of a call by somebody whose line nobody knows: the file is who it was, the line the port it came from.
NO_LINE = "a client that shows no line"

_NAME = __name__.partition(".")[0]
_PATHS = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
_LIBRARIES = ("<frozen ", *(start_of(path) for path in _PATHS if path))
_INSTALLED = ("site-packages", "dist-packages")


@lru_cache(maxsize=1024)
def _path(filename: str, folder: str) -> str:
    """Return a path as it is shown to somebody who stands in a folder; "" for nowhere."""
    if inside := _installed(filename):
        return "/".join(inside)
    path = Path(filename)
    if folder and path.is_relative_to(folder):
        path = path.relative_to(folder)
    return str(path)


def _installed(filename: str) -> list[str]:
    """Return the folders and the file below the innermost folder of installed packages; none for all other files."""
    compared = comparable(filename).split("/")[:-1]
    depth = next((depth for depth, folder in enumerate(reversed(compared), 1) if folder in _INSTALLED), None)
    return [] if depth is None else filename.replace("\\", "/").split("/")[-depth:]


@lru_cache(maxsize=4096)
def is_library(filename: str) -> bool:
    """Tell whether a file belongs to the standard library, to an installed package or to this one."""
    return is_ours(filename) or comparable(filename).startswith(_LIBRARIES) or bool(_installed(filename))


@lru_cache(maxsize=4096)
def package_of(filename: str) -> str | None:
    """Return the top-level name of the installed package that a file belongs to.

    Returns:
        ``""`` for the standard library and for generated code; None for the user's own files.
    """
    if inside := _installed(filename):
        return inside[0].removesuffix(".py")
    if is_ours(filename):
        return _NAME
    return "" if filename.startswith("<") or comparable(filename).startswith(_LIBRARIES) else None


def _is_of_library(frame: FrameType) -> bool:
    """Tell whether the code of a frame is a library's; what was generated, as dataclasses do it, is its module's."""
    filename = frame.f_code.co_filename
    if filename == "<string>":
        filename = str(frame.f_globals.get("__file__") or filename)
    return is_library(filename)


def calling_site(frame: FrameType | None = None) -> CallSite:
    """Return the innermost place in the user's own code; without one, the innermost outside this package.

    Args:
        frame: where to start; by default the caller of this function.
    """
    frame = frame or sys._getframe(1)
    outside: FrameType | None = None
    here: FrameType | None = frame
    while here is not None:
        filename = here.f_code.co_filename
        if not _is_of_library(here):
            return CallSite(filename, here.f_lineno, here.f_code.co_qualname)
        if outside is None and not is_ours(filename):
            outside = here
        here = here.f_back
    last = outside or frame
    return CallSite(last.f_code.co_filename, last.f_lineno, last.f_code.co_qualname)


def awaiting_site(frame: FrameType) -> CallSite:
    """Do as ``calling_site``, for a call that a task may be awaiting and whose frames may be missing from the stack.

    Where a cancellation is thrown through an awaitable that is not a coroutine (an async generator's ``asend``,
    aiohttp's request context), CPython 3.11 to 3.13 leave the frames above out of ``f_back``. The running task knows
    the outermost of them. What that awaits must not be asked of something that runs: 3.11 and 3.12 crash.
    """
    found = calling_site(frame)
    outermost: Any = running_coroutine()
    if not isinstance(outermost, CoroutineType) or outermost.cr_frame is None or not is_library(found.filename):
        return found
    code = outermost.cr_code
    own = CallSite(code.co_filename, outermost.cr_frame.f_lineno, code.co_qualname)
    return found if is_library(own.filename) else own
