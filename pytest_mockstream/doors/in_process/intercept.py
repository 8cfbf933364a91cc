"""Patches the HTTP libraries of the process, so that a ``Door`` answers their requests while it is open.

It imports no HTTP library that the process has not imported; those that are imported while the door is open are patched
then. Classes are patched, not clients, so it does not matter when a client was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType

from pytest_mockstream._base.replace import Hook, Replacement, hooked

from .door import Door
from .guard import http_client_hook, loop_hook, socket_hook
from .httpcore import httpcore_hook

__all__ = ["Door", "opened"]


def _aiohttp_hook(library: ModuleType, door: Door) -> Iterable[Replacement]:
    from .aiohttp import aiohttp_hook  # it subclasses aiohttp's classes, which are there by now

    return aiohttp_hook(library, door)


_HOOKS: dict[str, Callable[[ModuleType, Door], Iterable[Replacement]]] = {
    "httpcore": httpcore_hook,
    "httpcore2": httpcore_hook,
    "aiohttp": _aiohttp_hook,
    "socket": socket_hook,
    "asyncio": loop_hook,
    "uvloop": loop_hook,
    "http.client": http_client_hook,
}


@contextmanager
def opened(door: Door) -> Iterator[None]:
    """Open a door: in the block, it answers the HTTP requests of the process."""

    def bound(hook: Callable[[ModuleType, Door], Iterable[Replacement]]) -> Hook:
        return lambda library: hook(library, door)

    with hooked({name: bound(hook) for name, hook in _HOOKS.items()}):
        door.is_open = True
        try:
            yield
        finally:
            door.is_open = False
