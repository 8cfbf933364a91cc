"""What a scenario says about itself: which rows it shows, and what the check should say.

Values on functions. Whoever runs the scenarios reads them; the check never sees them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

Scenario = TypeVar("Scenario", bound=Callable[..., Any])

_SHORT = pytest.mark.assert_no_leaks(grace=0.02)
_OWN = {"assert_no_leaks", "allow_leaks", "expect_leak"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one run of one test should give.

    Attributes:
        rows: the facts it shows.
        kinds: of the leaks that are reported, sorted; empty for silence.
        owner: who is blamed: ``test``, ``setup``, ``import`` or ``fixture:NAME:SCOPE``.
        reported: how the leaks count: ``error``, ``warn``, ``allowed`` or ``expected``.
        outcomes: what pytest says about the test, call and teardown, in order.
        case: the parametrised case that is meant, as it stands in the node id.
        needs: the module without which there is no such case.
        at: a part of the line at which the leaks were made; None if nobody can know it.
        says: a pattern that pytest's report of the test contains.
        warns: the category of a warning that the test gives.
        stale: whether the test's exemption is reported as stale.
    """

    rows: tuple[int, ...]
    kinds: tuple[str, ...] = ()
    owner: str = "test"
    reported: str = "error"
    outcomes: tuple[str, ...] = ("passed",)
    case: str = ""
    needs: str = ""
    at: str | None = ""
    says: str = ""
    warns: str = ""
    stale: bool = False

    @property
    def wide(self) -> bool:
        """Whether a fixture is blamed that outlives the test."""
        return self.owner.startswith("fixture:") and not self.owner.endswith(":function")


def leaks(*rows: int, kinds: str, **expected: Any) -> Callable[[Scenario], Scenario]:
    """Declare that the check reports a test.

    Args:
        rows: the facts it shows.
        kinds: of the leaks, separated by spaces.
        expected: other attributes of ``Verdict``.
    """
    verdict = Verdict(rows, tuple(sorted(kinds.split())), **{"outcomes": ("passed", "error"), **expected})
    return lambda scenario: _soon(_declare(scenario, verdict))


def clean(*rows: int, **expected: Any) -> Callable[[Scenario], Scenario]:
    """Declare that the check is silent about a test."""
    return lambda scenario: _declare(scenario, Verdict(rows, **expected))


def declared(scenario: object) -> tuple[Verdict, ...]:
    """Return what a function declares."""
    found: tuple[Verdict, ...] = getattr(scenario, "verdicts", ())
    return found


def _soon(scenario: Scenario) -> Scenario:
    """Shorten the grace period, which a leak uses up, of a test that says nothing of it."""
    marks: list[pytest.Mark] = getattr(scenario, "pytestmark", [])
    return scenario if _OWN & {mark.name for mark in marks} else _SHORT(scenario)


def _declare(scenario: Scenario, verdict: Verdict) -> Scenario:
    scenario.verdicts = (*declared(scenario), verdict)  # type: ignore[attr-defined] # a function takes any attribute
    return scenario
