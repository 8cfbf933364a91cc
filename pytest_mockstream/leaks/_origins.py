"""Where something was made: a light frame walk at birth, and what its frames mean when a report needs them.

The wall: frames, code objects and file names only; nothing of tasks or threads.

Theory of operation. A birth may happen 100,000 times in one test, so the walk notes nothing but code object and
instruction, and stops where the event loop or pytest begins. Lines, module names and source text are worked out only for
what is reported. Whose code a frame is follows from its file alone, and each file is classified once.
"""

from __future__ import annotations

import functools
import linecache
import os
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from types import CodeType, FrameType

Frames = tuple[tuple[CodeType, int], ...]
"""Innermost first: code object and the instruction it stood at."""

USER, LIBRARY, STDLIB, OURS, BOUNDARY = range(5)

_DEPTH = 48
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STDLIB = tuple(
    {os.path.join(sysconfig.get_paths()[key], "") for key in ("stdlib", "platstdlib")}
    | {os.path.join(os.path.dirname(os.path.abspath(os.__file__)), "")}
)
_SITE = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_RUNNERS = tuple(os.sep + part + os.sep for part in ("_pytest", "pluggy", "pytest_asyncio"))
_LOOP_STEP = os.path.join("asyncio", "events.py")


@dataclass(frozen=True, slots=True)
class Site:
    """A place in source code.

    Attributes:
        file: absolute path.
        line: 1-based.
        function: the function's qualified name, without its module.
        source: the text of the line, stripped; empty if there is none to be had.
    """

    file: str
    line: int
    function: str
    source: str = ""

    def show(self, root: str = "") -> str:
        """Return ``file:line in function``, the file relative to ``root`` if it is below it."""
        inside = root and self.file.startswith(os.path.join(root, ""))
        return f"{os.path.relpath(self.file, root) if inside else self.file}:{self.line} in {self.function}"


def _classify(file: str) -> int:
    if file.startswith(_OURS):
        return OURS
    if any(part in file for part in _SITE):
        return BOUNDARY if any(runner in file for runner in _RUNNERS) else LIBRARY
    if file.startswith(_STDLIB):
        return BOUNDARY if file.endswith(_LOOP_STEP) else STDLIB
    return STDLIB if file.startswith("<") else USER


class Walk:
    """Notes the stack above a birth; remembers what each file is."""

    __slots__ = ("_kinds",)

    def __init__(self) -> None:
        self._kinds: dict[str, int] = {}

    def __call__(self, frame: FrameType | None) -> Frames:
        """Return the frames from ``frame`` outwards, to the boundary."""
        kinds = self._kinds
        frames = []
        depth = _DEPTH
        while frame is not None and depth:
            code = frame.f_code
            file = code.co_filename
            try:
                kind = kinds[file]
            except KeyError:
                kind = kinds[file] = classify(file)
            if kind == BOUNDARY:
                break
            frames.append((code, frame.f_lasti))
            frame = frame.f_back
            depth -= 1
        return tuple(frames)


@functools.lru_cache(maxsize=4096)
def classify(file: str) -> int:
    """Return whose code a file holds: ``USER``, ``LIBRARY``, ``STDLIB``, ``OURS``, or ``BOUNDARY`` of the walk."""
    return _classify(file)


def stack_of(frame: FrameType | None) -> list[FrameType]:
    """Return a running stack, innermost first."""
    stack = []
    while frame is not None:
        stack.append(frame)
        frame = frame.f_back
    return stack


def freeze(frames: Iterable[FrameType]) -> Frames:
    """Return live frames as a value that keeps nothing alive."""
    return tuple((frame.f_code, frame.f_lasti) for frame in frames)


def site_of(frames: Frames) -> Site | None:
    """Return the innermost line that is the user's own; failing that a library's; failing that none."""
    for wanted in (USER, LIBRARY):
        for code, lasti in frames:
            if classify(code.co_filename) == wanted:
                return site_at(code, _line(code, lasti))
    return None


def site_at(code: CodeType, line: int) -> Site:
    """Return a line of a function as a ``Site``."""
    return Site(code.co_filename, line, code.co_qualname, linecache.getline(code.co_filename, line).strip())


def functions_of(frames: Frames) -> tuple[str, ...]:
    """Return the dotted names of the functions, innermost first, without the standard library's."""
    return tuple(dotted(code) for code, _ in frames if classify(code.co_filename) in (USER, LIBRARY))


def dotted(code: CodeType) -> str:
    """Return ``module.qualname``."""
    return f"{_module_of(code.co_filename)}.{code.co_qualname}"


def born_of_import(frames: Frames) -> bool:
    """Return whether it happened while a module was being imported."""
    return any(code.co_filename.startswith("<frozen importlib") for code, _ in frames)


def made_by(frames: Frames, *parts: str) -> bool:
    """Return whether one of the frames inside the user's innermost one is of a file whose path has one of the parts."""
    for code, _ in frames:
        if classify(code.co_filename) == USER:
            return False
        if any(part in code.co_filename for part in parts):
            return True
    return False


def _line(code: CodeType, lasti: int) -> int:
    for start, end, line in code.co_lines():
        if start <= lasti < end and line is not None:
            return line
    return code.co_firstlineno


@functools.lru_cache(maxsize=1024)
def _module_of(file: str) -> str:
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) == file:
            return name
    return os.path.splitext(os.path.basename(file))[0]
