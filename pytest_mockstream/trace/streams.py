"""The lane of one request: what was asked, what was answered, and what came of the stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pytest_mockstream._base.redaction import brief
from pytest_mockstream._base.watching import Happening
from pytest_mockstream._base.wording import counted, duration
from pytest_mockstream.playbook.ledger import Entry, Quota, entry_of
from pytest_mockstream.playbook.request import Request, shown_path, words_in
from pytest_mockstream.playbook.tries import trouble_of
from pytest_mockstream.script.steps import Fault, HTTPError

from .axis import Axis, rounded
from .chunks import Chunks, Scripts
from .lanes import Lane
from .shown import Shown

#: What is shorter is no pause: in virtual time a rounding error, in real time what a turn of the loop may take.
_SHORTEST = {True: 1e-6, False: 0.02}
_LONGEST_TEXT = 1_000_000  # characters of all that a script says
_ENDS = {
    "exhausted": ("end", "read to its end"),
    "closed": ("close", "closed by its reader"),
    "cancelled": ("cancelled", "cancelled"),
    "broken": ("fault", "broken"),
    "dropped": ("drop", "dropped: garbage collected, never closed"),
}
_INTERRUPTIONS = {
    "CancelledError": ("cancelled", "a read was cancelled, or timed out"),
    "Cancelled": ("cancelled", "a read was cancelled, or timed out"),
    "GeneratorExit": ("close", "a read was closed while it waited"),
    "TimeoutError": ("timeout", "a read timed out"),
}


class Stream:
    """The lane of one request as it is being made, happening by happening.

    Args:
        lane: that of the request.
        request: what was asked.
        axis: that of the run.
        shown: shows texts.
        scripts: knows what scripts say.
        numbers: returns the number of the next event.
        virtual: whether it goes by virtual time.
    """

    def __init__(
        self,
        lane: Lane,
        request: Request,
        *,
        axis: Axis,
        shown: Shown,
        scripts: Scripts,
        numbers: Callable[[], int],
        virtual: bool,
    ) -> None:
        self.lane = lane
        self.request = request
        self.entry: Entry = entry_of(request)
        self._axis = axis
        self._shown = shown
        self._scripts = scripts
        self._numbers = numbers
        self._shortest = _SHORTEST[axis.virtual]
        self._flat = axis.virtual and not virtual
        self._base = lane.start
        self._read = lane.start
        self._held: dict[str, Any] | None = None
        self._is_over = False
        self._chunks = Chunks(partial(scripts.said, self.entry.script))
        self._ask()

    def _ask(self) -> None:
        shown, request, lane = self._shown, self.request, self.lane
        lane.state = "open"
        lane.name = shown.line(f"{request.provider} {shown_path(request)} (request {request.number})")
        lane.at = shown.place(request.opened_at)
        lane.more["request"] = {
            "method": request.method,
            "path": shown.line(str(request.path)),
            "headers": {shown.line(name): shown.text(value) for name, value in request.headers.items()},
            "body": shown.value(request.body),
        }
        what = "asks for a stream" if request.streaming else "asks"
        lane.event(lane.first, lane.start, "request", what, place=lane.at)

    def at(self, relative: float) -> float:
        """Return where on the axis something stands that happened so long after the opening."""
        if self._flat:
            return max(self._axis.now, self.lane.latest)
        return self._axis.reach(max(self._base + relative, self.lane.latest))

    # What happens.

    def tell(self, happening: Happening) -> None:
        """Add a happening of the stream."""
        kind = happening[0]
        if not self._is_over or kind == "over":
            getattr(self, f"_{kind}")(*happening[2:])

    def _answered(self, relative: float, status: int, headers: Any) -> None:
        self.lane.more["response"] = {"status": status, "headers": self._shown.headers(headers)}
        if status >= 400:
            self._event(relative, "answered", f"HTTP {status}")
        else:
            self._event(relative, "answered", f"answered with HTTP {status}")

    def read(self, happening: Happening) -> None:
        """Add a chunk or a frame that was read; they are by far the most of what happens."""
        if self._is_over:
            return
        lane = self.lane
        if self._flat:
            at = arrived = self.at(happening[2])
        else:
            at = self._axis.reach(max(self._base + happening[2], lane.latest))
            arrived = min(max(self._base + happening[3], lane.start), at)
        if at - self._read > self._shortest:
            self._gap(arrived, at)
        lane.latest = self._read = at
        self._chunks.add(arrived, at, self._numbers(), happening)

    def _gap(self, arrived: float, at: float) -> None:
        """Tell of the time in which there was no chunk, and of the time in which there was one that nobody read."""
        self._wait(arrived, "the next chunk" if self._chunks else "the first chunk")
        since = max(arrived, self._read)
        if self._chunks and at - since > self._shortest:
            label = f"a chunk was there for {duration(at - since)} before it was read"
            self.lane.event(self._numbers(), since, "pause", label, until=at)

    def _wait(self, until: float, what: str) -> None:
        took = until - self._read
        if took > self._shortest:
            self.lane.event(self._numbers(), self._read, "wait", f"{what} came after {duration(took)}", until=until)

    def _gate(self, relative: float, held: bool) -> None:
        if held and self._held is None:
            at = self.at(relative)
            self._wait(at, "the gate")
            self._held = self._event(relative, "gate", "a gate holds the stream")
        elif not held and self._held is not None:
            at = self.at(relative)
            self._held["until"] = rounded(self.lane.instant(at))
            self._held["label"] = f"a gate held the stream for {duration(at - self._held['at'])}"
            self._held = None
            self._read = max(self._read, at)  # what it waited until then was the gate's doing

    def _interrupted(self, relative: float, kind: str) -> None:
        event, label = _INTERRUPTIONS.get(kind, ("error", f"a read failed: {kind}"))
        self._event(relative, event, self._shown.line(label))

    def _over(self, relative: float, state: str, *_: float) -> None:
        if self._is_over:
            return
        self._is_over = True
        at, entry = self.at(relative), self.entry
        trouble = trouble_of(self.request)
        if trouble == "timeout" or (state == "cancelled" and entry.timeout is not None and relative >= entry.timeout):
            kind = "timeout"
            label = (
                "its reader ran out of time"
                if entry.timeout is None
                else f"its time-out of {duration(entry.timeout)} ran out"
            )
        elif state == "broken" and isinstance(trouble, Fault):
            kind, label = "fault", f"broken by {_name(trouble)}"
        else:
            kind, label = _ENDS[state]
            if isinstance(trouble, Fault):
                self._event(relative, "fault", f"met {_name(trouble)}", text=self._shown.text(brief(trouble)))
        n = self._numbers()
        self.lane.event(n, at, kind, label, text=self._shown.text(brief(trouble)) if kind == "fault" else "")
        self.lane.over(n, at, state)

    def _left(self, relative: float) -> None:
        self._event(relative, "leak", "nobody closed it", remedy=self.entry.remedy, place=self.lane.at)
        self.lane.leaked = self._is_over = True

    def _event(self, relative: float, kind: str, label: str, **more: Any) -> dict[str, Any]:
        return self.lane.event(self._numbers(), self.at(relative), kind, label, **more)

    # What came of it.

    def reopen(self) -> None:
        """Take back that it is over: the leak check ended it when it had found it open."""
        lane = self.lane
        lane.events = [event for event in lane.events if event["n"] != lane.last]
        lane.end, lane.last, lane.state = None, None, "open"

    def finish(self) -> None:
        """Work out what is known at the end only: the columns of the chunks, and the facts."""
        lane, shown, entry = self.lane, self._shown, self.entry
        if not self._is_over and not lane.leaked and entry.state != "open":  # by its own time-out, or in another run
            self._over(entry.left_at or 0.0, entry.state)
        if self._chunks:
            lane.more["chunks"] = self._chunks.as_data(shown)
        if entry.script is not None and "response" in lane.more:
            said = "".join(text for kind, text in self._scripts.said(entry.script) if kind == "text")
            lane.more["response"]["text"] = shown.text(said)[:_LONGEST_TEXT]
        lane.facts = [[name, shown.line(value)] for name, value in self._facts()]

    def _facts(self) -> Iterator[tuple[str, str]]:
        request, entry = self.request, self.entry
        if name := _wire_format(request):
            yield "wire format", name
        yield "provider", request.provider
        if isinstance(request.model, str) and request.model:
            yield "model", request.model
        if entry.status != 200:
            yield "status", str(entry.status)
        wasted = entry.chunks_wasted
        yield "chunks", f"{entry.amount_read()} read" + (f", {wasted} for nobody" if wasted else "")
        if (first := self._chunks.first) is not None:
            yield "time to first chunk", duration(first - self.lane.start)
        if (tokens := _tokens(request, entry)) is not None:
            yield "tokens", f"{tokens[0]} in, {tokens[1]} out"
        if entry.timeout is not None:
            yield "time-out", duration(entry.timeout)
        if entry.wait is not None:
            yield "asks to wait", duration(entry.wait)
        if entry.quota is not None:
            yield "quota left", _quota(entry.quota)
        for library, attempt in entry.asker.attempts.items():
            yield f"attempt of {library}", str(attempt)
        if entry.asker.test is not None and entry.asker.test != request.opened_at:
            yield "asked from", str(entry.asker.test)


def _name(fault: Fault) -> str:
    return f"HTTP {fault.status}" if isinstance(fault, HTTPError) else type(fault).__name__


def _wire_format(request: Request) -> str:
    """Return the name of the format that a request over HTTP was made in."""
    if not request.method:
        return ""
    from pytest_mockstream.wire import endpoints_at

    found = endpoints_at(str(request.path).partition("?")[0], request.headers, request.provider)
    return found[0][0].name if found else ""


def _tokens(request: Request, entry: Entry) -> tuple[int, int] | None:
    """Return the tokens of a question and of a whole answer, as its last chunk says them."""
    script = entry.script
    if script is None or not entry.chunk_count or entry.status >= 400:
        return None
    if (usage := script.usage) is not None:
        return usage.prompt_tokens, usage.completion_tokens
    return words_in(request.messages), max(0, script.chunk_count - 1)


def _quota(quota: Quota) -> str:
    said = []
    for name, left in (("requests", quota.requests), ("tokens", quota.tokens)):
        if left is not None:
            said.append(f"{left[1]} of {counted(left[0], name.removesuffix('s'))} a minute")
    return ", ".join(said)
