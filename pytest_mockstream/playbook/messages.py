"""What a playbook says to the test: of a request that nothing is left for, and of scripts that were not played."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.redaction import brief
from pytest_mockstream._base.wording import counted

from .queued import Condition, Queued, suggestion
from .request import Request, shown_path

_SHOWN = 5  # requests in a message; the first ones say what went wrong
_LISTED = 10  # scripts in a message


def nothing_left(
    request: Request,
    queued: Sequence[Queued],
    *,
    advice: str,
    before: Sequence[Request],
    elsewhere: Collection[str],
    missed: str,
) -> str:
    """Say that no script is left for a request.

    Args:
        request: the request.
        queued: the scripts of the door, the used ones, too.
        advice: what to do about it, in lines.
        before: the requests before it, one of which may have taken its script.
        elsewhere: the doors that have a script for such a request.
        missed: what recordings say of it; "" where there are none.
    """
    count, left = len(queued), sum(entry.is_left for entry in queued)
    if left:
        is_left = "is left" if left == 1 else "are left"
        why = f"{left} of {counted(count, 'script')} {is_left}, but not for such a request"
    elif count == 1:
        why = "The one script that was queued has been played"
    else:
        why = f"All {count} scripts that were queued have been played"
    return (
        f"no script left for {shown_path(request)} (request {request.number}, at {request.opened_at}).\n"
        f"  It asked {_asked(request)}\n"
        f"  {why}:\n{listed([_shown_for(entry, request) for entry in queued])}\n"
        f"{missed}"
        f"{_asked_before(before)}"
        + "\n".join(f"  {line}" for line in advice.split("\n"))
        + "".join(f"\n  {other} is open, too, and has a script for such a request." for other in sorted(elsewhere))
    )


def queue_one_more(name: str, request: Request) -> str:
    """Say to a test how it gets a script for such requests.

    Args:
        name: the door that was asked.
        request: the request.
    """
    return (
        f"Queue one more with {name}.respond(...), or play one again and again with times=None.\n"
        f"For requests like this one: {name}.{suggestion(request)}.respond(...)"
    )


def _asked_before(before: Sequence[Request]) -> str:
    if not before:
        return ""
    more = f"    and {len(before) - _SHOWN} before\n" if len(before) > _SHOWN else ""
    return f"  Asked before:\n{more}" + "".join(f"    {_line_of(other)}\n" for other in before[-_SHOWN:])


def unplayed(left: Sequence[Queued], requests: Sequence[Request], count: int, *, records: bool) -> str:
    """Say that scripts were not played.

    Args:
        left: the scripts.
        requests: those that came, as far as they are remembered.
        count: how many came.
        records: whether the test has recordings.
    """
    was = "was" if len(left) == 1 else "were"
    how = "played as often as meant" if any(entry.played for entry in left) else "played"
    lines = "\n".join(f"    {_line_of(request)}" for request in requests[:_SHOWN])
    more = len(requests) - _SHOWN
    came = f"{counted(count, 'request')} came{':' if lines else '.'}\n" if count else "No request came.\n"
    return (
        f"{counted(len(left), 'script')} {was} not {how}:\n{listed(left)}\n  {came}"
        + (f"{lines}\n" if lines else "")
        + (f"    and {more} more\n" if more > 0 else "")
        + "  Remove the script, or make the code under test ask for it;"
        + (" --mockstream-record=all records the test anew;" if records else "")
        + ' @pytest.mark.mockstream(unused="allow") lets scripts go unplayed.'
    )


def without_respond(unanswered: Sequence[tuple[Condition, CallSite]]) -> str:
    """Say that a ``when`` has no ``respond``."""
    promised = listed([f"{condition} at {site}" for condition, site in unanswered])
    return f"nothing is queued for:\n{promised}\n  Write when(...).respond(...): when alone changes nothing."


def misdirected(request: Request, queued: Queued, *, got_by: str, meant_for: str) -> str:
    """Say that a request got a default text at one door while the script for it waited at another."""
    return (
        f"{got_by} answered {shown_path(request)} (request {request.number}, at {request.opened_at}) with its"
        f" default text, but the script for it waited at {meant_for}:\n{listed([queued])}\n"
        f"  Both are open in this test. Queue the script with {got_by}.respond(...), or use one of the two alone."
    )


def which(request: Request) -> str:
    """Return which request it is, for a message."""
    return f"request {request.number} ({shown_path(request)}, at {request.opened_at})"


def listed(entries: Sequence[object]) -> str:
    """Return one line for each of the first entries."""
    lines = [f"    {entry}" for entry in entries[:_LISTED]]
    more = len(entries) - _LISTED
    return "\n".join([*lines, f"    and {more} more"] if more > 0 else lines)


def _shown_for(queued: Queued, request: Request) -> str:
    """Return a script in the queue and, if one is left, why it is not for a request."""
    unmet = queued.condition.unmet(request) if queued.is_left else []
    return f"{queued}, not met: {', '.join(f'{name}=' for name in unmet)}" if unmet else str(queued)


def _line_of(request: Request) -> str:
    return f"{request.number}. {shown_path(request)} at {request.opened_at}: {_asked(request)}"


def _asked(request: Request) -> str:
    model = "no model" if request.model is None else f"model {brief(request.model)}"
    return f"{model} (provider {request.provider!r}): {request.text[:80]!r}"
