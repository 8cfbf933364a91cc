"""Which script answers which request, and what became of every stream that was opened.

The wall: no clock of its own, no waiting but in ``assert_closed``. A ``Request`` is the ledger's entry for one stream;
it never holds the stream, so a stream that nobody holds any more is dropped, whatever the ledger remembers.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol, TypeAlias

from ._bell import Bell
from ._callsite import CallSite
from ._exceptions import MockStreamError, ScriptError, UnexpectedRequestError, UnusedScriptError
from ._legal import integer
from ._script import Script

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

State: TypeAlias = Literal["open", "exhausted", "closed", "cancelled", "broken", "dropped"]

_REMEDY = "Close it: use `with` or `async with`, or call close() or aclose() in a `finally`."
_SECRET = re.compile(r"auth|api[-_]?key|token|secret|cookie|credential", re.IGNORECASE)

# Every open stream of the process, as asyncio keeps every task: the leak check compares what is open before and after.
# Strong references are safe, for an entry does not hold its stream. Single operations on a dict are atomic.
_open: dict[int, Request] = {}


# Who wants to hear of every stream that is opened, and every playbook there is: a sweep plays the same scripts again.
_listeners: list[Callable[[Request], None]] = []
_playbooks: weakref.WeakSet[Playbook] = weakref.WeakSet()


def open_requests() -> list[Request]:
    """Return the ledger's entries of all streams that are open now, in every door of the process."""
    return [request for request in list(_open.values()) if request.state == "open"]


@contextmanager
def opened_requests() -> Iterator[list[Request]]:
    """Collect the ledger's entries of all streams that are opened meanwhile, in every door of the process."""
    opened: list[Request] = []
    note = opened.append
    _listeners.append(note)
    try:
        yield opened
    finally:
        _listeners.remove(note)


def playbooks() -> list[Playbook]:
    """Return the playbooks of all doors that there are in the process."""
    return list(_playbooks)


class Progress(Protocol):
    """What the ledger asks of a playback, long after its stream may be gone."""

    @property
    def produced(self) -> int:
        """How many units have arrived by now, read or not."""

    @property
    def timed_out(self) -> bool:
        """Whether the time that the stream was given has run out before its end."""

    def now(self) -> float:
        """Return the seconds since the opening."""


def redacted(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers with everything that looks like a credential replaced."""
    return {name: "[redacted]" if _SECRET.search(name) else value for name, value in headers.items()}


@dataclass(eq=False, slots=True, kw_only=True, weakref_slot=True)
class Request:
    """One request, as the code under test made it, and what became of its stream.

    Attributes:
        number: position in the record, from 1.
        provider: who was asked.
        path: the URL's path, or the method of the client.
        model: the model that was asked, or None.
        messages: the conversation, as the request gave it; a prompt is one message of the user.
        params: everything else that the request said.
        tools: the tools that the request offers.
        headers: as sent, credentials redacted.
        streaming: whether a stream was asked for.
        opened_at: the caller's line.
        chunks_sent: chunks handed to the consumer.
        chunk_count: chunks a whole reading would have got; None where there is no end.
        left_at: when the stream was over, in seconds since it was opened.
        last_sent_at: when the last chunk was handed over, in seconds since the stream was opened.
        remedy: how whoever opened it closes such a stream.
    """

    number: int = 0
    provider: str
    path: str
    model: str | None
    messages: list[Mapping[str, Any]]
    params: dict[str, Any]
    tools: list[Mapping[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    streaming: bool
    opened_at: CallSite
    chunks_sent: int = 0
    chunk_count: int | None = None
    left_at: float | None = None
    last_sent_at: float = 0.0
    remedy: str = field(default=_REMEDY, repr=False)
    _state: State = field(default="open", repr=False)
    _progress: Progress | None = field(default=None, repr=False)
    _over: Bell | None = field(default=None, repr=False)

    def begin(self, progress: Progress, chunk_count: int | None) -> None:
        """Note that a stream plays the answer."""
        self._progress = progress
        self.chunk_count = chunk_count
        _open[id(self)] = self
        for listener in _listeners:
            listener(self)

    def settle(self, state: State) -> bool:
        """Note how the stream ended; the first word counts. Return whether this was it."""
        if _open.pop(id(self), None) is None:
            return False
        self.left_at = 0.0 if self._progress is None else self._progress.now()
        self._state = state
        if self._over is not None:
            self._over.ring()
        return True

    @property
    def state(self) -> State:
        """What became of the stream.

        ``open``; ``exhausted`` (read to its end); ``closed`` (by the consumer); ``cancelled`` (``cancel()`` or
        ``timeout=``); ``broken`` (by a fault); ``dropped`` (garbage collected unclosed).
        """
        if self._state == "open" and self._progress is not None and self._progress.timed_out:
            self.settle("cancelled")
        return self._state

    @property
    def progress(self) -> Progress | None:
        """The playback behind the stream, or None where none was begun."""
        return self._progress

    @property
    def text(self) -> str:
        """The text of the last message of the user."""
        for message in reversed(self.messages):
            if message.get("role", "user") == "user":
                return message_text(message)
        return ""

    @property
    def turn(self) -> int:
        """Which turn of the model is asked for: 1 until it has spoken; all it says in one go is one turn."""
        spoken = [message.get("role") == "assistant" for message in self.messages]
        return 1 + sum(1 for before, now in zip([False, *spoken], spoken, strict=False) if now and not before)

    @property
    def tool_results(self) -> list[str]:
        """The text of the tools' results that have come since the model last spoke."""
        results = []
        for message in reversed(self.messages):
            if message.get("role") == "assistant":
                break
            if message.get("role") == "tool":
                results.append(message_text(message))
        return results[::-1]

    @property
    def tool_names(self) -> list[str]:
        """The names of the tools that the request offers, in every provider's shape."""
        declared = (one for tool in self.tools for one in tool.get("functionDeclarations") or [tool])
        return [str(name) for one in declared if (name := one.get("function", one).get("name"))]

    @property
    def chunks_wasted(self) -> int:
        """How many chunks were generated for nobody: they had arrived, and the consumer never took them."""
        return 0 if self._progress is None else max(0, self._progress.produced - self.chunks_sent)

    def assert_closed(self, *, within: float | None = None, after_chunk: int | None = None) -> None:
        """Assert that the consumer left the stream properly: read to its end, closed, cancelled, or broken by a fault.

        Args:
            within: the longest time, in seconds, between the last chunk handed over and the closing. A stream that is
                still open is waited for as long, unless it plays in the running loop, which waiting would block.
            after_chunk: the consumer must have left after at most so many chunks.

        Raises:
            AssertionError: it did not.
        """
        if within:
            self._over = over = self._over or Bell()
            seen = over.count
            if self.state == "open":
                over.wait(seen, within)
        if problem := self._complaint(within, after_chunk):
            raise AssertionError(f"{self.title()} {problem}{self._waste()}")

    def _complaint(self, within: float | None, after_chunk: int | None) -> str:
        if self.state == "open":
            return f"is still open. {self.remedy}"
        if self.state == "dropped":
            return f"was dropped, and closed by its finaliser only. {self.remedy}"
        if after_chunk is not None and self.chunks_sent > after_chunk:
            return f"was left after chunk {self.chunks_sent}, not after chunk {after_chunk}."
        took = (self.left_at or 0.0) - self.last_sent_at
        if within is not None and took > within:
            return f"was closed {took:.3g} s after its last chunk, not within {within:.3g} s."
        return ""

    def _waste(self) -> str:
        return f" {self.chunks_wasted} chunks were generated for nobody." if self.chunks_wasted else ""

    def title(self) -> str:
        """Return which stream this is, for a message."""
        of = "" if self.chunk_count is None else f" of {self.chunk_count}"
        return (
            f"stream of {self.provider} {self.path} (request {self.number}, {self.state}, {self.chunks_sent}{of} chunks"
            f" read, opened at {self.opened_at})"
        )


def message_text(message: Mapping[str, Any]) -> str:
    """Return the text of one message: its content, or the text parts of it."""
    content = message.get("content", "")
    if isinstance(content, str):
        return content
    if not isinstance(content, Iterable):
        return ""
    parts = (part if isinstance(part, str) else part.get("text", "") for part in content)
    return "".join(part for part in parts if isinstance(part, str))


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
        request.number = self._count
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
