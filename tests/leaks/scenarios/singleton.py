"""A library that starts a thread when it is first used."""

from __future__ import annotations

import functools
import threading

from .work import AFTERWARDS


class Flusher:
    """Works in a thread of its own."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._over.wait, name="flusher", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._over.set()
        self._thread.join()


@functools.cache
def shared() -> Flusher:
    """Return the one flusher of the process."""
    flusher = Flusher()
    flusher.start()
    AFTERWARDS.callback(flusher.stop)
    return flusher
