"""What became of the requests of one test, by the line that made them, for the report of a run.

It reads the ledger once, when the test is over, and gives what JSON and xdist's workers can carry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.wording import in_utf8
from pytest_mockstream.playbook.findings import Outcome, asked_by_test, findings_of, library_that_retries
from pytest_mockstream.playbook.ledger import entry_of
from pytest_mockstream.playbook.request import Request
from pytest_mockstream.playbook.tries import retried, trouble_of

from .run_tables import line_of


def of_test(opened: Iterable[Request], printed: str) -> dict[str, list[dict[str, Any]]]:
    """Return what became of requests.

    Args:
        opened: the requests that were answered while the test ran.
        printed: what the test wrote.

    Returns:
        Rows of the tables ``requests``, ``retries`` and ``findings``; none of a table that would be empty.
    """
    records = _by_record(opened)
    tables = {
        "requests": _by_line(request for found in records for request in found),
        "retries": [row for found in records for row in _retries(found)],
        "findings": [row for found in records for row in _findings(found, printed)],
    }
    return {name: rows for name, rows in tables.items() if rows}


def _by_record(opened: Iterable[Request]) -> list[list[Request]]:
    """Return the requests of each door that are in its record now: of a sweep, only those of the first run are."""
    found: dict[int, list[Request]] = {}
    for request in opened:
        found.setdefault(id(entry_of(request).record), []).append(request)
    return [_recorded(requests) for requests in found.values()]


def _recorded(requests: list[Request]) -> list[Request]:
    record = entry_of(requests[0]).record()
    if record is None:  # a client that the test itself made, and that is gone
        return requests
    known = set(map(id, record.requests))
    return [request for request in requests if id(request) in known]


def _place(site: CallSite) -> dict[str, str]:
    return {"at": line_of(in_utf8(str(site)), site.function), "in": in_utf8(site.function)}


def _by_line(requests: Iterable[Request]) -> list[dict[str, Any]]:
    lines: dict[CallSite, list[Request]] = {}
    for request in requests:
        lines.setdefault(request.opened_at, []).append(request)
    return [
        {
            **_place(site),
            "count": len(found),
            "states": dict(Counter(request.state for request in found)),
            "read": sum(request.chunks_sent for request in found),
            "wasted": sum(request.chunks_wasted for request in found),
            "lingered": _longest(map(_lingered, found)),
            "open": _longest(entry_of(request).left_at for request in found),
        }
        for site, found in lines.items()
    ]


def _lingered(request: Request) -> float | None:
    """Return the seconds from the last chunk, or from the opening, to the end; None while it is open."""
    entry = entry_of(request)
    return None if entry.left_at is None else max(0.0, entry.left_at - entry.last_sent_at)


def _longest(spans: Iterable[float | None]) -> float | None:
    known = [span for span in spans if span is not None]
    return round(max(known), 6) if known else None


def _retries(requests: Iterable[Request]) -> list[dict[str, Any]]:
    rows: dict[tuple[CallSite, str | None], dict[str, Any]] = {}
    tries: dict[int, int] = {}
    for before, again in retried(requests):
        if asked_by_test(before, again):
            continue
        tries[id(again)] = number = tries.get(id(before), 1) + 1
        by = library_that_retries(before, again)
        row = rows.setdefault(
            (again.opened_at, by), {**_place(again.opened_at), "by": by, "count": 0, "why": {}, "tries": 0}
        )
        row["count"] += 1
        why = _why(before)
        row["why"][why] = row["why"].get(why, 0) + 1
        row["tries"] = max(row["tries"], number)
    return list(rows.values())


def _why(request: Request) -> str:
    """Return what was wrong with an answer, in a word or two."""
    status = entry_of(request).status
    if status >= 400:
        return f"HTTP {status}"
    trouble = trouble_of(request)
    return trouble if isinstance(trouble, str) else type(trouble).__name__


def _findings(requests: Iterable[Request], printed: str) -> Iterator[dict[str, Any]]:
    for finding in findings_of(requests, Outcome(wrote=printed)):
        yield {
            **_place(finding.request.opened_at),
            "name": finding.name,
            "by": finding.by,
            "count": 1,
            "what": in_utf8(f"{finding.what}{finding.detail}"),
            "remedy": finding.remedy,
        }
