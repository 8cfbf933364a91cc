"""What is said of one test, and what a name promises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

#: In the names of tests that leave something.
LEAVES = "leaves"


class Verdict(NamedTuple):
    """What is said of one test.

    Attributes:
        outcomes: by pytest, of its phases, in order; only those that it shows.
        leaks: by the leak check: kind and outcome of each, sorted.
    """

    outcomes: tuple[str, ...] = ()
    leaks: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        said = " ".join(self.outcomes) or "nothing"
        return f"{said}, {' '.join(f'{kind}={outcome}' for kind, outcome in self.leaks) or 'no leak'}"


Verdicts = Mapping[str, Verdict]

PASSED = Verdict(("passed",))


def leaves(node: str) -> bool:
    """Tell whether a test says that it leaves something."""
    return LEAVES in node.partition("::")[2]


def keeps_its_word(node: str, verdict: Verdict) -> bool:
    """Tell whether a verdict is what the name of a test promises: one leak that fails it, or none."""
    if leaves(node):
        return len(verdict.leaks) == 1 and verdict.leaks[0][1] == "error" and "error" in verdict.outcomes
    return not verdict.leaks and not {"error", "failed"} & set(verdict.outcomes)


def promised(node: str) -> Verdict:
    """Return the verdict that the name of a test of a companion's own promises: the kind of a leak is in it."""
    if not leaves(node):
        return PASSED
    kind = next(kind for kind in ("thread", "task", "job", "stream") if kind in node.partition(LEAVES)[2])
    return Verdict(("passed", "error"), (("thread" if kind == "job" else kind, "error"),))


def differences(said: Verdicts, expected: Verdicts) -> Iterable[str]:
    """Yield a line for each test whose verdict is not the expected one."""
    for node in sorted({*said, *expected}):
        if node not in said:
            yield f"{node}: was not run"
        elif node not in expected:
            yield f"{node}: was run ({said[node]}), and nobody expected it"
        elif said[node] != expected[node]:
            yield f"{node}: {said[node]}; expected: {expected[node]}"
