"""The scripts of a playbook as the server's page lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from pytest_mockstream._base.redaction import brief
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.playbook.queued import Queued
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import Step, Text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_MOST = 500
_MOST_STEPS = 8  # of a script


def listed_scripts(playbook: Playbook, lines: Sequence[int]) -> dict[str, Any]:
    """Return the scripts of a playbook, how often they were played, and which one is next.

    Args:
        playbook: has the scripts.
        lines: the line of a file that each begins at; none where they come from no file.
    """
    queued, preferred = playbook.queued, playbook.preferred
    listed = [
        {
            "number": number,
            "line": lines[number - 1] if number <= len(lines) else None,
            "when": str(one.condition),
            "steps": _steps(one),
            "played": one.played,
            "times": one.script.times,
            "left": one.is_left,
            "next": one is preferred,
        }
        for number, one in enumerate(queued[:_MOST], 1)
    ]
    default = None if queued else [_shown(step) for step in playbook.default.steps]
    return {"count": len(queued), "listed": listed, "default": default}


def _steps(queued: Queued) -> list[str]:
    script = queued.script
    if not isinstance(script, Script):
        return [brief(script)]
    more = len(script.steps) - _MOST_STEPS
    return [*map(_shown, script.steps[:_MOST_STEPS]), *([f"and {more} more"] if more > 0 else [])]


def _shown(step: Step) -> str:
    """Return how a step shows itself, without what it says by default."""
    if isinstance(step, Text):
        return brief(step.content)
    if not is_dataclass(step):
        return brief(step)
    usual = {field.name: field.default for field in fields(step)}
    told = {name: value for name in usual if (value := getattr(step, name)) != usual[name]}
    first = next(iter(usual), None)
    said = ", ".join(brief(value) if name == first else f"{name}={brief(value)}" for name, value in told.items())
    return f"{type(step).__name__}({said})"
