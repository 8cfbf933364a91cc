"""A lane: one request, task, thread or phase of a test over time, with the events on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from .axis import rounded
from .shown import Place

#: Keys of an event and a lane that are left out where they are empty.
_OPTIONAL_OF_EVENT = ("until", "text", "remedy", "place", "waits_at", "lane")


@dataclass(eq=False, slots=True, kw_only=True)
class Lane:
    """A lane as it is being made; see the schema for what each of these is.

    Attributes:
        latest: the latest instant on it so far.
    """

    id: int
    kind: str
    name: str
    start: float
    first: int
    parent: Lane | None = None
    end: float | None = None
    last: int | None = None
    state: str = ""
    leaked: bool = False
    at: Place | None = None
    facts: list[list[str]] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    latest: float = 0.0

    def instant(self, at: float) -> float:
        """Return an instant that is not before the beginning of the lane, and note it."""
        at = max(at, self.start)
        self.latest = max(self.latest, at)
        return at

    def event(self, n: int, at: float, kind: str, label: str, **more: Any) -> dict[str, Any]:
        """Add an event."""
        until = more.pop("until", None)
        made = {"n": n, "at": rounded(self.instant(at)), "kind": kind, "label": label}
        if until is not None:
            made["until"] = rounded(self.instant(until))
        made |= {name: value for name, value in more.items() if value not in (None, "")}
        self.events.append(made)
        return made

    def over(self, n: int, at: float, state: str) -> None:
        """Note that it ends."""
        self.end, self.last, self.state = max(self.instant(at), self.latest), n, state

    def as_data(self, *, ids: dict[int, int]) -> dict[str, Any]:
        """Return it as the schema has it, with the ids that lanes have where they are shown."""
        for event in self.events:
            if isinstance(other := event.get("lane"), Lane):
                event["lane"] = ids[other.id]
        made: dict[str, Any] = {
            "id": ids[self.id],
            "kind": self.kind,
            "name": self.name,
            "parent": None if self.parent is None else ids[self.parent.id],
            "start": rounded(self.start),
            "end": None if self.end is None else rounded(self.end),
            "first": self.first,
            "last": self.last,
            "state": self.state,
        }
        if self.leaked:
            made["leaked"] = True
        events = sorted(self.events, key=itemgetter("n"))
        return {**made, "at": self.at, "facts": self.facts, **self.more, "events": events}


def in_order(lanes: list[Lane]) -> list[Lane]:
    """Return lanes as they are shown: phases first, then by their beginning."""
    return sorted(lanes, key=lambda lane: (lane.kind not in {"test", "fixture"}, lane.first))
