"""Collects garbage, although other threads may be at it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Mapping
from typing import Any

from .clock import monotonic, sleep

_OLDEST = 2
_PAUSE = 0.001


def collect(longest: float = 1.0) -> None:
    """Collect garbage as ``gc.collect()`` does, which does nothing at all while another thread collects.

    What that thread collects was garbage before, and it lets others run in each finaliser.

    Args:
        longest: how long to wait for other threads, in seconds.
    """
    end = monotonic() + longest
    while not _collects() and monotonic() < end:
        sleep(_PAUSE)


def _collects() -> bool:
    """Collect garbage if no other thread does; tell whether that was done."""
    here = threading.get_ident()
    begun: list[bool] = []

    def note(phase: str, info: Mapping[str, Any]) -> None:
        if phase == "start" and info["generation"] == _OLDEST and threading.get_ident() == here:
            begun.append(True)

    gc.callbacks.append(note)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(note)
    return bool(begun)
