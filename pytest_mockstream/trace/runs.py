"""Makes one run of what has happened: its lanes, with the events on them, and the links between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, groupby
from typing import Any

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.clock import monotonic
from pytest_mockstream._base.watching import Happening
from pytest_mockstream.leaks import Leak, created_at
from pytest_mockstream.playbook.findings import Finding, asked_by_test, library_that_retries
from pytest_mockstream.playbook.ledger import entry_of
from pytest_mockstream.playbook.request import Request
from pytest_mockstream.playbook.tries import retried

from .axis import Axis, Clock, is_virtual, rounded
from .chunks import Scripts
from .happenings import NEAR, Life, Part, Phase
from .lanes import Lane, in_order
from .shown import Shown
from .streams import Stream

_READS = frozenset({"chunk", "frame"})  # by far the most of what happens


class Run:
    """A run as it is being made, happening by happening.

    Args:
        part: what happened.
        shown: shows texts, values and places.
        scripts: knows what scripts say.
        findings: what was found wrong with how the code under test copes with trouble.
    """

    def __init__(self, part: Part, shown: Shown, scripts: Scripts, findings: Sequence[Finding] = ()) -> None:
        self._shown = shown
        self._scripts = scripts
        self._omitted = part.omitted
        self._numbers = count().__next__
        self._ids = count().__next__
        began = next((happening[1] for happening in part.happenings if happening[0] == "began"), 0.0)
        turns = [happening for happening in part.happenings if happening[0] not in _READS]
        self._virtual = {*_virtual_streams(turns)}
        self._axis = Axis(virtual=bool(self._virtual) or any(map(_is_virtual, turns)), zero=began)
        self.lanes: list[Lane] = []
        self._phases: dict[Phase, Lane] = {}
        self._fixtures: dict[tuple[str, CallSite | None], Lane] = {}
        self._makers: dict[int, Lane] = {}  # by what requests call a task or a thread
        self._lives: dict[Life, Lane] = {}
        self._by_serial: dict[int, Lane] = {}
        self._streams: dict[int, Stream] = {}
        self._links: list[dict[str, Any]] = []
        self._tried_again = {id(again): before for before, again in _retried(turns)}
        self._findings: dict[int, list[Finding]] = {}
        for finding in findings:
            self._findings.setdefault(id(finding.request), []).append(finding)
        for happening in part.happenings:
            if happening[0] not in _READS:
                self._tell(happening)
            elif (stream := self._streams.get(happening[1])) is not None:
                stream.read(happening)

    def _tell(self, happening: Happening) -> None:
        match happening[0]:
            case "answered" | "gate" | "interrupted" | "left" | "over":
                if (stream := self._streams.get(happening[1])) is not None:
                    stream.tell(happening)
            case "phase":
                self._phase(*happening[1:])
            case "born":
                self._born(happening[1])
            case "ended":
                self._ended(*happening[1:])
            case "asked":
                self._asked(happening[3])

    # Phases.

    def _phase(self, phase: Phase, begins: bool, instant: float) -> None:
        at = self._axis.at(monotonic, instant)
        if begins:
            self._phases[phase] = self._fixtures.get(phase.key) or self._begin_phase(phase, at)
            return
        lane = self._phases.pop(phase, None) or self._begin_phase(phase, at)
        n = self._numbers()
        if phase.kind == "test":
            label = f"{phase.name} {phase.state}"
        else:
            ended = "torn down" if lane.events else "set up"
            label = f"{lane.name} {ended if phase.state == 'passed' else phase.state}"
        lane.event(n, at, "phase", label)
        lane.over(n, at, lane.state if lane.state == "failed" else phase.state)

    def _begin_phase(self, phase: Phase, at: float) -> Lane:
        lane = self._lane(phase.kind, "", at, self._numbers(), parent=self._stage())
        lane.at = self._shown.place(phase.place)
        lane.state = phase.state
        lane.name = self._shown.line(phase.name if phase.kind == "test" else f"fixture {phase.name}")
        if phase.kind == "fixture":
            self._fixtures[phase.key] = lane
        return lane

    def _stage(self) -> Lane | None:
        """Return the lane of the phase that the test is in."""
        return next(reversed(self._phases.values()), None)

    # Tasks and threads.

    def _owner(self, life: Life) -> Lane | None:
        """Return the lane of the fixture that has started something."""
        fixture = _fixture(life)
        found = [] if fixture is None else [lane for key, lane in self._fixtures.items() if key[0] == fixture[0]]
        return found[-1] if found else None

    def _born(self, life: Life) -> None:
        at = self._axis.at(life.clock, life.born)
        n = self._numbers()
        lane = self._lane(life.kind, "", at, n, self._makers.get(life.parent) or self._owner(life) or self._stage())
        lane.state = "running"
        lane.name = self._shown.line(repr(life.name) + (f" {life.target}()" if life.target else ""))
        lane.at = self._shown.place(created_at(life.frames))
        if (fixture := _fixture(life)) is not None:
            lane.facts.append(["started by", self._shown.line(f"fixture {fixture[0]} ({fixture[1]})")])
        lane.event(n, at, "started", "created" if life.kind == "task" else "started", place=lane.at)
        self._by_serial[life.serial] = lane
        if life.key:
            self._makers[life.key] = lane

    def _ended(self, life: Life, state: str, error: str, clock: Clock, instant: float) -> None:
        at = self._axis.at(clock, instant)
        if life.key:
            self._makers.pop(life.key, None)
        lane = self._by_serial.get(life.serial)
        if lane is None:
            return
        n = self._numbers()
        label = {"raised": f"raised {error}", "ended": "had ended by then"}.get(state, state)
        kind = {"raised": "error", "cancelled": "cancelled"}.get(state, "end")
        lane.event(n, at, kind, self._shown.line(label))
        lane.over(n, at, state)

    # Requests.

    def _asked(self, request: Request) -> None:
        entry = entry_of(request)
        virtual = entry.asked_as in self._virtual
        at = self._axis.at(entry.clock if virtual else monotonic, entry.asked_at)
        lane = self._lane("request", "", at, self._numbers(), self._makers.get(entry.asker.task) or self._stage())
        stream = Stream(
            lane,
            request,
            axis=self._axis,
            shown=self._shown,
            scripts=self._scripts,
            numbers=self._numbers,
            virtual=virtual,
        )
        self._streams[entry.asked_as] = stream
        if (before := self._tried_again.get(id(request))) is not None:
            self._link(stream, before)
        for finding in self._findings.get(id(request), ()):
            self._find(lane, finding)

    def _link(self, stream: Stream, before: Request) -> None:
        """Say which request a retry tries again."""
        lane, other = stream.lane, self._streams[entry_of(before).asked_as].lane
        library = library_that_retries(before, stream.request)
        label = f"{f'{library} itself tries' if library else 'tries'} request {before.number} again"
        lane.event(self._numbers(), lane.start, "retry", self._shown.line(label), lane=other, place=lane.at)
        self._links.append({"kind": "retry", "from": lane, "to": other})

    def _find(self, lane: Lane, finding: Finding) -> None:
        """Say what is wrong with how the code under test copes with trouble."""
        lane.event(
            self._numbers(),
            lane.start,
            "finding",
            self._shown.line(finding.name.replace("_", " ")),
            text=self._shown.text(str(finding)),
            remedy=self._shown.text(finding.remedy),
            place=lane.at,
        )

    def _lane(self, kind: str, name: str, at: float, n: int, parent: Lane | None) -> Lane:
        lane = Lane(id=self._ids(), kind=kind, name=name, start=at, latest=at, first=n, parent=parent)
        self.lanes.append(lane)
        return lane

    # Verdicts.

    def add_leak(self, leak: Leak) -> None:
        """Add what the leak check says, on the lane of what has leaked."""
        lane = self._lane_of(leak)
        if lane is None:
            kind = {"stream": "request"}.get(leak.kind, leak.kind)
            if kind not in {"request", "task", "thread"}:
                lane = self._stage_at_end()
            if lane is None:
                n, at = self._numbers(), self._axis.now
                lane = self._lane(kind if kind in {"request", "thread"} else "task", leak.name, at, n, None)
                lane.name = self._shown.line(leak.name if kind == "request" else repr(leak.name))
                lane.at = self._shown.place(leak.created_at)
                lane.state = "open" if kind == "request" else "running"
        if lane.kind not in {"test", "fixture"}:
            lane.leaked = True
        lane.event(
            self._numbers(),
            self._axis.now if lane.end is None else lane.end,
            "leak",
            self._shown.line(f"leaked: {leak.kind} {leak.name!r}" + (f" ({leak.detail})" if leak.detail else "")),
            text=self._shown.text(leak.diagnosis or ""),
            remedy=self._shown.text(leak.remedy),
            place=self._shown.place(leak.created_at),
            waits_at=self._shown.place(leak.waits_at),
        )

    def _lane_of(self, leak: Leak) -> Lane | None:
        if leak.kind == "stream":
            for stream in self._streams.values():
                ending = f"(request {stream.request.number})"
                if (
                    not stream.lane.leaked
                    and stream.request.opened_at == leak.created_at
                    and leak.name.endswith(ending)
                ):
                    stream.reopen()
                    return stream.lane
            return None
        at = self._shown.place(leak.created_at)
        names = self._shown.line(repr(leak.name))
        for lane in self.lanes:
            if lane.kind == leak.kind and not lane.leaked and lane.at == at and lane.name.startswith(names):
                if leak.fate == "ended" or lane.state != "running":
                    lane.events = [event for event in lane.events if event["n"] != lane.last]
                lane.end, lane.last, lane.state = None, None, "running"
                return lane
        return None

    def _stage_at_end(self) -> Lane | None:
        tests = [lane for lane in self.lanes if lane.kind == "test"]
        return next((lane for lane in tests if lane.name == "call"), tests[0] if tests else None)

    def add_failure(self, phase: str, text: str, site: CallSite | None = None) -> None:
        """Add a failure to the phase that it happened in, with the line that failed."""
        named = [lane for lane in self.lanes if lane.kind == "test" and lane.name == phase]
        for lane in named[-1:]:
            lane.state = "failed"
            for event in lane.events:
                if event["kind"] == "phase":
                    event["label"] = f"{phase} failed"
            if not text.startswith("LeakError:"):  # the leaks stand on their own lanes
                at = self._axis.now if lane.end is None else lane.end
                label = self._shown.line(_headline(text))
                lane.event(self._numbers(), at, "error", label, place=self._shown.place(site))

    @property
    def is_worth_showing(self) -> bool:
        """Whether there is anything on it but phases that passed."""
        return any(lane.kind not in {"test", "fixture"} or lane.state == "failed" for lane in self.lanes)

    def as_data(self, **known: Any) -> dict[str, Any]:
        """Return the run as the schema has it."""
        for stream in self._streams.values():
            stream.finish()
        lanes = in_order(self.lanes)
        ids = {lane.id: number for number, lane in enumerate(lanes)}
        end = max([self._axis.now, *(lane.latest for lane in lanes)])
        made: dict[str, Any] = {
            "name": "",
            "outcome": "passed",
            **known,
            "clock": "virtual" if self._axis.virtual else "real",
            "end": rounded(end),
        }
        if self._omitted:
            made["omitted"] = self._omitted
        made["lanes"] = [lane.as_data(ids=ids) for lane in lanes]
        made["links"] = [link | {"from": ids[link["from"].id], "to": ids[link["to"].id]} for link in self._links]
        return made


def _headline(text: str) -> str:
    """Return the line of a failure's text that says what it was: of a traceback, the first of its last error."""
    lines = text.strip().splitlines() or ["failed"]
    blocks = [list(group) for is_error, group in groupby(lines, lambda line: line.startswith("E  ")) if is_error]
    return blocks[-1][0].removeprefix("E").strip() if blocks else lines[0].strip()


def _fixture(life: Life) -> tuple[str, str] | None:
    """Return name and scope of the fixture that something is credited to; None if it is to none."""
    kind, _, rest = life.owner.partition(":")
    name, _, scope = rest.partition(":")
    return (name, scope) if kind == "fixture" else None


def _retried(happenings: Iterable[Happening]) -> Iterator[tuple[Request, Request]]:
    """Yield each retry with what it tries again, which is a request of the same door."""
    doors: dict[int, list[Request]] = {}
    for happening in happenings:
        if happening[0] == "asked":
            doors.setdefault(id(entry_of(happening[3]).record), []).append(happening[3])
    for requests in doors.values():
        yield from (pair for pair in retried(requests) if not asked_by_test(*pair))


def _is_virtual(happening: Happening) -> bool:
    """Tell whether a task or a thread was born by virtual time."""
    return happening[0] == "born" and is_virtual(happening[1].clock)


def _virtual_streams(happenings: Iterable[Happening]) -> Iterator[int]:
    """Yield the numbers of the requests whose streams go by virtual time: where that differs from the real one.

    A stream that is opened outside of its loop is asked by real time, and by the time it is over, that has not passed.
    """
    asked: dict[int, float] = {}
    for happening in happenings:
        if happening[0] == "asked":
            _, number, at, _, real = happening
            asked[number] = at
            if abs(at - real) > NEAR:
                yield number
        elif happening[0] == "over" and happening[1] in asked:
            _, number, at, _, real = happening
            if asked[number] + at - real > NEAR:
                yield number
