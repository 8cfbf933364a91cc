"""A library that starts a thread when it is first used."""

from __future__ import annotations

import functools
import threading

from .work import until_the_end


@functools.cache
def shared() -> threading.Thread:
    """Return the one flusher of the process."""
    thread = threading.Thread(target=until_the_end, name="flusher", daemon=True)
    thread.start()
    return thread
