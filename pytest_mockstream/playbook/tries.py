"""Which request tries which again, and what was wrong with the one before.

It reads the ledger. A retry asks the same as a request that has failed before; a question that is asked again after a
whole answer, or while the first is still being answered, is none.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from pytest_mockstream.script.chunks import StreamChunk
from pytest_mockstream.script.steps import FAULTS, Fault, HTTPError, Malformed, Stall

from .ledger import MOMENTS, entry_of
from .same import sameness

if TYPE_CHECKING:
    from pytest_mockstream.script.script import Script

    from .ledger import Record
    from .request import Request

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: What was wrong with an answer: the fault that its consumer met, or that it ran out of time.
Trouble: TypeAlias = Fault | Literal["timeout"]

# Seconds by which a server may notice later that a client left than the client asks again.
_NOTICED_LATE = 0.05


def trouble_of(request: Request) -> Trouble | None:
    """Return what was wrong with the answer to a request; None if nothing was, or nobody knows yet."""
    entry = entry_of(request)
    script = entry.script
    if script is None:
        return None
    if entry.status >= 400:
        return next(reversed(script.faults), HTTPError(entry.status))
    match request.state:
        case "broken":
            return next(reversed(_met(request)), "timeout")
        case "cancelled":
            return "timeout"
        case "closed" | "dropped":  # garbage and silence do not end a stream: its consumer leaves
            return next((fault for fault in _met(request) if isinstance(fault, Malformed | Stall)), None)
    return None


def _met(request: Request) -> list[Fault]:
    """Return the faults that come no later than what was sent of the answer, in order."""
    entry = entry_of(request)
    found: list[Fault] = []
    chunks = 0
    for played in entry.script.units() if entry.script is not None else ():
        if isinstance(played, FAULTS):
            found.append(played)
        elif isinstance(played, StreamChunk | str):
            if chunks == entry.chunks_sent:
                break
            chunks += 1
    return found


def delivered(request: Request) -> list[str]:
    """Return the text of each chunk that was handed to the consumer, of those that have any."""
    return said(request)[0]


def said(request: Request) -> tuple[list[str], str]:
    """Return the text of each chunk that was handed to the consumer, and the text of the whole script."""
    entry = entry_of(request)
    if entry.script is None:
        return [], ""
    texts = _deltas(entry.script)
    return [text for text in texts[: entry.chunks_sent] if text], "".join(texts)


def text_of(script: Script) -> str:
    """Return all the text that a script says."""
    return "".join(_deltas(script))


def _deltas(script: Script) -> list[str]:
    units = (played for played in script.units() if isinstance(played, StreamChunk | str))
    return [unit if isinstance(unit, str) else unit.delta for unit in units]


def failed_at(request: Request) -> float | None:
    """Return when its consumer got to know that a request had failed, by the clock of its entry; None if it has not."""
    entry = entry_of(request)
    if entry.status >= 400:
        known = entry.asked_at + entry.last_sent_at
        return known if entry.over_at is None else min(known, entry.over_at)
    return entry.over_at


def _failed_before(earlier: Request, later: Request) -> bool:
    one, other = entry_of(earlier), entry_of(later)
    if one.asked_as >= other.asked_as:
        return False
    if one.status >= 400 or 0 < one.over_as < other.asked_as:
        return True
    is_late = one.over_at is not None and one.clock == other.clock
    return is_late and one.catch_up is not None and (one.over_at or 0.0) <= other.asked_at + _NOTICED_LATE


def retried(requests: Iterable[Request]) -> list[tuple[Request, Request]]:
    """Return each retry among requests, with what it tries again before it, in order.

    Each failure is tried again once at most. A retry mostly comes from the task that saw the failure; only what no such
    request tries again may have been tried again by another task, that of the same line first.
    """
    ordered = sorted(requests, key=lambda request: entry_of(request).asked_as)
    failed = [request for request in ordered if trouble_of(request) is not None]
    if not failed:
        return []
    asked = {id(request): sameness(request) for request in ordered}
    open_ones: dict[Hashable, list[Request]] = {}
    for request in failed:
        open_ones.setdefault(asked[id(request)], []).append(request)
    found: dict[int, Request] = {}
    for is_likely in (_from_same_task, _from_same_line, lambda *_: True):
        for request in ordered:
            same = open_ones.get(asked[id(request)], []) if id(request) not in found else []
            likely = (other for other in same if is_likely(other, request) and _failed_before(other, request))
            if (before := next(likely, None)) is not None:
                found[id(request)] = before
                same.remove(before)
    return [(found[id(request)], request) for request in ordered if id(request) in found]


def _from_same_task(one: Request, other: Request) -> bool:
    return entry_of(one).asker.task == entry_of(other).asker.task != 0


def _from_same_line(one: Request, other: Request) -> bool:
    return one.opened_at == other.opened_at


@dataclass(frozen=True, slots=True)
class Links:
    """Which requests of a record try which again.

    Attributes:
        known_as: the number of the moment at which that was so.
        earlier: what a request tries again, by the id of the request.
        later: what tries a request again, likewise.
    """

    known_as: int
    earlier: dict[int, Request]
    later: dict[int, Request]


def links_of(request: Request) -> tuple[Request | None, Sequence[Request]]:
    """Return what a request tries again, or None, and those that try it again, and again, in order."""
    entry = entry_of(request)
    if entry.links is not None:
        return entry.links
    record = entry.record()
    if record is None:
        return None, ()
    links = _links(record)
    retries, last = [], request
    while (again := links.later.get(id(last))) is not None:
        retries.append(again)
        last = again
    return links.earlier.get(id(request)), tuple(retries)


def _links(record: Record) -> Links:
    """Return the links in a record; those that are known, if nothing has happened in the meantime."""
    now = next(MOMENTS)
    known = record.links
    if known is None or known.known_as != now - 1:
        pairs = retried(record.requests[:])
        earlier = {id(again): before for before, again in pairs}
        known = Links(now, earlier, {id(before): again for before, again in pairs})
    record.links = known = replace(known, known_as=now)
    return known
