"""What came of a run: what the code under test returned, yielded, printed or showed; and what is wrong with that.

It starts nothing: it watches one run after another.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from io import StringIO
from typing import Any

from pytest_mockstream.playbook.findings import Finding, Usual, findings_of
from pytest_mockstream.playbook.outcome import NOTHING, Outcome
from pytest_mockstream.playbook.request import Request

from .problem import Problem

#: What a sweep says in its own words where completing is not meant.
_ABOUT_COMPLETION = frozenset({"takes_truncated_for_whole", "loses_delivered", "hides_failure"})


class OutcomeWatch:
    """Watches the runs of a coroutine, or of an async iterator, for what comes out of them.

    Args:
        make: makes the coroutine or the iterator.
        shown: returns what the code under test shows at the end of a run, where it returns nothing that tells.
    """

    def __init__(self, make: Callable[[], Any], shown: Callable[[], object] | None) -> None:
        self._make = make
        self._shown = shown
        self._yielded: list[Any] | None = None
        self._printed = StringIO()
        self._whole = Outcome()

    def make(self) -> Awaitable[Any]:
        """Make the coroutine of the next run; that of an async iterator collects what it yields."""
        self._yielded = None
        made = self._make()
        if not isinstance(made, AsyncIterator) or inspect.isawaitable(made):
            return made
        items: list[Any] = []
        self._yielded = items
        return _collect(made, items)

    @contextlib.contextmanager
    def printing(self) -> Iterator[None]:
        """Read along what is printed in a block."""
        self._printed = StringIO()
        before = sys.stdout
        sys.stdout = both = _Both(before, self._printed)
        try:
            yield
        finally:
            if sys.stdout is both:
                sys.stdout = before

    def outcome(self, error: BaseException | None, returned: object) -> Outcome:
        """Return what came of the run that is over now."""
        if self._shown is not None:
            value = self._shown()
        elif self._yielded is not None:
            value = self._yielded
        else:
            value = returned if error is None else NOTHING
        return Outcome(value, self._printed.getvalue(), error)

    def keep_whole(self, returned: object) -> None:
        """Keep what came of the run that is over now as what comes of one in which no stream breaks."""
        self._whole = self.outcome(None, returned)

    def findings(
        self, requests: Iterable[Request], outcome: Outcome, whole_text: str, *, may_complete: bool
    ) -> tuple[Problem, ...]:
        """Return the findings on a run, without those on what a library does by itself.

        Args:
            requests: of the run.
            outcome: what came of it.
            whole_text: what the answer would have said that broke.
            may_complete: whether completing is meant; if not, it is told elsewhere that it completed.
        """
        findings = findings_of(requests, outcome, usual=Usual(self._whole, whole_text))
        own = (finding for finding in findings if finding.by is None)
        return tuple(_problem(one) for one in own if may_complete or one.name not in _ABOUT_COMPLETION)


async def _collect(source: AsyncIterator[Any], items: list[Any]) -> list[Any]:
    try:
        async for item in source:
            items.append(item)  # noqa: PERF401 - what came before an error counts, too
    finally:
        if (close := getattr(source, "aclose", None)) is not None:
            await close()
    return items


class _Both:
    """A stream of text that goes on to another one, and is kept."""

    def __init__(self, stream: Any, kept: StringIO) -> None:
        self._stream = stream
        self._kept = kept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text."""
        self._kept.write(text)
        return self._stream.write(text)  # type: ignore[no-any-return] # as of every stream

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)


def _problem(finding: Finding) -> Problem:
    return Problem(f"{finding.name}: {finding.what}", finding.detail, finding.remedy)
