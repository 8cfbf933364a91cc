"""Patches the HTTP libraries of the process, so that a ``Door`` answers their requests while it is open.

It imports no HTTP library that the process has not imported; those that are imported while the door is open are patched
then. Classes are patched, not clients, so it does not matter when a client was made.

Theory of operation: a patch asks which door is open. Each door that opens puts its patches over those of everybody
else, and what is opened last answers first. The patches of the first one stay as long as the guard is up, below: should
somebody who was there before a door leave before it, and take its patches along, these still answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType

from pytest_mockstream._base.replace import Hook, Replacement, hooked
from pytest_mockstream.doors.guard import keep

from .cassettes import above_cassettes
from .door import OPEN, Door
from .httpcore import httpcore_hook
from .urllib3 import urllib3_hook

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

__all__ = ["Door", "opened"]


def _aiohttp_hook(library: ModuleType) -> Iterable[Replacement]:
    from .aiohttp import aiohttp_hook  # it subclasses aiohttp's classes, which are there by now

    return aiohttp_hook(library)


_HOOKS: dict[str, Hook] = {
    "httpcore": httpcore_hook,
    "httpcore2": httpcore_hook,
    "aiohttp": _aiohttp_hook,
    "urllib3.connection": urllib3_hook,
}


@contextmanager
def opened(door: Door) -> Iterator[None]:
    """Open a door: in the block, it answers the HTTP requests of the process."""
    keep(_HOOKS)
    with hooked(_HOOKS), hooked(above_cassettes(door)), hooked(door.drains.hooks() if door.records else {}):
        door.is_open = True
        OPEN.append(door)
        try:
            yield
        finally:
            OPEN.remove(door)
            door.is_open = False
            door.drains.end()
