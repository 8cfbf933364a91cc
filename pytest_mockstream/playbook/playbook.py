"""Which script answers which request, and what to tell the test at its end.

What became of each stream is noted in ``ledger``.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.errors import MockStreamError, ScriptError, UnexpectedRequestError, UnusedScriptError
from pytest_mockstream._base.legal import did_you_mean
from pytest_mockstream._base.wording import counted
from pytest_mockstream.script.script import Script

from .ledger import entry_of
from .queued import SERIALS, Condition, Queued
from .request import Request

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_SHOWN = 5  # requests in a message; the first ones say what went wrong

# Every playbook there is: a sweep plays the same scripts again.
_playbooks: weakref.WeakSet[Playbook] = weakref.WeakSet()


def playbooks() -> list[Playbook]:
    """Return the playbooks of all doors in the process."""
    return list(_playbooks)


@dataclass(frozen=True, slots=True)
class _Misdirected:
    """A request that got a default text here, while a script was queued for it elsewhere."""

    request: Request
    elsewhere: Playbook
    queued: Queued


class Playbook:
    """The queue of scripts, and the record of requests.

    A request gets the first script in the queue whose condition it meets and which is not used up. As long as nothing
    was ever queued, every request gets the default script.

    Args:
        default: what is played as long as nothing was ever queued.
        name: the name of the door, for messages.
        providers: every provider that a request can come for, where that is known.
    """

    def __init__(self, default: Script, *, name: str, providers: Collection[str] | None = None) -> None:
        self.default = default
        self.name = name
        self.requests: list[Request] = []
        self.unexpected: list[MockStreamError] = []
        self._providers = providers
        self._entries: list[Queued] = []
        self._unanswered: list[tuple[Condition, CallSite]] = []
        self._misdirected: list[_Misdirected] = []
        self._is_verified = False
        self._serial = next(SERIALS)
        self._defaulted: Request | None = None
        self._count = 0
        #: Chooses the script in our place, for sweeps: gets the request, and the function that picks from the queue.
        self.stand_in: Callable[[Request, Callable[[Request], Script]], Script] | None = None
        #: Waits until every request that was made is recorded; set by a door that answers in another thread.
        self.catch_up: Callable[[], None] = lambda: None
        #: Whether requests of the whole process can come here now; set by a door that can be open or closed.
        self.is_open: Callable[[], bool] = lambda: False
        self._lock = threading.Lock()
        _playbooks.add(self)

    def save(self) -> Callable[[], None]:
        """Return a function that puts queue and record back into their present state."""
        with self._lock:
            entries = [(entry, entry.played) for entry in self._entries]
            requests, unexpected, defaulted = self.requests[:], self.unexpected[:], self._defaulted
            unanswered, misdirected = self._unanswered[:], self._misdirected[:]
            count = self._count

        def restore() -> None:
            with self._lock:
                for entry, played in entries:
                    entry.played = played
                self._entries[:] = [entry for entry, _ in entries]
                self.requests[:] = requests
                self.unexpected[:] = unexpected
                self._defaulted = defaulted
                self._unanswered = unanswered[:]
                self._misdirected = misdirected[:]
                self._count = count

        return restore

    def promise(self, condition: Condition, site: CallSite) -> None:
        """Note that ``when`` was called with this condition, and ``respond`` is to follow.

        Raises:
            ScriptError: no request can meet the condition.
        """
        provider, legal = condition.provider, self._providers
        if provider is not None and legal is not None and provider not in legal:
            near = did_you_mean(provider.lower(), legal)
            known = ", ".join(legal)
            msg = f"when(provider={provider!r}) fits no request to {self.name}.{near} Give one of {known}"
            raise ScriptError(msg)
        self._is_verified = False
        self._unanswered.append((condition, site))

    def fulfil(self, condition: Condition) -> None:
        """Note that ``respond`` was called for a condition, be it with legal arguments or not."""
        self._unanswered = [(other, site) for other, site in self._unanswered if other is not condition]

    def queue(self, script: Script, condition: Condition, *, site: CallSite | None = None) -> None:
        """Add a script to the end of the queue.

        Args:
            script: what to play.
            condition: for which requests.
            site: the line that queues it.

        Raises:
            ScriptError: a request was already answered with the default text; this script comes too late for it.
        """
        with self._lock:
            if not self._entries and (first := self._defaulted) is not None:
                msg = (
                    f"{self.name}.respond() came too late: request {first.number} ({first.path}, at {first.opened_at})"
                    " already got the default text, because nothing was queued then."
                    " Queue every script before the first request."
                )
                raise ScriptError(msg)
            self._is_verified = False
            self._entries.append(Queued(script, condition, site))

    def answer(self, request: Request) -> Script:
        """Record a request and return the script that answers it.

        Raises:
            UnexpectedRequestError: no script is left for it. It is remembered in ``unexpected`` as well, as the code
                under test may swallow it.
        """
        with self._lock:
            self._record(request)
            return self._pick(request) if self.stand_in is None else self.stand_in(request, self._pick)

    def _pick(self, request: Request) -> Script:
        if not self._entries:
            self._defaulted = self._defaulted or request
            self._misdirected += self._meant_elsewhere(request)
            return self.default
        for entry in self._entries:
            if entry.is_left and entry.condition.holds(request):
                entry.played += 1
                return entry.script
        error = UnexpectedRequestError(self._nothing_left(request))
        self.unexpected.append(error)
        raise error

    def record(self, request: Request) -> None:
        """Record a request that needs no script."""
        with self._lock:
            self._record(request)

    def refuse(self, request: Request, error: MockStreamError) -> None:
        """Record a request that no script can answer, and remember why."""
        with self._lock:
            self._record(request)
            self.unexpected.append(error)

    def remember(self, error: MockStreamError) -> None:
        """Keep an error that the code under test may swallow, for ``verify``."""
        with self._lock:
            self.unexpected.append(error)

    def _record(self, request: Request) -> None:
        self._count += 1
        entry_of(request).number = self._count
        self.requests.append(request)

    def _meant_elsewhere(self, request: Request) -> list[_Misdirected]:
        """Return the scripts for such a request that wait at other doors which are open, too.

        A script that was queued before this door was made is not meant for the same test.
        """
        return [
            _Misdirected(request, other, queued)
            for other in playbooks()
            if other is not self and other.is_open() and not other._is_verified
            for queued in other._entries[:]
            if queued.is_left and queued.serial > self._serial and queued.condition.may_hold(request)
        ]

    def _nothing_left(self, request: Request) -> str:
        count = len(self._entries)
        left = sum(queued.is_left for queued in self._entries)
        if left:
            is_left = "is left" if left == 1 else "are left"
            why = f"{left} of {counted(count, 'script')} {is_left}, but not for such a request"
        elif count == 1:
            why = "The one script that was queued has been played"
        else:
            why = f"All {count} scripts that were queued have been played"
        elsewhere = {found.elsewhere.name for found in self._meant_elsewhere(request)}
        return (
            f"no script left for {request.path} (request {request.number}, at {request.opened_at}).\n"
            f"  It asked {_asked(request)}\n"
            f"  {why}:\n{_listed(self._entries)}\n"
            f"  Queue one more with {self.name}.respond(...), or play one again and again with times=None."
            + "".join(f"\n  {name} is open, too, and has a script for such a request." for name in sorted(elsewhere))
        )

    def verify(self, *, unused: Literal["error", "allow"] = "error") -> None:
        """Raise the errors that the code under test may have swallowed, and what is wrong with the scripts.

        Args:
            unused: ``"allow"`` lets scripts go unplayed.

        Raises:
            MockStreamError: the first one that was raised: a request that nothing was scripted for
                (``UnexpectedRequestError``), or a script that its request's format cannot say (``ScriptError``).
            UnexpectedRequestError: a request got a default text, and the script for it waited at another open door.
            UnusedScriptError: scripts were never asked for, or a ``when`` has no ``respond``.
        """
        self._is_verified = True
        if self.unexpected:
            raise self.unexpected[0]
        self._verify_directions()
        if self._unanswered:
            raise UnusedScriptError(self._without_respond())
        left = [queued for queued in self._entries if not queued.is_used]
        if left and unused == "error":
            raise UnusedScriptError(self._unplayed(left))

    def _verify_directions(self) -> None:
        """Raise if a request came to one door, and the script for it waited at another; told once for each script."""
        ours = [(found, self) for found in self._misdirected]
        theirs = [(found, other) for other in playbooks() for found in other._misdirected if found.elsewhere is self]
        for found, got_by in (*ours, *theirs):
            if not found.queued.is_used:
                found.queued.is_told = True
                raise UnexpectedRequestError(_misdirection(found, got_by.name))

    def _without_respond(self) -> str:
        listed = "\n".join(f"    {condition} at {site}" for condition, site in self._unanswered)
        return f"nothing is queued for:\n{listed}\n  Write when(...).respond(...): when alone changes nothing."

    def _unplayed(self, left: list[Queued]) -> str:
        was = "was" if len(left) == 1 else "were"
        how = "played as often as meant" if any(queued.played for queued in left) else "played"
        requests = "\n".join(f"    {r.number}. {r.path} at {r.opened_at}: {_asked(r)}" for r in self.requests[:_SHOWN])
        more = len(self.requests) - _SHOWN
        came = f"{counted(len(self.requests), 'request')} came:\n{requests}\n" if requests else "No request came.\n"
        return (
            f"{counted(len(left), 'script')} {was} not {how}:\n{_listed(left)}\n  {came}"
            + (f"    and {more} more\n" if more > 0 else "")
            + "  Remove the script, or make the code under test ask for it;"
            ' @pytest.mark.mockstream(unused="allow") lets scripts go unplayed.'
        )

    def clear(self) -> None:
        """Forget all scripts and requests."""
        with self._lock:
            self._entries.clear()
            self.requests.clear()
            self.unexpected.clear()
            self._unanswered.clear()
            self._misdirected.clear()
            self._defaulted = None
            self._count = 0


def _asked(request: Request) -> str:
    model = "no model" if request.model is None else f"model {request.model!r}"
    return f"{model} (provider {request.provider!r}): {request.text[:80]!r}"


def _listed(entries: Iterable[Queued]) -> str:
    return "\n".join(f"    {queued}" for queued in entries)


def _misdirection(found: _Misdirected, got_by: str) -> str:
    request, meant_for = found.request, found.elsewhere.name
    return (
        f"{got_by} answered {request.path} (request {request.number}, at {request.opened_at}) with its default text,"
        f" but the script for it waited at {meant_for}:\n{_listed([found.queued])}\n"
        f"  Both are open in this test. Queue the script with {got_by}.respond(...), or use one of the two alone."
    )
