"""The in-process door: every httpx, httpx2 and aiohttp client of the process is answered from a playbook.

The wall: no wire format and no schedule, ``answer`` has both; no HTTP library is imported that the process does not
have. Clients made before, in and outside a test are caught alike, for classes are patched, not clients: for as long
as the door is open, and in libraries that are imported meanwhile, too.
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
    """Open a door: for as long, HTTP requests of the process are answered by it."""

    def bound(hook: Callable[[ModuleType, Door], Iterable[Replacement]]) -> Hook:
        return lambda library: hook(library, door)

    with hooked({name: bound(hook) for name, hook in _HOOKS.items()}):
        door.is_open = True
        try:
            yield
        finally:
            door.is_open = False
