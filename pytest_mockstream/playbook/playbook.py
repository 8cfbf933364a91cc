"""Which script answers which request, and what the code under test may have hidden.

The wall: no clock and no waiting; what became of a stream is the ledger's business.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

from pytest_mockstream._base.errors import MockStreamError, ScriptError, UnexpectedRequestError, UnusedScriptError
from pytest_mockstream._base.legal import integer
from pytest_mockstream.script.script import Script

from .ledger import entry_of
from .request import Request

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

# Every playbook there is: a sweep plays the same scripts again.
_playbooks: weakref.WeakSet[Playbook] = weakref.WeakSet()


def playbooks() -> list[Playbook]:
    """Return the playbooks of all doors that there are in the process."""
    return list(_playbooks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Which requests a script answers; None means "any".

    Attributes:
        contains: the last message of the user contains this text.
        matches: this regular expression is found in the last message of the user.
        model: the model asked for.
        provider: the provider asked.
        tool: a tool of this name is offered.
        tool_result_contains: a tool's result that the request brings, new since the model last spoke, has this text.
        turn: how often the model has its turn, this one included: 1 for the first request of a conversation.
        predicate: a callable that gets the ``Request``.
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
        """Tell whether a request is meant."""
        return (
            (self.contains is None or self.contains in request.text)
            and (self.matches is None or re.search(self.matches, request.text) is not None)
            and (self.model is None or self.model == request.model)
            and (self.provider is None or self.provider == request.provider)
            and (self.tool is None or self.tool in request.tool_names)
            and (self.tool_result_contains is None or self.tool_result_contains in "\n".join(request.tool_results))
            and (self.turn is None or self.turn == request.turn)
            and (self.predicate is None or bool(self.predicate(request)))
        )

    def __str__(self) -> str:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["matches"] = self.matches.pattern if isinstance(self.matches, re.Pattern) else None
        said = [f"{name}={value!r}" for name, value in values.items() if value is not None]
        return f"when({', '.join(said)})" if said else "any request"


@dataclass(slots=True)
class _Entry:
    script: Script
    condition: Condition
    played: int = 0

    @property
    def is_left(self) -> bool:
        return self.script.times is None or self.played < self.script.times

    @property
    def is_used(self) -> bool:
        return self.played >= (self.script.times or 1)

    def __str__(self) -> str:
        times = "any number of times" if self.script.times is None else f"{self.script.times}x"
        return f"{self.script!r} for {self.condition} (played {self.played}, meant {times})"


class Playbook:
    """The queue of scripts, and the record of requests.

    A request gets the first script in the queue that is meant for it and not used up. With nothing ever queued, every
    request gets the default script.

    Args:
        default: what is played when nothing was ever queued.
        name: what the user calls us, for messages.
    """

    def __init__(self, default: Script, *, name: str) -> None:
        self.default = default
        self.name = name
        self.requests: list[Request] = []
        self.unexpected: list[MockStreamError] = []
        self._entries: list[_Entry] = []
        self._defaulted: Request | None = None
        self._count = 0
        #: Stands between a request and its script: gets the request, and what picks the script from the queue.
        self.stand_in: Callable[[Request, Callable[[Request], Script]], Script] | None = None
        #: Lets every request be recorded that was made by now; a door that hears of them later puts its own here.
        self.catch_up: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        _playbooks.add(self)

    def save(self) -> Callable[[], None]:
        """Return what puts queue and record back to how they are now."""
        with self._lock:
            entries = [(entry, entry.played) for entry in self._entries]
            requests, unexpected, defaulted = self.requests[:], self.unexpected[:], self._defaulted
            count = self._count

        def restore() -> None:
            with self._lock:
                for entry, played in entries:
                    entry.played = played
                self._entries[:] = [entry for entry, _ in entries]
                self.requests[:] = requests
                self.unexpected[:] = unexpected
                self._defaulted = defaulted
                self._count = count

        return restore

    def queue(self, script: Script, condition: Condition) -> None:
        """Add a script to the end of the queue.

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
            self._entries.append(_Entry(script, condition))

    def answer(self, request: Request) -> Script:
        """Record a request and return the script that answers it.

        Raises:
            UnexpectedRequestError: no script is left for it. It is remembered in ``unexpected``, for code under test
                may swallow it.
        """
        with self._lock:
            self._record(request)
            return self._pick(request) if self.stand_in is None else self.stand_in(request, self._pick)

    def _pick(self, request: Request) -> Script:
        if not self._entries:
            self._defaulted = self._defaulted or request
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

    def _nothing_left(self, request: Request) -> str:
        queued = "\n".join(f"    {entry}" for entry in self._entries)
        meant = [entry for entry in self._entries if entry.is_left]
        why = (
            f"{len(meant)} of {len(self._entries)} scripts are left, but none is meant for it"
            if meant
            else f"All {len(self._entries)} scripts that were queued have been played"
        )
        return (
            f"no script left for {request.path} (request {request.number}, at {request.opened_at}).\n"
            f"  It asked {request.model or 'no model'} of {request.provider}: {request.text[:80]!r}\n"
            f"  {why}:\n{queued}\n"
            f"  Queue one more with {self.name}.respond(...), or play one again and again with times=None."
        )

    def verify(self, *, unused: Literal["error", "allow"] = "error") -> None:
        """Raise what the code under test may have hidden.

        Args:
            unused: ``"allow"`` lets scripts go unplayed.

        Raises:
            MockStreamError: the first one that was raised: a request that nothing was scripted for
                (``UnexpectedRequestError``), or a script that its request's format cannot say (``ScriptError``).
            UnusedScriptError: scripts were never asked for.
        """
        if self.unexpected:
            raise self.unexpected[0]
        left = [entry for entry in self._entries if not entry.is_used]
        if left and unused == "error":
            listed = "\n".join(f"    {entry}" for entry in left)
            msg = (
                f"{len(left)} of {len(self._entries)} scripts were never played, or not as often as meant:\n{listed}\n"
                f"  {len(self.requests)} requests came. Remove the script, or make the code under test ask for it;"
                ' @pytest.mark.mockstream(unused="allow") lets scripts go unplayed.'
            )
            raise UnusedScriptError(msg)

    def clear(self) -> None:
        """Forget all scripts and requests."""
        with self._lock:
            self._entries.clear()
            self.requests.clear()
            self.unexpected.clear()
            self._defaulted = None
            self._count = 0
