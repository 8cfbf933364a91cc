"""A plugin for runs of pytest: the functions of installed packages have the file names that they had on Windows.

Only the names: that what tells one file from the other does not hang on the separator is seen on any platform so.
"""

from __future__ import annotations

import sys
from types import CodeType, FunctionType, ModuleType
from typing import Any

import anyio._backends._asyncio

_PACKAGES = ("pluggy", "_pytest", "pytest_asyncio", "anyio")
SITE = r"C:\Users\x\venv\Lib\site-packages"


def on_windows(code: CodeType) -> CodeType:
    """Return code as Python on Windows compiles it, with all that it defines."""
    inside = code.co_filename.rpartition("/site-packages/")[2].replace("/", "\\")
    constants = tuple(on_windows(each) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_filename=rf"{SITE}\{inside}", co_consts=constants)


def _functions(thing: Any, seen: set[int]) -> None:
    for each in list(vars(thing).values()):
        function = getattr(each, "__func__", each)  # of a class method or a static one
        function = getattr(function, "fget", function)
        function = getattr(function, "__wrapped__", function)
        if isinstance(function, FunctionType) and "/site-packages/" in function.__code__.co_filename:
            function.__code__ = on_windows(function.__code__)
        elif isinstance(each, type) and id(each) not in seen:
            seen.add(id(each))
            _functions(each, seen)


def rename() -> None:
    """Rename what is loaded."""
    seen: set[int] = set()
    for name, module in sys.modules.copy().items():
        if isinstance(module, ModuleType) and name.partition(".")[0] in _PACKAGES:
            _functions(module, seen)


rename()
assert anyio._backends._asyncio.WorkerThread.run.__code__.co_filename == rf"{SITE}\anyio\_backends\_asyncio.py"
