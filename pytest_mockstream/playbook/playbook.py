"""Which script answers which request, and what to tell the test at its end.

What became of each stream is noted in ``ledger``.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.copied import copied
from pytest_mockstream._base.errors import MockStreamError, ScriptError, UnexpectedRequestError, UnusedScriptError
from pytest_mockstream._base.legal import did_you_mean
from pytest_mockstream._base.redaction import brief
from pytest_mockstream._base.store import Store
from pytest_mockstream.script.script import Script

from .calls import Calls
from .computed import Computation, ComputedScript, adriven, driven
from .forks import ForkedUse
from .injected import Injection
from .ledger import asking_clock, entry_of
from .live import LIVE, Live, Recordings
from .messages import misdirected, nothing_left, queue_one_more, unplayed, which, without_respond
from .queued import SERIALS, Condition, Queued
from .request import Request
from .tries import Links

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

# Every playbook there is: a sweep plays the same scripts again.
_playbooks: weakref.WeakSet[Playbook] = weakref.WeakSet()


def playbooks() -> list[Playbook]:
    """Return the playbooks of all doors in the process."""
    return copied(_playbooks)


def _names_path(condition: Condition) -> bool:
    return condition.path is not None or condition.recorded is not None


@dataclass(frozen=True, slots=True)
class _Misdirected:
    """A request that got a default text here, while a script was queued for it elsewhere."""

    request: Request
    elsewhere: Playbook
    queued: Queued


class StandIn(Protocol):
    """Plays other scripts in place of those in the queue, for sweeps."""

    def again(self, request: Request) -> Script | None:
        """Return the script for a request that repeats an earlier one, if it takes none from the queue."""

    def instead_of(self, script: Script, request: Request) -> Script:
        """Return the script for a request that was to get this one."""


#: Chooses the scripts of all playbooks for the requests that are made in a context, for sweeps of whatever is asked.
STAND_IN: ContextVar[StandIn | None] = ContextVar("mockstream_stand_in", default=None)


class Playbook:
    """The queue of scripts, and the record of requests.

    A request gets the first script in the queue whose condition it meets and which is not used up. As long as nothing
    was ever queued, every request gets the default script.

    Args:
        default: what is played as long as nothing was ever queued.
        name: the name of the door, for messages.
        providers: every provider that a request can come for, where that is known.
        keep: how many requests are remembered, the latest, and how many errors, the first; None for all. Of errors, one
            is remembered in any case: ``verify`` raises it.
        wrong_path: says what is wrong with a path that no request can have; None where nothing is.

    Attributes:
        store: what the provider keeps from one request to the next.
    """

    def __init__(
        self,
        default: Script,
        *,
        name: str,
        providers: Collection[str] | None = None,
        keep: int | None = None,
        wrong_path: Callable[[str], str | None] = lambda _path: None,
    ) -> None:
        self.default = default
        self.name = name
        self.requests: list[Request] = []
        self.unexpected: list[MockStreamError] = []
        self.store = Store(keep)
        self.providers = providers
        self.wrong_path = wrong_path
        self._keep = keep
        self._entries: list[Queued] = []
        self._skips: dict[int, int] = {}  # from where entries are used up, and up to where
        self._may_ask_user = False
        self._has_only_recordings = True
        self._by_key: dict[str, list[Queued]] = {}  # of recordings
        self._unanswered: list[tuple[Condition, CallSite]] = []
        self._misdirected: list[_Misdirected] = []
        self._is_verified = False
        self._serial = next(SERIALS)
        self._defaulted: str | None = None
        self._count = 0
        #: The functions of the user's that run now.
        self.calls = Calls()
        #: Trouble that lasts for the whole test.
        self.injected: list[Injection] = []
        #: Chooses the script in our place, for sweeps.
        self.stand_in: StandIn | None = None
        #: The recordings of the test, which may let requests go to their provider.
        self.recordings: Recordings | None = None
        #: Waits until every request that was made is recorded; set by a door that answers in another thread.
        self.catch_up: Callable[[], None] = lambda: None
        #: Says what to do about a request that no script is left for; set where scripts do not come from a test.
        self.advise: Callable[[Request], str] = lambda request: queue_one_more(name, request)
        #: Whether requests of the whole process can come here now; set by a door that can be open or closed.
        self.is_open: Callable[[], bool] = lambda: False
        self._lock = threading.Lock()
        self._self = weakref.ref(self)
        self.links: Links | None = None
        self._preferred: Queued | None = None
        #: Whether a process that was forked from this one has asked its own copy.
        self.asked_after_fork = ForkedUse()
        _playbooks.add(self)

    def save(self) -> Callable[[], None]:
        """Return a function that puts queue and record back into their present state."""
        with self._lock:
            entries = [(entry, entry.played) for entry in self._entries]
            requests, unexpected, defaulted = self.requests[:], self.unexpected[:], self._defaulted
            unanswered, misdirected = self._unanswered[:], self._misdirected[:]
            count, stored = self._count, self.store.copy()
            injected = [one.save() for one in self.injected]

        def restore() -> None:
            with self._lock:
                for entry, played in entries:
                    entry.played = played
                self._entries[:] = [entry for entry, _ in entries]
                self._has_only_recordings = True
                self._by_key.clear()
                for entry, _ in entries:
                    self._index(entry)
                self._skips.clear()
                self.requests[:] = requests
                self.unexpected[:] = unexpected
                self._defaulted = defaulted
                self._unanswered = unanswered[:]
                self._misdirected = misdirected[:]
                self._count = count
                self.store.become(stored)
                for restore_one in injected:
                    restore_one()

        return restore

    def promise(self, condition: Condition, site: CallSite) -> None:
        """Note that ``when`` was called with this condition, and ``respond`` is to follow.

        Raises:
            ScriptError: no request can meet the condition.
        """
        provider, legal = condition.provider, self.providers
        if provider is not None and legal is not None and provider not in legal:
            near = did_you_mean(provider.lower(), legal)
            known = ", ".join(legal)
            msg = f"when(provider={brief(provider)}) fits no request to {self.name}.{near} Give one of {known}"
            raise ScriptError(msg)
        if condition.path is not None and (problem := self.wrong_path(condition.path)):
            raise ScriptError(f"when(path={brief(condition.path)}) fits no request to {self.name}: {problem}")
        self._is_verified = False
        self._unanswered.append((condition, site))

    def fulfil(self, condition: Condition) -> None:
        """Note that ``respond`` was called for a condition, be it with legal arguments or not."""
        self._unanswered = [(other, site) for other, site in self._unanswered if other is not condition]

    def queue(
        self,
        script: Script | ComputedScript,
        condition: Condition,
        *,
        site: CallSite | None = None,
        is_optional: bool = False,
    ) -> None:
        """Add a script to the end of the queue.

        Args:
            script: what to play.
            condition: for which requests.
            site: the line that queues it.
            is_optional: whether it may be left over.

        Raises:
            ScriptError: a request was already answered with the default text; this script comes too late for it.
        """
        with self._lock:
            if not self._entries and (first := self._defaulted) is not None:
                msg = (
                    f"{self.name}.respond() came too late: {first} already got the default text,"
                    " because nothing was queued then. Queue every script before the first request."
                )
                raise ScriptError(msg)
            self._is_verified = False
            self._entries.append(entry := Queued(script, condition, site, is_optional))
            self._index(entry)
            calls = condition.predicate is not None or isinstance(script, ComputedScript)
            self._may_ask_user = self._may_ask_user or calls

    @property
    def queued(self) -> list[Queued]:
        """The scripts in the queue, also those that are used up."""
        with self._lock:
            return self._entries[:]

    @property
    def preferred(self) -> Queued | None:
        """The script that the next request gets that needs one, whatever it asks, and however often it was played."""
        return self._preferred

    def prefer(self, entry: Queued | None) -> None:
        """Let the next request have this script of the queue; None lets it have the one that is meant for it."""
        self._preferred = entry

    def answer(self, request: Request) -> Script:
        """Record a request and return the script that answers it; ``record`` and ``choose`` in one."""
        self.record(request)
        return self.choose(request)

    def choose(self, request: Request) -> Script:
        """Return the script that answers a recorded request, and count it as played.

        It may call functions of the user's, which may do anything: queue a script, ask the model, never return. So no
        lock is held meanwhile, and the next scripts are looked at one by one.

        Raises:
            UnexpectedRequestError: no script is left for it.
            ScriptError: a function raised something, or gave what cannot be played. As the code under test may swallow
                it, either error is remembered in ``unexpected`` as well.
        """
        return driven(self.choosing_script(request))

    async def achoose(self, request: Request) -> Script:
        """Do as ``choose``; functions that are async are awaited in the running loop."""
        return await adriven(self.choosing_script(request))

    def choosing_script(self, request: Request) -> Computation[Script]:
        """Do as ``choosing`` where nothing is recorded."""
        chosen = yield from self.choosing(request)
        assert isinstance(chosen, Script)  # noqa: S101 - see above
        return chosen

    def choosing(self, request: Request) -> Computation[Script | Live]:
        """Do as ``choose``, and yield what is to be awaited; ``LIVE`` where the request goes to its provider."""
        chosen = yield from self._swept(request, self._injected(request, self._pick(request)))
        assert chosen is not None  # noqa: S101 - `_pick` raises where there is none
        return chosen

    def _injected(
        self, request: Request, picking: Computation[Script | Live | None]
    ) -> Computation[Script | Live | None]:
        """Return what is picked, or what is injected in its place."""
        injected = self.injected[:]
        if (refusal := next(filter(None, (one.refuse(request) for one in injected)), None)) is not None:
            return refusal
        script: Script | Live | None = next(filter(None, (one.kept_for(request) for one in injected)), None)
        if script is None:
            script = yield from picking
        for one in injected:
            if isinstance(script, Script):
                script = one.change(request, script)
        return script

    def choosing_named(self, request: Request) -> Computation[Script | Live | None]:
        """Do as ``choosing`` for a request that needs no script; return None if there is none.

        Only scripts count whose condition names the path.
        """
        chosen = yield from self._swept(request, self._take(request, _names_path))
        return LIVE if chosen is None and self._goes_live(request) else chosen

    def _goes_live(self, request: Request) -> bool:
        return self.recordings is not None and self.recordings.records(request)

    def _swept(self, request: Request, picking: Computation[Script | Live | None]) -> Computation[Script | Live | None]:
        """Return what is picked, or what a sweep plays in its place."""
        stand_in = self.stand_in or STAND_IN.get()
        if stand_in is not None and (again := stand_in.again(request)) is not None:
            return again
        script = yield from picking
        return stand_in.instead_of(script, request) if stand_in is not None and isinstance(script, Script) else script

    @property
    def asks_user_code(self) -> bool:
        """Whether choosing a script may call a function of the user's."""
        return self._may_ask_user

    @property
    def may_yet_ask_user_code(self) -> bool:
        """Whether a request that is still to come may do that: not when a test and its verdict are over."""
        return self._may_ask_user and self.is_open() and not self._is_verified

    def _pick(self, request: Request) -> Computation[Script | Live | None]:
        with self._lock:
            preferred, self._preferred = self._preferred, None
            if preferred is not None:
                preferred.played += 1
        if preferred is not None:
            chosen = preferred.script
            return chosen if isinstance(chosen, Script) else (yield from self._computed(chosen, request))
        with self._lock:
            if not self._entries and self.recordings is None:
                if self._defaulted is None:
                    self._defaulted = which(request)
                self._misdirected += self._meant_elsewhere(request)
                self._shorten(self._misdirected)
                return self.default
        if (script := (yield from self._take(request, lambda _condition: True))) is not None:
            return script
        if self._goes_live(request):
            return LIVE
        error = UnexpectedRequestError(self._nothing_left(request))
        self.remember(error)
        raise error

    def _take(self, request: Request, counts: Callable[[Condition], bool]) -> Computation[Script | None]:
        for entry in self._candidates(request):
            if entry.is_left and counts(entry.condition) and self._holds(entry.condition, request):
                with self._lock:
                    if entry.is_left:  # no other request took it in the meantime
                        entry.played += 1
                        taken = entry.script
                    else:
                        continue
                return taken if isinstance(taken, Script) else (yield from self._computed(taken, request))
        return None

    def _index(self, entry: Queued) -> None:
        """Note the key of an entry, for the requests of recordings, which may be many."""
        if (recorded := entry.condition.recorded) is None:
            self._has_only_recordings = False
        else:
            self._by_key.setdefault(recorded.key, []).append(entry)

    def _candidates(self, request: Request) -> Iterable[Queued]:
        """Return the entries that may be for a request: of nothing but recordings, those with its key."""
        with self._lock:
            first = self._entries[0].condition.recorded if self._entries else None
            if first is None or not self._has_only_recordings:
                return self._queue()
        key = first.key_of(request)
        with self._lock:
            return self._by_key.get(key, [])[:]

    def _queue(self) -> Iterator[Queued]:
        """Yield the entries of the queue that may be left, also those that are added meanwhile."""
        position = 0
        while True:
            with self._lock:
                position = self._left_from(position)
                if position == len(self._entries):
                    return
                entry = self._entries[position]
            yield entry
            position += 1

    def _left_from(self, start: int) -> int:
        """Return the place of the first entry that is left, from a place on; later calls need not search again."""
        place = start
        while place < len(self._entries) and not self._entries[place].is_left:
            place = self._skips.get(place, place + 1)
        if place > start:
            self._skips[start] = place
        return place

    def _holds(self, condition: Condition, request: Request) -> bool:
        if condition.predicate is None:
            return condition.may_hold(request)
        with self.calls.calling(condition, request, self):
            return condition.holds(request)

    def _computed(self, script: ComputedScript, request: Request) -> Computation[Script]:
        with self.calls.calling(script, request, self):
            parts = yield from script.parts(request)
        try:
            return script.made_of(parts)
        except ScriptError as error:
            problem = ScriptError(f"{script} cannot answer {which(request)}: {error}")
            self.remember(problem)
            raise problem from None

    def record(self, request: Request) -> None:
        """Record a request that needs no script."""
        with self._lock:
            self._record(request)

    def refuse(self, request: Request, error: MockStreamError) -> None:
        """Record a request that no script can answer, and remember why."""
        with self._lock:
            self._record(request)
            self._remember(error)

    def remember(self, error: MockStreamError) -> None:
        """Keep an error that the code under test may swallow, for ``verify``."""
        with self._lock:
            self._remember(error)

    def _shorten(self, kept: list[Any]) -> None:
        """Forget all but the first of what is to be told at the end."""
        if self._keep is not None:
            del kept[max(1, self._keep) :]

    def _remember(self, error: MockStreamError) -> None:
        self.unexpected.append(error)
        self._shorten(self.unexpected)

    def _record(self, request: Request) -> None:
        self.asked_after_fork.note()
        self._count += 1
        entry = entry_of(request)
        entry.number = self._count
        entry.record, entry.request = self._self, weakref.ref(request)
        entry.note_asked(asking_clock())
        self.requests.append(request)
        if self._keep is not None:
            del self.requests[: max(0, len(self.requests) - self._keep)]

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
        return nothing_left(
            request,
            self._entries,
            advice=self.advise(request),
            before=[other for other in self.requests if other.number < request.number],
            elsewhere={found.elsewhere.name for found in self._meant_elsewhere(request)},
            missed="" if self.recordings is None else self.recordings.missed(request),
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
            ScriptError: a function of the user's has not returned yet.
        """
        self._is_verified = True
        if self.unexpected:
            raise self.unexpected[0]
        self.calls.verify()
        self._verify_directions()
        if self._unanswered:
            raise UnusedScriptError(without_respond(self._unanswered))
        left = [queued for queued in self._entries if not queued.is_used]
        if left and unused == "error":
            told = unplayed(left, self.requests, self._count, records=self.recordings is not None)
            raise UnusedScriptError(told)

    def _verify_directions(self) -> None:
        """Raise if a request came to one door, and the script for it waited at another; told once for each script."""
        ours = [(found, self) for found in self._misdirected]
        theirs = [(found, other) for other in playbooks() for found in other._misdirected if found.elsewhere is self]
        for found, got_by in (*ours, *theirs):
            if not found.queued.is_used:
                found.queued.is_told = True
                told = misdirected(found.request, found.queued, got_by=got_by.name, meant_for=found.elsewhere.name)
                raise UnexpectedRequestError(told)

    def never_played(self) -> list[CallSite]:
        """Return where the scripts were queued that no request has got."""
        with self._lock:
            return [entry.queued_at for entry in self._entries if not entry.played and entry.queued_at is not None]

    def clear(self) -> None:
        """Forget all scripts and requests."""
        with self._lock:
            self._entries.clear()
            self._has_only_recordings = True
            self._by_key.clear()
            self._skips.clear()
            self._may_ask_user = False
            self.requests.clear()
            self.unexpected.clear()
            self._unanswered.clear()
            self._misdirected.clear()
            self._defaulted = None
            self._count = 0
            self.store.clear()
            self.injected.clear()
