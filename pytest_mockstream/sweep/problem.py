"""What can be wrong with a run: what happened, and what to do about it.

It holds text and frozen data only. The part in which the problems of neighbouring points differ is kept apart, so that
a table can show them in one row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pytest_mockstream._base.redaction import Secrets, brief
from pytest_mockstream.leaks import Leak, LeakReport, creators, entries, naming
from pytest_mockstream.script.steps import Fault, Stall, Truncate

_RETRYING = " Where retrying or salvaging is meant: allow_completion=True, with a check= that looks at what came of it."

SWALLOWED = (
    "Let CancelledError propagate: catch Exception, not BaseException, and `raise` at the end of a handler that must"
    " see it. Where completing is meant: allow_completion=True."
)
SWALLOWED_ON_TRIO = (
    "Let trio.Cancelled propagate: catch Exception, not BaseException, and `raise` at the end of a handler that must"
    " see it. Where completing is meant: allow_completion=True."
)
CLEAN_UP = (
    "A clean-up that waits can be cancelled, too: do what must not be skipped before its first await, or put it"
    " in asyncio.shield()."
)
CUT_SHORT = (
    "An SDK takes a stream that just ends for a whole one: look for its finish reason before you report success."
    + _RETRYING
)
HIDDEN = "Let the error of a broken stream propagate, or raise one of your own." + _RETRYING
SILENCE = (
    "It has nothing that ends it when a stream falls silent: give the read a timeout. If it has one, shorten it for the"
    " test, raise patience=, or run in virtual time."
)
NEVER_ENDED = (
    "What it waits for must end, too, when the run is cancelled or its stream breaks."
    " If it only takes long, raise patience=."
)
ASSERTED = (
    "A failed assertion does not report a broken stream: let the code under test raise an error, and assert in check=."
    " To let it count: raises=AssertionError."
)
UNLISTED = "Catch it and raise what your callers expect, or list it in raises=."
UNSCRIPTED = (
    "Code that was cancelled, or whose stream broke, should ask for nothing more. Where it is meant to: queue a script"
    " for that with respond(...), or use times=None."
)

_NUMBER = re.compile(r"^(Task|Thread)-\d+")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that was wrong with a run.

    Attributes:
        text: what happened.
        value: what it returned, at the end of the text; "" where that does not matter.
        hint: what to do.
        leaks: what the leak check found.
    """

    text: str
    value: str = ""
    hint: str = ""
    leaks: tuple[Leak, ...] = ()

    def __str__(self) -> str:
        return self.text + self.value


def merged_text(problems: Sequence[Problem]) -> str:
    """Return one text for the same problem at several neighbouring points."""
    values = list(dict.fromkeys(problem.value for problem in problems))
    if len(values) > 3:
        values[2:-1] = ["..."]
    return problems[0].text + ", ".join(values)


def without_details(problem: Problem) -> Problem:
    """Return what a problem has in common with the same one at a neighbouring point."""
    return replace(problem, value="", leaks=())


def leaked(report: LeakReport) -> Problem:
    """Return that a run left something running. Automatic names lose their number, which differs from run to run."""
    unnumbered = [replace(leak, name=_NUMBER.sub(r"\1-N", leak.name)) for leak in report.leaks]
    things = "1 thing" if len(unnumbered) == 1 else f"{len(unnumbered)} things"
    text = "\n".join([f"it left {things} running, still there after {report.grace:.2f} s:", *entries(unnumbered)])
    keys = creators(unnumbered)
    exemption = f"ignore={keys!r}" if keys else naming(unnumbered)
    return Problem(text, hint=f"To exempt what is meant to live on: {exemption}.", leaks=report.leaks)


def reported_success(fault: object, returned: object) -> Problem:
    """Return that a run with a broken stream completed."""
    hint = CUT_SHORT if isinstance(fault, Truncate) else HIDDEN
    return Problem("it reported success on a broken stream: it returned ", brief(returned), hint)


def hung(limit: float, where: str, fault: Fault | str | None = None, deadlock: Problem | None = None) -> Problem:
    """Return that a run did not end; where it is not for a stream that fell silent, who waits for what."""
    if deadlock is not None and not isinstance(fault, Stall):
        return deadlock
    hint = SILENCE if isinstance(fault, Stall) else NEVER_ENDED
    return Problem(f"it did not end within {limit:.3g} s: it waits at {where}", hint=hint)


def asked_more(errors: Iterable[BaseException]) -> tuple[Problem, ...]:
    """Return that a run made requests that no script was left for, if it did."""
    found = [str(error).splitlines()[0] for error in errors]
    if not found:
        return ()
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return (Problem(f"it made more requests than in its first run{more}: {found[0]}", hint=UNSCRIPTED),)


def error_text(error: BaseException) -> str:
    """Return an exception in one line: its class and the first line of its message."""
    text = Secrets().shown(str(error).partition("\n")[0])
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
