"""What a leak is, as a value, and how a report of leaks reads.

The wall: values and text. Whoever finds leaks, of whatever kind, makes ``Leak`` objects; this module only shows them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ._origins import Site

KINDS = ("task", "thread", "stream")
OPTIONAL_KINDS = (
    "asyncgen",
    "coroutine",
    "exception",
    "loop",
    "process",
    "reader",
    "server",
    "socket",
    "timer",
)
WARNING_KINDS = ("coroutine", "exception")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """One thing that was left running or open.

    Attributes:
        kind: ``"task"``, ``"thread"``, ``"stream"``, or one of the optional kinds.
        name: the task's or thread's name; for a task that was given none, its coroutine function.
        detail: what else identifies it, as ``"daemon"``; shown in brackets.
        owner: which part of the test started it, as ``"fixture 'db' (session scope)"``; empty for the test's body.
        created_at: the user's line that made it.
        waits_at: the user's line at which it waits.
        creators: dotted names of the functions that made it, innermost first, the standard library left out.
        stack: dotted names of the functions it is in, innermost first.
        diagnosis: one sentence, where one is certain.
        remedy: what to do about it, in one sentence.
    """

    kind: str
    name: str
    detail: str = ""
    owner: str = ""
    created_at: Site | None = None
    waits_at: Site | None = None
    creators: tuple[str, ...] = ()
    stack: tuple[str, ...] = ()
    diagnosis: str = ""
    remedy: str = ""

    def key(self) -> tuple[object, ...]:
        """Return what two leaks have in common that a reader would call the same."""
        name = self.name if self.created_at is None else ""
        return (self.kind, self.created_at, self.waits_at, self.owner, self.diagnosis, name)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Leak:
        """Return the leak that ``as_dict`` was taken of."""
        values = dict(data)
        for key in ("created_at", "waits_at"):
            values[key] = None if values[key] is None else Site(**values[key])
        for key in ("creators", "stack"):
            values[key] = tuple(values[key])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class LeakReport:
    """What one test, fixture or block left behind; false if that is nothing.

    Attributes:
        subject: who left it.
        leaks: in the order in which they were made, as far as that is known.
        counts: kind to (before, after), for tasks and threads.
        waited: seconds of the grace period that were used up.
        notes: what was seen and is no leak, each with the reason.
        root: the folder that paths are shown relative to.
    """

    subject: str
    leaks: tuple[Leak, ...] = ()
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    waited: float = 0.0
    notes: tuple[str, ...] = ()
    root: str = field(default_factory=os.getcwd)

    def __bool__(self) -> bool:
        return bool(self.leaks)

    def with_leaks(self, leaks: Iterable[Leak]) -> LeakReport:
        """Return the same report of other leaks."""
        return replace(self, leaks=tuple(leaks))

    def format(self, *, exempt: Sequence[str] = ()) -> str:
        """Return the report as text.

        Args:
            exempt: lines that say how to exempt a leak; ``{creator}`` becomes the pattern that matches the first one.
        """
        lines = [self._headline()]
        for leak, count in group(self.leaks):
            lines += ["  " + line for line in describe(leak, count=count, root=self.root)]
        lines += [f"  note: {note}" for note in self.notes]
        creator = next((leak.creators[0] for leak in self.leaks if leak.creators), "the.creating.function")
        pattern = "^" + creator.replace(".", r"\.") + "$"
        lines += ["  " + line.replace("{creator}", pattern) for line in exempt]
        return "\n".join(lines)

    def _headline(self) -> str:
        number = len(self.leaks)
        things = "1 thing" if number == 1 else f"{number} things"
        counts = ", ".join(f"{kind}s {before} -> {after}" for kind, (before, after) in self.counts.items())
        counts = f" ({counts})" if counts else ""
        return f"{self.subject} left {things} running{counts}, still there after {self.waited:.2f} s:"


def group(leaks: Iterable[Leak]) -> list[tuple[Leak, int]]:
    """Return each kind of leak once, with how often it is there, in the order of the first of each."""
    groups: dict[tuple[object, ...], tuple[Leak, int]] = {}
    for leak in leaks:
        first, count = groups.get(leak.key(), (leak, 0))
        groups[leak.key()] = (first, count + 1)
    return list(groups.values())


def describe(leak: Leak, *, count: int = 1, root: str = "") -> list[str]:
    """Return the lines about one leak."""
    times = f"{count} x " if count > 1 else ""
    detail = f" ({leak.detail})" if leak.detail else ""
    waits = ""
    if leak.waits_at is not None:
        source = f": {leak.waits_at.source}" if leak.waits_at.source else ""
        waits = f" waits at {leak.waits_at.show(root)}{source}"
    lines = [f"{times}{leak.kind} {leak.name!r}{detail}{waits}"]
    if leak.created_at is not None:
        lines.append(f"  created at {leak.created_at.show(root)}{_by(leak)}")
    if leak.owner:
        lines.append(f"  started by {leak.owner}")
    if advice := " ".join(filter(None, (leak.diagnosis, leak.remedy))):
        lines.append(f"  {advice}")
    return lines


def _by(leak: Leak) -> str:
    """Name the library function that did it, where the user's own line is further out."""
    if not leak.creators or leak.created_at is None:
        return ""
    creator = leak.creators[0]
    return "" if creator.endswith("." + leak.created_at.function) else f", by {creator}"
