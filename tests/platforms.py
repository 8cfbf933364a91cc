"""What tests can do on some platforms only."""

from __future__ import annotations

import contextlib
import os
import sys

import pytest

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="it expects what only Linux has and says")
NEEDS_FIFOS = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no FIFOs")
NEEDS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")
NEEDS_SIGNALS = pytest.mark.skipif(sys.platform == "win32", reason="on Windows a signal ends the process at once")
NEEDS_ULIMIT = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no ulimit")


def descriptors() -> set[tuple[int, int, int]]:
    """Return the files and sockets that the process has open; none on Windows, which does not list them."""
    found = set()
    for number in [] if sys.platform == "win32" else os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):  # that of the list itself, or another thread has closed it
            status = os.fstat(int(number))
            found.add((int(number), status.st_dev, status.st_ino))
    return found
