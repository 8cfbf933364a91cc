"""Chooses the script of a request: on the server's loop, or in a thread where that calls a function of the user's.

Theory of operation: such a function may do anything: queue a script, ask this very server, block, never return. On the
loop it would stop everybody. So each request whose choice needs one gets a daemon thread for it. Whoever waits for the
choice stops waiting when the client leaves, or when a function that computes the answer takes too long, and the
playbook tells the test of a function that has not returned.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream.doors.answer import Asked, Chosen
from pytest_mockstream.playbook import computed
from pytest_mockstream.playbook.playbook import Playbook

from .connection import Connection

#: More threads than these at once are one predicate that asks the server about each of its own requests.
_MOST_THREADS = 32
_running: set[threading.Thread] = set()


async def choose(asked: Asked, playbook: Playbook, connection: Connection) -> Chosen | None:
    """Return the script that answers a request, or why there is none; None if the client left first."""
    if not playbook.asks_user_code:
        return asked.choose()
    if len(_running) >= _MOST_THREADS:
        error = ScriptError(
            f"{_MOST_THREADS} predicates run at once: one that asks the model must not be asked about its own requests"
            " without end"
        )
        playbook.remember(error)
        return error
    loop = asyncio.get_running_loop()
    chosen: asyncio.Future[Chosen | None] = loop.create_future()

    def run() -> None:
        try:
            choice = asked.choose()
        except BaseException as error:
            choice = ScriptError(f"a predicate raised {error!r}, asked about {asked.request}")
            choice.__cause__ = error
            playbook.remember(choice)
        finally:
            _running.discard(thread)
        with contextlib.suppress(RuntimeError):  # the server was stopped, and its loop is closed
            loop.call_soon_threadsafe(_resolve, chosen, choice)

    connection.on_lost = lambda _by_client: _resolve(chosen, None)

    def give_up() -> None:
        if function := playbook.calls.running_for(asked.request, computed.ComputedScript):
            error = ScriptError(f"{asked.request} was not answered: {function}")
            playbook.remember(error)
            _resolve(chosen, error)
        elif not chosen.done():  # a predicate may take its time
            loop.call_later(computed.LONGEST, give_up)

    timer = loop.call_later(computed.LONGEST, give_up)
    name = f"mockstream server: predicates for request {asked.request.number}"
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name=name, daemon=True)
    _running.add(thread)
    thread.start()
    try:
        return None if connection.lost else await chosen
    finally:
        timer.cancel()
        connection.on_lost = None


def _resolve(chosen: asyncio.Future[Chosen | None], choice: Chosen | None) -> None:
    if not chosen.done():
        chosen.set_result(choice)
