"""Finds the line of the user's code that made a call.

It keeps strings and numbers only, never a frame, which would keep the caller's local variables alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import CoroutineType, FrameType
from typing import Any


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
        path = Path(self.filename)
        if package_of(self.filename):
            folder = next((folder for folder in _INSTALLED if folder in path.parts), None)
            if folder is not None:
                return f"{'/'.join(path.parts[len(path.parts) - path.parts[::-1].index(folder) :])}:{self.lineno}"
        with contextlib.suppress(ValueError, OSError):  # it lies elsewhere, or the current directory was removed
            path = path.relative_to(Path.cwd())
        return f"{path}:{self.lineno}"


def _start_of(folder: PurePath) -> str:
    """Return how the path of each file in a folder begins, with the separator of the platform."""
    return str(folder / "_")[:-1]


_OURS = _start_of(Path(__file__).parent.parent)
_PATHS = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
_LIBRARIES = (_OURS, "<frozen ", *(_start_of(Path(path)) for path in _PATHS if path))


_INSTALLED = ("site-packages", "dist-packages")
_INSIDE_INSTALLED = tuple(f"{os.sep}{folder}{os.sep}" for folder in _INSTALLED)


def is_library(filename: str) -> bool:
    """Tell whether a file belongs to the standard library, to an installed package or to this one."""
    return filename.startswith(_LIBRARIES) or any(part in filename for part in _INSIDE_INSTALLED)


def package_of(filename: str) -> str | None:
    """Return the top-level name of the installed package that a file belongs to.

    Returns:
        ``""`` for the standard library and for generated code; None for the user's own files.
    """
    parts = Path(filename).parts
    for folder in _INSTALLED:
        if folder in parts[:-1]:
            return parts[len(parts) - parts[::-1].index(folder)].removesuffix(".py")
    if filename.startswith(_OURS):
        return Path(_OURS).name
    return "" if filename.startswith(_LIBRARIES) or filename.startswith("<") else None


def is_ours(filename: str) -> bool:
    """Tell whether a file belongs to this package."""
    return filename.startswith(_OURS)


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
        if not is_library(filename):
            return CallSite(filename, here.f_lineno, here.f_code.co_qualname)
        if outside is None and not is_ours(filename):
            outside = here
        here = here.f_back
    last = outside or frame
    return CallSite(last.f_code.co_filename, last.f_lineno, last.f_code.co_qualname)


def awaiting_site(frame: FrameType) -> CallSite:
    """Do as ``calling_site``, for a call that a task may be awaiting and whose frames may be missing from the stack.

    Where a coroutine is resumed through an awaitable that is not a coroutine (an async generator's ``asend``, aiohttp's
    request context), CPython 3.11 to 3.13 may leave the frames above out of ``f_back``. The running task knows them.
    """
    found = calling_site(frame)
    task = asyncio.current_task() if asyncio._get_running_loop() is not None else None
    awaiting: Any = None if task is None else task.get_coro()
    chain = []
    while isinstance(awaiting, CoroutineType) and awaiting.cr_frame is not None:
        code = awaiting.cr_code
        if not is_library(code.co_filename):
            chain.append(CallSite(code.co_filename, awaiting.cr_frame.f_lineno, code.co_qualname))
        awaiting = awaiting.cr_await
    is_awaited = any((site.filename, site.function) == (found.filename, found.function) for site in chain)
    return chain[-1] if is_awaited else found
