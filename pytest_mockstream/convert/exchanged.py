"""Makes a recording of exchanges, by the code that records what a door lets through to its provider."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.errors import RecordingError
from pytest_mockstream._base.wording import counted
from pytest_mockstream.doors.answer import Answer, understood
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.doors.passed import pass_on
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.recordings import Recording, Tape, joined
from pytest_mockstream.script.script import Script

from .result import ConversionError, Converted, refused
from .vcrpy import Exchange

_SHOWN = 3  # of what was lost


def recorded(path: Path, exchanges: Iterable[Exchange]) -> Converted:
    """Return a recording of exchanges; what nothing here can say is left out, and noted.

    Raises:
        ConversionError: something in them may be a secret, or nothing is left of them.
    """
    made, streamed = Converted(), 0
    parts: list[Recording] = []
    dates: list[datetime] = []
    playbook = Playbook(Script(times=None), name="convert")
    for exchange in exchanges:
        part = _one(playbook, exchange, made)
        if part is None:
            continue
        parts.append(part)
        dates += [date for name, value in exchange.answer_headers if name == "date" and (date := _date(value))]
        streamed += playbook.requests[-1].streaming
    if not parts:
        raise ConversionError("\n".join([f"{path}: nothing in it can be carried over", *made.notes]))
    if streamed:
        made.notes.append(
            f"{path}: {counted(streamed, 'streamed reply') if streamed == 1 else f'{streamed} streamed replies'}: a"
            " cassette keeps no times, so that the chunks have no gaps"
        )
    made.recording = joined(parts)
    made.recording.recorded = min(dates, default=None)
    return made


def _one(playbook: Playbook, exchange: Exchange, made: Converted) -> Recording | None:
    """Return a recording of one exchange; None if there is none, which is noted."""
    place = exchange.place
    incoming = HTTPRequest(method=exchange.method, url=exchange.url, headers=exchange.headers, body=exchange.body)
    if exchange.status == 101:
        made.notes.append(f"{place} is left out: no script says what goes over a websocket")
        return None
    asked = understood(playbook, incoming, opened_at=CallSite(str(place.path), place.line, ""))
    if isinstance(asked, Answer):
        asked.leave()
        why = "a door answers it by itself" if asked.error is None else str(asked.error).partition("\n")[0]
        made.notes.append(f"{place} is left out: {why}")
        return None
    tape = Tape("all")
    passed = pass_on(asked.request, incoming, tape, made.notes.append)  # type: ignore[arg-type] # nothing is told
    passed.answered(exchange.status, exchange.answer_headers)
    passed.received(exchange.answer_body)
    passed.ended()
    try:
        recording = tape.recording()
    except RecordingError as error:
        made.notes.append(f"{place} is left out: {error}")
        return None
    if doubts := tape.doubts(recording):
        raise refused(place, doubts)
    (reply,) = recording.replies
    reply.gaps, reply.ended = (), 0.0
    if reply.lost:
        more = "" if len(reply.lost) <= _SHOWN else f" and {len(reply.lost) - _SHOWN} more"
        made.notes.append(f"{place}: no step says {', '.join(reply.lost[:_SHOWN])}{more} (`lost` in the file)")
    return recording


def _date(text: str) -> datetime | None:
    """Return a date of HTTP (RFC 9110, 5.6.7)."""
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
