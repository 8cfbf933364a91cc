"""What a run left behind: tasks and threads, which the leak check finds, and streams, which are in the ledger.

No other module of the sweeps looks for leaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

from pytest_mockstream import leaks
from pytest_mockstream._base.clock import sleep
from pytest_mockstream._base.errors import LeakError
from pytest_mockstream._base.notifier import Notifier
from pytest_mockstream.leaks import Leak, LeakReport, compile_ignores, leak_check, matches, spellings
from pytest_mockstream.playback import End, Playback
from pytest_mockstream.playbook.ledger import State, entry_of, opened_requests
from pytest_mockstream.playbook.playbook import playbooks
from pytest_mockstream.playbook.request import Request

from .positions import line_of
from .probe import ProbedRun
from .problem import Problem, leaked
from .settings import Settings
from .told import tell_left

_LEAVING: dict[str, tuple[State, End]] = {"close": ("closed", End.LEFT), "cancel": ("cancelled", End.CANCELLED)}
_LOOKS = 20  # in a grace period


@contextmanager
def births_noted() -> Iterator[None]:
    """Note from now on what is started, so that it is known later to have been there before a block began."""
    watch = leaks.LeakWatch()
    watch.start()
    try:
        yield
    finally:
        watch.stop()


class LeakWatch:
    """Finds what a block leaves behind, and ends it: ``with`` where no loop runs, ``async with`` in a coroutine.

    Args:
        settings: the grace period, and what is meant to go on.
        run: the run that the block is about, if its event loop knows which tasks are its.

    Attributes:
        opened: the streams that were opened in the block.
        problems: what was left behind, once the block is over.
    """

    def __init__(self, settings: Settings, run: ProbedRun | None = None) -> None:
        self._grace = settings.grace
        self._ignore = compile_ignores(settings.ignore, "ignore")
        self._run = run
        self._check = leak_check(grace=self._grace, ignore=settings.ignore, contain=True)
        self._stack = ExitStack()
        self.opened: list[Request] = []
        self.problems: tuple[Problem, ...] = ()

    def __enter__(self) -> Self:
        self.opened = self._stack.enter_context(opened_requests())
        self._check.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._stack:
            _catch_up()
            try:
                self._check.__exit__(kind, error, tb)
            except LeakError:
                self.problems += (leaked(self._check.report),)
            for pause in self._pauses():
                sleep(pause)
            self.problems += left_open(self.opened)

    async def __aenter__(self) -> Self:
        self.opened = self._stack.enter_context(opened_requests())
        await self._check.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        with self._stack:
            _catch_up()
            try:
                await self._check.__aexit__(kind, error, tb)
            except LeakError:
                self.problems += (leaked(self._check.report),)
            for pause in self._pauses():
                await Notifier().wait_async(0, pause)  # nobody notifies it
            self.problems += self._left_running() + left_open(self.opened)

    def _pauses(self) -> Iterator[float]:
        """Yield pauses, at most a grace period long, while there is something that may end by itself.

        That is a task that still runs, or a stream whose server may not have noticed yet that its client left.
        """
        for _ in range(_LOOKS):
            if not self._tasks() and not any(
                request.state == "open" and not isinstance(entry_of(request).progress, Playback)
                for request in self.opened
            ):
                return
            yield self._grace / _LOOKS

    def _tasks(self) -> list[Leak]:
        """Return the tasks that the run left in a nursery that is not its own."""
        run = self._run
        if run is None or run.job is None or not run.job.done():
            return []
        left = [_task_leak(task) for task in run.tasks]
        return [leak for leak in left if not matches(leak, self._ignore)]

    def _left_running(self) -> tuple[Problem, ...]:
        left = self._tasks()
        return (leaked(LeakReport(leaks=tuple(left), grace=self._grace)),) if left else ()


def _task_leak(task: Any) -> Leak:
    """Return a task of trio as a leak."""
    names = frozenset(spellings(*task.name.rpartition(".")[::2]))
    return Leak(
        kind="task",
        name=task.name,
        owner="block",
        waits_at=line_of(task.coro),
        diagnosis="It runs in a nursery that was open before the code under test began.",
        remedy="Start it in a nursery of its own, or cancel it when its work is over.",
        names=names,
    )


def _catch_up() -> None:
    """Let doors that serve from another thread record this run's requests, or they would count for the next run."""
    for playbook in playbooks():
        playbook.catch_up()


def left_open(opened: Iterable[Request]) -> tuple[Problem, ...]:
    """Return the streams that nobody closed, and close them."""
    left = [request for request in opened if request.state in {"open", "dropped"}]
    found = tuple(Problem(f"{request} was not closed", hint=entry_of(request).remedy) for request in left)
    for request in left:
        tell_left(request)
        end_stream(request, "close")
    return found


def end_stream(request: Request, how: str) -> None:
    """End a stream as its own ``close()`` or ``cancel()`` would; only what is open."""
    state, ending = _LEAVING[how]
    entry = entry_of(request)
    if entry.settle(state) and entry.progress is not None:
        entry.progress.stop(ending)
