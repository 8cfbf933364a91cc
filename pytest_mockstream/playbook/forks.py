"""Tells a process that another one, which was forked from it, has used its own copy of something."""

from __future__ import annotations

import mmap
import os
import weakref

from pytest_mockstream._base.copied import copied

_all: weakref.WeakSet[ForkedUse] = weakref.WeakSet()


class ForkedUse:
    """Whether something was used after a fork, in the child."""

    __slots__ = ("__weakref__", "_page", "_process")

    def __init__(self) -> None:
        self._process = os.getpid()
        self._page: mmap.mmap | None = None  # memory that both processes have; there is none before the first fork
        _all.add(self)

    def note(self) -> None:
        """Say that it is being used, in whichever process."""
        if self._page is not None and os.getpid() != self._process:
            self._page[0] = 1

    def __bool__(self) -> bool:
        return self._page is not None and bool(self._page[0])

    def share(self) -> None:
        """Be ready for a fork."""
        self._page = self._page or mmap.mmap(-1, 1)


def _before_fork() -> None:
    for use in copied(_all):
        use.share()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(before=_before_fork)
