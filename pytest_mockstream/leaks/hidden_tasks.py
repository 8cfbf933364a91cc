"""Notes the tasks that asyncio hides, from CPython 3.14 on: the loops are listened to instead, as they create tasks.

What was made without a loop's ``create_task`` is found when somebody looks, among all tasks of the loops that were seen
at work. A look from another thread may find a task that its loop is just making: it has one birth all the same, and its
maker's word on where it was made counts.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from . import interpreter

if TYPE_CHECKING:
    from types import FrameType

    from .interpreter import Forget, NoteTask, Remember

_LISTENS = "_pytest_mockstream_listens"
_RUN_FOREVER = asyncio.base_events.BaseEventLoop.run_forever.__code__
_all_tasks = asyncio.all_tasks


class HiddenTasks:
    """Listens to every class of event loops.

    Args:
        make: makes what notes a task, from what remembers and forgets a weak reference to it.
    """

    def __init__(self, make: Callable[[Remember, Forget], NoteTask]) -> None:
        self._loops: set[weakref.ref[asyncio.AbstractEventLoop]] = set()
        # Each birth by itself: it is a reference to its task, and equal to any other one.
        self._births: dict[weakref.ref[Any], Any] = {}
        self._note: NoteTask | None = make(self._remember, self._forget)
        self._undo: list[Callable[[], None]] = []
        for kind in loop_classes():
            self._listen_to(kind)
        self._undo.append(on_loop_class(self._listen_to))
        for running in _running_loops():  # their tasks are there already: who watches may be one
            self.know(running)
        self.find()

    def stop(self) -> None:
        """Stop listening, and forget what was seen."""
        for undo in reversed(self._undo):
            undo()
        self._note = None
        self._births.clear()
        self._loops.clear()

    def know(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take note of a loop that is at work."""
        self._loops.add(weakref.ref(loop))

    def _listen_to(self, kind: type[asyncio.AbstractEventLoop]) -> None:
        """Note the tasks that loops of a class create, unless it inherits that from one that is listened to."""
        if not hasattr(kind.create_task, _LISTENS):
            self._undo.append(interpreter.patch(kind, "create_task", self._create_task))

    def _create_task(self, create_task: Callable[..., Any]) -> Callable[..., Any]:
        births, loops = self._births, self._loops

        def wrapper(loop: asyncio.AbstractEventLoop, *args: Any, **kwargs: Any) -> Any:
            task = create_task(loop, *args, **kwargs)
            loops.add(weakref.ref(loop))
            # A loop's class may call that of its base; a task that starts eagerly may be done by now.
            if isinstance(task, asyncio.Task) and not task.done() and self._note:
                birth = births.get(weakref.ref(task))
                if birth is None or not birth.frames:
                    self._note(task)
            return task

        setattr(wrapper, _LISTENS, True)
        return wrapper

    def find(self) -> None:
        """Note the tasks that no loop created, as far as the loops are known; only where asyncio hides them."""
        note = self._note
        if note is None:
            return
        for reference in list(self._loops):
            loop = reference()
            if loop is None or loop.is_closed():
                self._loops.discard(reference)
                continue
            for task in _all_tasks(loop):
                if weakref.ref(task) not in self._births:
                    note(task, made_now=False)

    def _remember(self, birth: weakref.ref[Any]) -> Any:
        """Take a birth in, unless another thread was quicker; then return that one's."""
        first = self._births.setdefault(birth, birth)
        return None if first is birth else first

    def _forget(self, birth: weakref.ref[Any]) -> None:
        self._births.pop(birth, None)


def _running_loops() -> Iterator[asyncio.AbstractEventLoop]:
    """Yield the loop that runs here, and those that run in other threads, as far as they are written in Python."""
    if (here := asyncio._get_running_loop()) is not None:
        yield here
    for innermost in interpreter.frames().values():
        frame: FrameType | None = innermost
        while frame is not None:
            if frame.f_code is _RUN_FOREVER:
                yield frame.f_locals["self"]
            frame = frame.f_back


def loop_classes() -> Iterator[type[asyncio.AbstractEventLoop]]:
    """Yield every class of event loops that is loaded and makes tasks, the bases first."""
    classes: list[type[asyncio.AbstractEventLoop]] = [asyncio.AbstractEventLoop]  # type: ignore[type-abstract] # not made
    while classes:
        kind = classes.pop(0)
        classes += type.__subclasses__(kind)
        if kind.create_task is not asyncio.AbstractEventLoop.create_task:
            yield kind


def on_loop_class(made: Callable[[type[asyncio.AbstractEventLoop]], None]) -> Callable[[], None]:
    """Be told of each class of event loops that is defined from now on: uvloop's, imported in the middle of a test.

    Returns:
        What ends that.
    """

    def init_subclass(cls: type[asyncio.AbstractEventLoop], /, **kwargs: Any) -> None:
        super(asyncio.AbstractEventLoop, cls).__init_subclass__(**kwargs)
        made(cls)

    asyncio.AbstractEventLoop.__init_subclass__ = classmethod(init_subclass)  # type: ignore[assignment, method-assign]

    def undo() -> None:
        del asyncio.AbstractEventLoop.__init_subclass__

    return undo
