"""Compares the names of source files, of any platform on any platform.

What the interpreter calls a file (``co_filename``, ``__file__``) has the separator of its platform; on Windows that is
now one, now the other, and large and small letters are the same.

PYTEST_DONT_REWRITE: it has no asserts, and every run loads it.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

_LONG = "//?/"  # how Windows begins a path that may be longer than 260 characters


@lru_cache(maxsize=4096)
def comparable(filename: str) -> str:
    """Return a file's name in the one spelling that tells whether two are the same: with ``/``.

    A name that begins with a drive or a share, as on Windows, is in small letters, too.
    """
    text = filename.replace("\\", "/").removeprefix(_LONG)
    return text.lower() if text[1:2] == ":" or text.startswith("//") else text


def start_of(folder: str) -> str:
    """Return how the comparable names of all files in a folder begin."""
    return comparable(folder).rstrip("/") + "/"


_OURS = start_of(os.path.dirname(os.path.dirname(__file__)))


@lru_cache(maxsize=4096)
def is_ours(filename: str) -> bool:
    """Tell whether a file belongs to this package."""
    return comparable(filename).startswith(_OURS)


def relative(filename: str, folder: str, *, system: Any = os.path) -> str:
    """Return a file's path from a folder; on another drive than that, where Windows knows no such path, its whole path.

    Args:
        filename: the file.
        folder: where the path is to begin.
        system: ``os.path``, or that of another platform.
    """
    try:
        return str(system.relpath(filename, folder))
    except ValueError:
        return filename
