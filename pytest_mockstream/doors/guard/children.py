"""Gives the processes that are started while the guard is up an environment that leads to no provider.

A process of ``multiprocessing`` that is not forked gets a guard of its own. Any other program has its environment only:
one that takes its provider's address from elsewhere reaches it, with a key that is none.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from pytest_mockstream._base.replace import Replacement

from .judge import GUARD, wire

#: The port for discarding (RFC 863): nobody listens there.
NOWHERE = "http://127.0.0.1:9/pytest-mockstream-lets-no-child-reach-a-provider"
FAKE_KEY = "mockstream-fake-key"
#: openai-agents sends what was said to OpenAI, whatever the base URL is, as soon as it finds a key.
UNTRACED = {"OPENAI_AGENTS_DISABLE_TRACING": "1"}
#: What Python tells audit hooks before it starts another program in the environment of C.
LAUNCHES = ("os.exec", "os.posix_spawn", "os.spawn", "os.system")
_ENV = 9  # the position of ``env`` among the arguments of Popen after the first


def dead_ends(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what is to be changed in an environment, so that what reads it reaches no provider.

    A base URL that leads to no provider was chosen by somebody, and stays, with its key: another door's, or a server
    of the user's own.
    """
    changes: dict[str, str] = {}
    for variables in wire().VARIABLES:
        given = environment.get(variables.base_url or "") or ""
        host = _host_of(given) if given else variables.host
        if host is None or GUARD.refusal(host) is None:
            continue
        if variables.base_url is not None:
            changes[variables.base_url] = NOWHERE
        changes |= dict.fromkeys((key for key in variables.keys if environment.get(key)), FAKE_KEY)
    if FAKE_KEY in (changes.get("OPENAI_API_KEY"), environment.get("OPENAI_API_KEY")):
        changes |= {name: value for name, value in UNTRACED.items() if name not in environment}
    return changes


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url if "//" in url else f"//{url}").hostname
    except ValueError:
        return None


def before_launch(*_: object) -> None:
    """Change the environment of C, which ``os.system`` and the like pass on, and nothing that Python sees of it."""
    for name, value in dead_ends(os.environ).items():
        os.putenv(name, value)


def subprocess_hook(library: ModuleType) -> Iterator[Replacement]:
    """Return what to replace in ``subprocess``."""

    def starting(original: Callable[..., Any]) -> Callable[..., Any]:
        def init(process: Any, args: Any, *rest: Any, **kwargs: Any) -> None:
            given = rest[_ENV] if len(rest) > _ENV else kwargs.get("env")
            environment = _as_text(os.environ if given is None else given)
            if changes := dead_ends(environment):
                if len(rest) > _ENV:
                    rest = (*rest[:_ENV], environment | changes, *rest[_ENV + 1 :])
                else:
                    kwargs["env"] = environment | changes
            original(process, args, *rest, **kwargs)

        return init

    yield Replacement(library.Popen, "__init__", starting)


def _as_text(environment: Mapping[Any, Any]) -> dict[str, str]:
    return {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()}


def multiprocessing_hook(library: ModuleType) -> Iterator[Replacement]:
    """Return what to replace in ``multiprocessing``: a process that is not forked is pickled, with its guard."""

    def starting(original: Callable[..., Any]) -> Callable[..., Any]:
        def start(process: Any) -> None:
            process._mockstream_guard = _Guarded(GUARD.allowed)
            try:
                original(process)
            finally:
                del process._mockstream_guard

        return start

    yield Replacement(library.BaseProcess, "start", starting)


class _Guarded:
    """Puts up a guard in the process where it is unpickled."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed

    def __reduce__(self) -> Any:
        return _guard_this_process, (self._allowed,)


def _guard_this_process(allowed: frozenset[str]) -> None:
    from . import held

    kept = ExitStack()
    kept.enter_context(held())
    atexit.register(kept.close)  # before the interpreter takes its modules apart
    GUARD.is_child = True
    GUARD.allow(allowed)
    os.environ.update(dead_ends(os.environ))
