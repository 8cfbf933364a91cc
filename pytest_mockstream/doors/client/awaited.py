"""``Awaited``: a script that a task of the running loop is still computing, while its stream is open already.

A stream is opened without ``await``, so an async function that answers it is awaited here, and the stream waits for it
as for a gate.
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.loops import BackgroundTask, Loop, is_cancellation, running_loop, start_task
from pytest_mockstream.playbook.computed import Computation, adriven
from pytest_mockstream.script.chunks import StreamChunk
from pytest_mockstream.script.gate import Gate
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import ErrorEvent, Played

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


def begun(computation: Computation[Script], loop: Loop) -> Script | Awaited:
    """Return the script that a computation gives at once, or the task of the running loop that awaits the rest."""
    context = contextvars.copy_context()  # what it sets, it resets: in one context, although a task goes on with it
    try:
        first = context.run(next, computation)
    except StopIteration as stop:
        script: Script = stop.value
        return script

    def end() -> None:
        """Leave nothing behind of what was begun, should the task never have come to its first step."""
        getattr(first, "close", lambda: None)()
        context.run(computation.close)

    return context.run(Awaited, _continued(computation, first, context), end, loop)


def _continued(
    computation: Computation[Script], awaited: Awaitable[Any], context: contextvars.Context
) -> Computation[Script]:
    try:
        while True:
            try:
                value = yield awaited
            except BaseException as error:
                awaited = context.run(computation.throw, error)
            else:
                awaited = context.run(computation.send, value)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return] # what the computation returns


class Awaited:
    """A script that is still being computed.

    Args:
        computation: of which the first part is done.
        end: is called when the task has ended, however that came about.
        loop: the running loop.

    Attributes:
        error: why there is no script; None as long as nobody knows, or there is one.
        gates: the gates of the stream.
        chunk_count: how many chunks a whole reading would get; None as long as nobody knows.
        on_script: called with the script when it is there.
    """

    chunk_count = None

    def __init__(self, computation: Computation[Script], end: Callable[[], None], loop: Loop) -> None:
        self._gate = gate = Gate()
        self.gates = (gate,)
        self.error: BaseException | None = None
        self.on_script: Callable[[Script], None] | None = None
        self._script: Script | None = None

        def start() -> Coroutine[Any, Any, None]:
            return self._compute(computation)

        def gone() -> None:
            end()
            gate.open()

        self._task: BackgroundTask = start_task(loop, start, gone, "mockstream answer")

    @property
    def is_computing(self) -> bool:
        """Whether the script is not there yet."""
        return not self._gate.is_open

    def refuse_to_block(self) -> None:
        """Raise ``ScriptError`` if to block here would keep the script from ever being computed."""
        if self.is_computing and self._task.loop is running_loop():
            raise ScriptError(
                "the function that answers this stream is awaited in the running loop, which `for` would block: use"
                " `async for`"
            )

    async def _compute(self, computation: Computation[Script]) -> None:
        try:
            self._script = script = await adriven(computation)
        except BaseException as error:
            self.error = error
            if is_cancellation(error):
                raise
        else:
            if self.on_script is not None:
                self.on_script(script)

    def schedule(self, **how: Any) -> Iterator[Played[StreamChunk]]:
        """Yield what is to be played; see ``Script.schedule``."""
        yield self._gate  # it is opened by the end of the task
        if self._script is None:
            yield ErrorEvent("no answer was computed")  # its reader gets ``error`` in place of it
        else:
            yield from self._script.schedule(**how)

    def cancel(self) -> None:
        """End the computation. From any thread, finaliser or signal handler, any number of times."""
        self._task.cancel()

    async def wait(self) -> None:
        """Wait, in the loop that it runs in, until the computation has ended; elsewhere, do not."""
        if self._task.loop is running_loop():
            await self._task.wait()
