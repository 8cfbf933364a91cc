"""Says why something does not end, and what to do about it, only where that is certain.

It recognises the waits of the standard library by their code objects, and those of other modules by module and name. It
never guesses from names in the user's code.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import asyncio.locks
import asyncio.queues
import asyncio.streams
import asyncio.tasks
import itertools
import queue
import selectors
import socket
import threading
from collections.abc import Callable, Mapping
from types import CodeType, FrameType
from typing import Any, TypeAlias

from pytest_mockstream._base.callsite import is_library

from . import interpreter
from .awaiters import awaiter_of
from .settle import waits_back
from .stacks import Stop

Teller: TypeAlias = Callable[[Stop], tuple[str, str]]

CANCEL_TASK = "Cancel and await it when it is no longer needed."
CANCEL_PRODUCER = "Cancel and await it when the consumer ends."
END_THREAD = "Tell it to stop and join it."
END_JOB = "Wait for the job, or make it end early."


def diagnose_task(stops: list[Stop], task: asyncio.Task[Any]) -> tuple[str | None, str]:
    """Return the diagnosis, or None, and the remedy."""
    loop = task.get_loop()
    if loop.is_closed():
        return "Its loop was closed while it was pending.", CANCEL_TASK
    if (other := waits_back(task)) is not None:
        return f"It and task {other.get_name()!r} wait for each other.", "Cancel one of them, and await both."
    diagnosis, remedy = _told(stops, _TASK_WAITS) or (None, CANCEL_TASK)
    awaiter = awaiter_of(task)
    if awaiter is None:
        return diagnosis, remedy
    place = f" at {awaiter.site}" if awaiter.site else ""
    awaited = f"Task {awaiter.name!r} awaits it{place}."
    if awaiter.to_cancel:
        remedy = f"Cancel and await task {awaiter.to_cancel!r} when it is no longer needed: this one ends with it."
    return f"{diagnosis} {awaited}" if diagnosis else awaited, remedy


def diagnose_thread(stops: list[Stop]) -> tuple[str | None, str]:
    """Return the diagnosis, or None, and the remedy."""
    return _told(stops, _THREAD_WAITS) or (None, END_THREAD)


def _told(stops: list[Stop], waits: Mapping[CodeType, Teller]) -> tuple[str, str] | None:
    """Ask the outermost of the known waits that follow each other from the innermost frame on.

    ``Queue.put`` waits by ``Condition.wait``; a known wait further out, with other code in between, is no certainty.
    """
    waiting = list(itertools.takewhile(lambda stop: is_library(stop.site.filename), stops))
    told = [teller(stop) for stop in waiting if (teller := waits.get(stop.code) or _loaded(stop)) is not None]
    return told[-1] if told else None


def _loaded(stop: Stop) -> Teller | None:
    """Return what is known of a function of a module that this one need not import: whoever waits there has."""
    named = _BY_NAME.get(stop.code.co_qualname)
    return named[1] if named is not None and stop.frame.f_globals.get("__name__") == named[0] else None


def _join(stop: Stop) -> tuple[str, str]:
    """Tell whether the thread that is joined joins this one."""
    other = stop.frame.f_locals.get("self")
    frame = interpreter.frames().get(getattr(other, "ident", None) or 0)
    while frame is not None:
        if frame.f_code is stop.code and _is_within(stop.frame, frame.f_locals.get("self")):
            return f"It and thread {getattr(other, 'name', '?')!r} wait for each other.", "Join one of them elsewhere."
        frame = frame.f_back
    return "It waits for another thread to end.", END_THREAD


def _is_within(frame: FrameType, thread: Any) -> bool:
    """Tell whether a frame is one of a thread's."""
    here = interpreter.frames().get(getattr(thread, "ident", None) or 0)
    while here is not None and here is not frame:
        here = here.f_back
    return here is not None


def _socket(stop: Stop) -> tuple[str, str]:
    reader = stop.frame.f_locals.get("self")
    sock = getattr(reader, "_sock", None)
    forever = sock is not None and sock.gettimeout() is None
    return f"It reads from a socket{', with no time-out' if forever else ''}.", "Close the connection, and join it."


def _said(diagnosis: str, remedy: str) -> Teller:
    return lambda stop: (diagnosis, remedy)


def _put(remedy: str) -> Teller:
    def tell(stop: Stop) -> tuple[str, str]:
        waiting = stop.frame.f_locals.get("self")
        size = getattr(waiting, "maxsize", None)
        return f"It is blocked on a full queue (maxsize {size}): its consumer stopped reading.", remedy

    return tell


def _code(function: object) -> CodeType | None:
    return getattr(function, "__code__", None)


def _table(*rows: tuple[object, Teller]) -> dict[CodeType, Teller]:
    return {code: tell for function, tell in rows if (code := _code(function)) is not None}


_TASK_WAITS = _table(
    (asyncio.queues.Queue.put, _put(CANCEL_PRODUCER)),
    (
        asyncio.queues.Queue.get,
        _said("It waits on an empty queue that nobody fills.", "Cancel and await it when its producer ends."),
    ),
    (asyncio.queues.Queue.join, _said("It waits for the items of a queue to be marked as done.", CANCEL_TASK)),
    (asyncio.tasks.sleep, _said("It is sleeping.", CANCEL_TASK)),
    (asyncio.locks.Lock.acquire, _said("It waits for a lock that is held.", CANCEL_TASK)),
    (
        asyncio.locks.Event.wait,
        _said("It waits for an event that nobody sets.", "Set the event, or cancel and await it."),
    ),
    (asyncio.locks.Condition.wait, _said("It waits for a condition that nobody notifies.", CANCEL_TASK)),
    (asyncio.locks.Semaphore.acquire, _said("It waits for a semaphore that is taken.", CANCEL_TASK)),
    (asyncio.locks.Barrier.wait, _said("It waits at a barrier for others to come.", CANCEL_TASK)),
    (
        asyncio.streams.StreamReader._wait_for_data,  # type: ignore[attr-defined] # told by its code object only
        _said("It waits for data from a connection.", "Close the connection, or cancel and await the task."),
    ),
)

_THREAD_WAITS = _table(
    (queue.Queue.put, _put("Stop it when the consumer ends, and join it.")),
    (
        queue.Queue.get,
        _said("It waits on an empty queue that nobody fills.", "Put a stop value into the queue, and join it."),
    ),
    (threading.Event.wait, _said("It waits for an event that nobody sets.", "Set the event, and join it.")),
    (threading.Barrier.wait, _said("It waits at a barrier for others to come.", END_THREAD)),
    (threading.Semaphore.acquire, _said("It waits for a semaphore that is taken.", END_THREAD)),
    (threading.Condition.wait, _said("It waits for a condition that nobody notifies.", END_THREAD)),
    (threading.Thread.join, _join),
    (socket.socket.accept, _said("It waits for a connection.", "Close the socket, and join it.")),
    (
        asyncio.base_events.BaseEventLoop.run_forever,
        _said(
            "It runs an event loop.", "Stop the loop with loop.call_soon_threadsafe(loop.stop), and join the thread."
        ),
    ),
    *(
        (vars(kind)["select"], _said("It waits for a file or a socket.", END_THREAD))
        for kind in vars(selectors).values()
        if isinstance(kind, type) and "select" in vars(kind)
    ),
)

_MEMORY_STREAM = "anyio.streams.memory"  # anyio 4.9 to 4.16
_PIPE = _said("It reads from a pipe that nobody writes to.", "Close the pipe's other end, and join it.")
_CHILD = _said("It waits for a child process to end.", "End the process, and join it.")

#: Functions of other modules: where they are, and what it means to wait there.
_BY_NAME: dict[str, tuple[str, Teller]] = {
    "MemoryObjectSendStream.send": (
        _MEMORY_STREAM,
        _said("It is blocked on a full memory stream: its consumer stopped reading.", CANCEL_PRODUCER),
    ),
    "MemoryObjectReceiveStream.receive": (
        _MEMORY_STREAM,
        _said("It waits on an empty memory stream that nobody fills.", "Close its other end, or cancel and await it."),
    ),
    "_ConnectionBase.recv": ("multiprocessing.connection", _PIPE),
    "_ConnectionBase.recv_bytes": ("multiprocessing.connection", _PIPE),
    "_ConnectionBase.poll": ("multiprocessing.connection", _PIPE),
    "Popen.wait": ("subprocess", _CHILD),
    "Popen.communicate": ("subprocess", _CHILD),
    "SocketIO.readinto": ("socket", _socket),
    "Future.result": ("concurrent.futures._base", _said("It waits for the result of a future.", END_THREAD)),
}
