"""Which streams a sweep breaks where, and what came of it.

Sweeps of code in a loop and of code in threads share it; it runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.script.steps import Fault

from .broken import Break, Interruption, StandIn, all_breaks, playbook_of
from .problem import ASSERTED, UNLISTED, Problem, error_text, reported_success
from .result import SweepResult, Visit
from .settings import Settings
from .told import tell_verdict


def raises_of(value: object, name: str = "raises") -> tuple[type[BaseException], ...]:
    """Return the exceptions that code may end in.

    Raises:
        ScriptError: there is none, or something is not an exception class.
    """
    kinds = value if isinstance(value, tuple) else (value,)
    if not kinds or not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        msg = f"{name}={value!r}: give an exception class, or a tuple of them"
        raise ScriptError(msg)
    return kinds


class BreakPlan:
    """The breaks to visit, and what the visits found.

    Args:
        title: what is swept.
        client: the door whose scripts break.
        faults: the ways in which they break.
        raises: what the code under test must end in.
        settings: the keywords that all sweeps share.

    Attributes:
        playbook: that of the client.
        stopped: why the sweep stopped early, or "".
    """

    def __init__(
        self,
        *,
        title: str,
        client: object,
        faults: Iterable[Fault | Interruption],
        raises: object,
        settings: Settings,
    ) -> None:
        self.settings = settings
        self.playbook: Playbook = playbook_of(client)
        self.stopped = ""
        self._title = title
        self._client = client
        self._faults = tuple(faults)
        self._raises = raises_of(raises)
        self._breaks: list[Break] = []
        self._visits: list[Visit] = []
        self._not_reached: list[int] = []

    def breaks(self, first: StandIn, problems: tuple[Problem, ...]) -> Iterable[tuple[int, Break]]:
        """Learn from the first run which breaks there are, and yield each that is to be visited with its number.

        Args:
            first: what the first run played.
            problems: what was wrong with it. If anything was, there is nothing to visit.

        Raises:
            ScriptError: there is nothing to break, or no such point.
        """
        self._breaks = all_breaks(first.played, self._faults)
        tell_verdict("the first run, whose streams are whole", problems)
        if problems:
            self._visits.append(Visit(point=0, what="the first run, whose streams are whole:", problems=problems))
            return
        if not self._breaks:
            msg = (
                f"{self._title}: there is nothing to break, for its first run read no stream of {self._client!r}."
                " Give the client, or the fixture, that the code under test asks, and read what it answers"
            )
            raise ScriptError(msg)
        for number in self.settings.with_progress(self.settings.chosen(len(self._breaks)), self._title):
            yield number, self._breaks[number - 1]
            if self.stopped:
                return

    def add_unreached(self, number: int) -> None:
        """Note that no run reached a break."""
        self._not_reached.append(number)

    def add_visit(self, number: int, at: Break, stand_in: StandIn, problems: tuple[Problem, ...]) -> None:
        """Note what was wrong with a run whose stream broke."""
        chunk = None if at.chunk is None else at.chunk + 1
        visit = Visit(point=number, what=at.what, chunk=chunk, place=stand_in.place, problems=problems)
        self._visits.append(visit)
        tell_verdict(visit.name, problems, f"point={number}", stand_in.place)

    def judge(self, at: Break, error: BaseException | None, returned: object) -> tuple[Problem, ...]:
        """Return what is wrong with how a run ended, if anything is."""
        if error is None:
            # A stream that another thread closes just ends, so completing is right.
            is_meant = self.settings.allow_completion or at.fault == "close"
            return () if is_meant else (reported_success(at.fault, returned),)
        if isinstance(error, AssertionError) and not any(issubclass(kind, AssertionError) for kind in self._raises):
            return (Problem("an assertion failed: ", error_text(error).removeprefix("AssertionError: "), ASSERTED),)
        if isinstance(error, self._raises):
            return ()
        legal = " or ".join(kind.__name__ for kind in self._raises)
        return (Problem(f"it ended in {error_text(error)}, not in {legal}", hint=UNLISTED),)

    def result(self) -> SweepResult:
        """Return everything that was found."""
        count = len(self._breaks)
        return SweepResult(
            title=self._title,
            points=count,
            visits=tuple(self._visits),
            left_out=count - len(self.settings.chosen(count)),
            left_out_note=self.settings.left_out(count),
            not_reached=tuple(self._not_reached),
            broken_off=self.stopped,
        )
