"""An entry of the queue: a script, and the condition for the requests that it answers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import integer
from pytest_mockstream._base.wording import counted
from pytest_mockstream.script.script import Script

from .request import Request

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: Numbers playbooks and entries in the order in which they are made.
SERIALS = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Which requests a script answers; None means "any".

    Attributes:
        contains: the last message of the user contains this text.
        matches: this regular expression is found in the last message of the user.
        model: the model asked for.
        provider: the provider asked.
        tool: a tool of this name is offered.
        tool_result_contains: the result of a tool that ran since the model's last turn contains this text.
        turn: this turn of the model is asked for: 1 for the first request of a conversation.
        predicate: a function that takes the ``Request``.
    """

    contains: str | None = None
    matches: str | re.Pattern[str] | None = None
    model: str | None = None
    provider: str | None = None
    tool: str | None = None
    tool_result_contains: str | None = None
    turn: int | None = None
    predicate: Callable[[Request], bool] | None = None

    def __post_init__(self) -> None:
        for name in ("contains", "model", "provider", "tool", "tool_result_contains"):
            if (value := getattr(self, name)) is not None and not isinstance(value, str):
                raise ScriptError(f"when({name}={value!r}): give a str")
        if self.turn is not None:
            object.__setattr__(self, "turn", integer(at_least=1)(self.turn, "when(turn)"))
        if self.predicate is not None and not callable(self.predicate):
            raise ScriptError(f"when(predicate={self.predicate!r}): give a callable that takes the request")
        if self.matches is not None:
            try:
                object.__setattr__(self, "matches", re.compile(self.matches))
            except (re.error, TypeError) as error:
                raise ScriptError(f"when(matches={self.matches!r}) is not a regular expression: {error}") from None

    def holds(self, request: Request) -> bool:
        """Tell whether a request meets the condition."""
        return self.may_hold(request) and (self.predicate is None or bool(self.predicate(request)))

    def may_hold(self, request: Request) -> bool:
        """Tell whether a request meets the condition, as far as that can be told without calling the predicate."""
        return (
            (self.contains is None or self.contains in request.text)
            and (self.matches is None or re.search(self.matches, request.text) is not None)
            and (self.model is None or self.model == request.model)
            and (self.provider is None or self.provider == request.provider)
            and (self.tool is None or self.tool in request.tool_names)
            and (self.tool_result_contains is None or self.tool_result_contains in "\n".join(request.tool_results))
            and (self.turn is None or self.turn == request.turn)
        )

    def __str__(self) -> str:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["matches"] = self.matches.pattern if isinstance(self.matches, re.Pattern) else None
        said = [f"{name}={value!r}" for name, value in values.items() if value is not None]
        return f"when({', '.join(said)})" if said else "any request"


@dataclass(slots=True, eq=False)
class Queued:
    """A script in the queue.

    Attributes:
        script: what is played.
        condition: for which requests.
        queued_at: the line that queued it.
        played: how many requests it has answered.
        is_told: whether an error has already said that it was not played.
        serial: tells whether it was queued before or after a playbook was made.
    """

    script: Script
    condition: Condition
    queued_at: CallSite | None = None
    played: int = 0
    is_told: bool = False
    serial: int = field(default_factory=lambda: next(SERIALS))

    @property
    def is_left(self) -> bool:
        """Whether it can answer one more request."""
        return self.script.times is None or self.played < self.script.times

    @property
    def is_used(self) -> bool:
        """Whether it was played as often as meant, or an error has already told that it was not."""
        return self.is_told or self.played >= (self.script.times or 1)

    def __str__(self) -> str:
        at = "" if self.queued_at is None else f", queued at {self.queued_at}"
        if self.script.times is None:
            played = f"{counted(self.played, 'time')}, meant for any number"
        else:
            played = f"{self.played} of {counted(self.script.times, 'time')}"
        return f"{self.script!r} for {self.condition}{at} (played {played})"
