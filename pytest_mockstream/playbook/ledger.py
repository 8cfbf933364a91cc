"""What became of every stream that was opened, in whichever door.

The wall: no clock of its own, no waiting but in ``assert_closed``. A ``Request`` is the ledger's entry for one stream;
it never holds the stream, so a stream that nobody holds any more is dropped, whatever the ledger remembers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.notifier import Notifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

State: TypeAlias = Literal["open", "exhausted", "closed", "cancelled", "broken", "dropped"]

_REMEDY = "Close it: use `with` or `async with`, or call close() or aclose() in a `finally`."
_SECRET = re.compile(r"auth|api[-_]?key|token|secret|cookie|credential", re.IGNORECASE)

# Every open stream of the process, as asyncio keeps every task: the leak check compares what is open before and after.
# Strong references are safe, for an entry does not hold its stream. Single operations on a dict are atomic.
_open: dict[int, Request] = {}


# Who wants to hear of every stream that is opened.
_listeners: list[Callable[[Request], None]] = []


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


class Progress(Protocol):
    """What the ledger asks of a playback, long after its stream may be gone."""

    @property
    def produced(self) -> int:
        """How many units have arrived by now, read or not."""

    @property
    def timed_out(self) -> bool:
        """Whether the time that the stream was given has run out before its end."""

    @property
    def loop(self) -> AbstractEventLoop | None:
        """The loop that it plays in, if any."""

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
        refresh: brings the entry up to date while the stream is open, where another thread plays it; or None.
        asked_in: returns the loop that it was asked in, where it plays in another; or None.
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
    refresh: Callable[[], None] | None = field(default=None, repr=False)
    asked_in: Callable[[], AbstractEventLoop | None] | None = field(default=None, repr=False)
    _state: State = field(default="open", repr=False)
    _progress: Progress | None = field(default=None, repr=False)
    _over: Notifier | None = field(default=None, repr=False)

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
            self._over.notify()
        return True

    @property
    def state(self) -> State:
        """What became of the stream.

        ``open``; ``exhausted`` (read to its end); ``closed`` (by the consumer); ``cancelled`` (``cancel()`` or
        ``timeout=``); ``broken`` (by a fault); ``dropped`` (never closed: garbage collected, or its server stopped).
        """
        if self._state == "open" and self.refresh is not None:
            self.refresh()
        if self._state == "open" and self._progress is not None and self._progress.timed_out:
            self.settle("cancelled")
        return self._state

    @property
    def loop(self) -> AbstractEventLoop | None:
        """The loop that the consumer reads in, if any."""
        if self.asked_in is not None:
            return self.asked_in()
        return None if self._progress is None else self._progress.loop

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
            self._over = over = self._over or Notifier()
            seen = over.count
            if self.state == "open":
                over.wait(seen, within)
        if problem := self._complaint(within, after_chunk):
            raise AssertionError(f"{self.title()} {problem}{self._waste()}")

    def _complaint(self, within: float | None, after_chunk: int | None) -> str:
        if self.state == "open":
            return f"is still open. {self.remedy}"
        if self.state == "dropped":
            return f"was dropped: its consumer never closed it. {self.remedy}"
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
