"""``leak_check``: the check for a block of code, without pytest."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from pytest_mockstream._base.errors import LeakError
from pytest_mockstream._base.loops import running_loop

from .blame import report_of
from .ignore import compile_ignores, matches
from .owner import OWNER, Owner
from .report import LeakReport
from .scope import Policy, Scope
from .values import Leak
from .watch import LeakWatch


class leak_check:  # noqa: N801 - it reads as the verb of a with statement
    """Fail if a block leaves a task or a thread running.

    ``with`` around synchronous code, ``async with`` in a coroutine. What ran before the block is not looked at. What
    leaked runs on, but for the tasks of a loop that is closed in the block. A block that raises keeps its own
    exception; the report becomes a note of it.

    Args:
        grace: seconds to wait, at most, for everything together to end by itself.
        contain: cancel the tasks that leaked, so that the code after the block starts clean.
        ignore: names of tasks or threads, or of functions in their stacks, that are meant to go on; regular expressions
            that match the whole name, too.

    Attributes:
        report: what was found, once the block is over.

    Raises:
        LeakError: at the end of the block; its ``report`` has the data.
        ScriptError: ``ignore`` has something that is no regular expression.
    """

    def __init__(self, *, grace: float = 0.2, ignore: Iterable[str] = (), contain: bool = False) -> None:
        self.report = LeakReport(grace=grace)
        self._grace = grace
        self._contain = contain
        self._ignore = compile_ignores(ignore, "ignore")
        self._watch = LeakWatch()

    def __enter__(self) -> Self:
        if running_loop() is not None:
            msg = "in a coroutine, use `async with leak_check()`: tasks can only end while the loop goes on"
            raise RuntimeError(msg)
        return self._open()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            self._watch.judge()
        finally:
            self._close()
        self._raise(error)

    async def __aenter__(self) -> Self:
        return self._open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            await self._watch.judge_here()
        finally:
            self._close()
        self._raise(error)

    def _open(self) -> Self:
        self._watch.start()
        owner = Owner("block", within=OWNER.get())
        self._watch.open(Scope(owner, self._grace, Policy(self._ignored, contained=lambda leak: self._contain)))
        return self

    def _close(self) -> None:
        scope = self._watch.scope
        if scope is not None:
            self.report = report_of(scope, "the block")
        self._watch.close()
        self._watch.stop()

    def _ignored(self, leak: Leak) -> bool:
        return matches(leak, self._ignore)

    def _raise(self, error: BaseException | None) -> None:
        if not self.report:
            return
        if error is None:
            raise LeakError(str(self.report), self.report)
        error.add_note(f"LeakError: {self.report}")
