"""``Tape``: the recordings of one test at its doors: what is played, what goes to its provider, and what comes of that.

It writes nothing by itself: whoever has it asks for the ``recording`` when the test is over.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias
from weakref import WeakKeyDictionary

from pytest_mockstream._base import clock
from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.errors import RecordingError
from pytest_mockstream._base.wording import counted
from pytest_mockstream.playbook.live import Ending
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.playbook.queued import Condition
from pytest_mockstream.playbook.request import Request
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import Disconnect, HTTPError

from .canonical import canonical, key_of
from .heard import Asked, Heard, heard, raw_frames
from .matching import Match, first_difference, narrowed, nearest
from .mistakes import unknown_provider, wrong_key
from .recording import RecordedReply, Recording
from .reply import Reply
from .scrub import Scrubber
from .shape import drift, merged
from .written import step_table

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

Mode: TypeAlias = Literal["none", "missing", "all", "check"]
MODES: tuple[Mode, ...] = ("none", "missing", "all", "check")

_DRAIN = 10.0  # seconds that the rest of an answer is read whose client has left
_LONGEST_TEXT = 40  # characters of a text that a condition names


class _Take:
    """What came for one request; filled by whoever reads it, in any thread."""

    def __init__(self, request: Request, asked: Asked, key: str, wanted: Mapping[str, Any]) -> None:
        self.request = request
        self.asked = asked
        self.key = key
        self.wanted = wanted
        self.reply = Reply(begun=clock.monotonic())
        self.left_at: float | None = None
        self.is_over = threading.Event()
        self.made: RecordedReply | str | None = None

    def answered(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        self.reply.status = status
        self.reply.headers = {name.lower(): value for name, value in headers}

    def received(self, data: bytes) -> None:
        if data and not self.is_over.is_set():
            self.reply.pieces.append((clock.monotonic(), data))

    def left(self) -> None:
        if self.left_at is None:
            self.left_at = clock.monotonic()

    def ended(self, how: Ending = "end") -> None:
        if not self.is_over.is_set():
            self.reply.ended, self.reply.ending = clock.monotonic(), how
            self.is_over.set()


@dataclass(frozen=True, slots=True)
class _Same:
    """Tells whether a request is the one that a recording is of."""

    key: str
    place: CallSite
    keys: Callable[[Request], str] = field(repr=False)

    def key_of(self, request: Request) -> str:
        return self.keys(request)

    def fits(self, request: Request) -> bool:
        return self.keys(request) == self.key

    def __repr__(self) -> str:
        return f"<the request of {self.place}>"


class Tape:
    """The recordings of one test.

    Args:
        mode: ``"none"`` plays; ``"missing"`` plays what there is and records the rest, ``"all"`` records everything,
            ``"check"`` asks for everything again and compares.
        recording: what there is.
        test: the id of the test.
        match: which fields of a request make it the same: paths, or a callable; None for all that count.
        speed: plays the gaps that were recorded, so many times as fast; 0 leaves them out.
        frames: whether the frames are kept as they came, too.
        environ: whose secrets are never written.

    Attributes:
        mode: as given.
        drain: how long the rest of an answer is read that its client has left, in seconds.
    """

    def __init__(
        self,
        mode: Mode,
        recording: Recording | None = None,
        *,
        test: str | None = None,
        match: Match | None = None,
        speed: float = 0.0,
        frames: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.mode = mode
        self.drain = _DRAIN
        self._test = test
        self._match = match
        self._speed = speed
        self._keeps_frames = frames
        self._scrubber = Scrubber(os.environ if environ is None else environ)
        self._before = recording or Recording()
        self._takes: list[_Take] = []
        self._lock = threading.Lock()
        self._wanted: WeakKeyDictionary[Request, tuple[dict[str, Any], str]] = WeakKeyDictionary()
        self._heard: list[Heard] = []
        self._playbooks: list[Playbook] = []

    # At the doors.

    def play_at(self, playbook: Playbook, *, passes: bool = True) -> None:
        """Queue what there is at a door, and let the rest of its requests come here.

        Args:
            playbook: of the door.
            passes: whether the door can let requests through; one that has no provider plays only.

        Raises:
            RecordingError: a key is not that of its request, or nobody speaks as its provider does.
        """
        playbook.recordings = self if passes else _PlayOnly(self)
        if self.mode in {"all", "check"}:
            return
        for reply in self._before.replies:
            site = CallSite(str(self._before.path or "recording"), reply.line, "")
            condition = Condition(**reply.when)
            self._check_provider(reply, playbook)
            if (key := self._key_of(reply)) is not None:
                condition = Condition(recorded=_Same(key, site, self._key))
            script = reply.at_speed(self._speed)
            if script.times is None:  # a recording is of requests that were made, each once
                options: dict[str, Any] = script.options
                script = Script(*script.steps, **{**options, "times": 1})
            playbook.queue(script, condition, site=site, is_optional=self.mode == "missing")
        self._playbooks.append(playbook)

    def _check_provider(self, reply: RecordedReply, playbook: Playbook) -> None:
        if playbook.providers is not None and (wrong := unknown_provider(reply.request, playbook.providers)):
            raise RecordingError(f"{self._before.path}:{reply.line}: {wrong}")

    def _key_of(self, reply: RecordedReply) -> str | None:
        """Return the key that a request has to have for a reply; None where a condition chooses it."""
        if reply.request is None:
            return reply.key
        if wrong := wrong_key(reply.key, reply.request):
            raise RecordingError(f"{self._before.path}:{reply.line}: {wrong}")
        return key_of(reply.request if self._match is None else self._narrowed(reply.request))

    def _canonical(self, request: Request) -> tuple[dict[str, Any], str]:
        """Return a request in the form that keys are made of, and its key."""
        found = self._wanted.get(request)
        if found is None:
            wanted = canonical(request, self._scrubber)
            key = key_of(wanted if self._match is None else narrowed(wanted, self._match))
            found = self._wanted[request] = (wanted, key)
        return found

    def _key(self, request: Request) -> str:
        return self._canonical(request)[1]

    def records(self, request: Request) -> bool:
        """Tell whether a request that no script answers goes to its provider."""
        del request
        return self.mode != "none"

    def take(self, request: Request, *, method: str, url: str, headers: Mapping[str, str], body: bytes) -> _Take:
        """Return what looks on at a request that goes to its provider."""
        asked = Asked(provider=request.provider, method=method, url=url, headers=headers, body=body)
        wanted, _ = self._canonical(request)
        made = _Take(request, asked, key_of(wanted), wanted)
        with self._lock:
            self._takes.append(made)
        return made

    def missed(self, request: Request) -> str:
        """Return lines for the message about a request that no recording answers: the nearest, and what differs."""
        others = [reply for reply in self._before.replies if reply.request is not None]
        name = self._before.path or "the recording"
        if not others:
            return f"  {name} has no request that it could be.\n"
        wanted, key = self._canonical(request)
        known = [self._narrowed(reply.request or {}) for reply in others]
        asked = self._narrowed(wanted)
        closest = others[nearest(asked, known) or 0]
        if self._key_of(closest) == key:
            return f"  {name}:{closest.line} is of such a request, and has been played.\n{self._remedy()}"
        said = first_difference(asked, self._narrowed(closest.request or {})) or "nothing that shows"
        told = "".join(f"    {line}\n" for line in said.splitlines())
        return f"  The nearest recording is at {name}:{closest.line}. The first difference:\n{told}{self._remedy()}"

    def _narrowed(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        return dict(wanted) if self._match is None else narrowed(dict(wanted), self._match)

    def _remedy(self) -> str:
        return "  Record it with --mockstream-record=missing, or say with match= which fields count.\n"

    # When the test is over.

    @property
    def has_recorded(self) -> bool:
        """Whether any request has gone to its provider."""
        return bool(self._takes)

    @property
    def ended(self) -> int:
        """How many answers have ended."""
        return sum(take.is_over.is_set() for take in self._takes)

    def wait(self) -> None:
        """Wait until every answer has ended, at most as long as ``drain``; what goes on then is cut there."""
        until = clock.monotonic() + self.drain
        for take in self._takes:
            if not take.is_over.wait(max(0.0, until - clock.monotonic())):
                take.ended("silence")

    def recording(self) -> Recording:
        """Return what there was and what was recorded.

        Raises:
            RecordingError: something that came cannot be said by any script.
        """
        self.wait()
        kept = list(self._before.replies) if self.mode == "missing" else []
        return self._recording(kept, [self._recorded(take) for take in self._takes])

    def so_far(self) -> tuple[Recording, list[str]]:
        """Return what was recorded of the answers that have ended, and why some cannot be; waits for nothing."""
        replies: list[RecordedReply] = []
        problems: list[str] = []
        for take in list(self._takes):
            if take.made is None and take.is_over.is_set():
                take.made = self._recorded_or_why(take)
            if isinstance(take.made, RecordedReply):
                replies.append(take.made)
            elif take.made is not None:
                problems.append(take.made)
        return self._recording([], replies), problems

    def _recorded_or_why(self, take: _Take) -> RecordedReply | str:
        try:
            made = self._recorded(take)
            self.refuse_doubts(Recording(replies=[made]))
        except RecordingError as error:
            return str(error)
        return made

    def not_asked_for(self) -> list[str]:
        """Return where the recordings stand that no request has asked for."""
        return [str(site) for playbook in self._playbooks for site in playbook.never_played()]

    def renew_keys(self, recording: Recording) -> None:
        """Give each reply the key of its request, whatever that is now."""
        for reply in recording.replies:
            if reply.key is not None and reply.request is not None:
                reply.key = key_of(reply.request)

    def _recording(self, kept: list[RecordedReply], made: list[RecordedReply]) -> Recording:
        shapes = {} if self.mode == "all" else dict(self._before.shapes)
        for one in self._heard:
            shapes[one.format] = merged([*([shapes[one.format]] if one.format in shapes else []), one.shape.table()])
        return Recording(
            test=self._test,
            recorded=datetime.now(UTC),
            sdks=_unique(self._before.sdks if kept else [], (_agent(take) for take in self._takes)),
            models=_unique(self._before.models if kept else [], (take.request.model for take in self._takes)),
            replies=[*kept, *made],
            shapes=shapes,
        )

    def doubts(self, recording: Recording) -> list[tuple[int, str, str]]:
        """Return what of a recording may be a secret: the number of the script, where it stands in it, and why."""
        told = []
        for number, reply in enumerate(recording.replies, 1):
            said = {
                "request": reply.request,
                "steps": [step_table(step) for step in reply.script.steps],
                "frames": list(reply.frames),
                "lost": list(reply.lost),
            }
            told += [(number, where, why) for where, why in self._scrubber.doubts(said)]
        return told

    def refuse_doubts(self, recording: Recording) -> None:
        """Refuse a recording in which something may be a secret.

        Raises:
            RecordingError: there is; it says where.
        """
        told = [f"script {number}, {where}: {why}" for number, where, why in self.doubts(recording)]
        if told:
            listed = "".join(f"\n  {one}" for one in told)
            raise RecordingError(
                f"what was recorded may hold a secret, and is not written:{listed}\n  Take it out in"
                " pytest_mockstream_scrub(recording) in a conftest.py"
            )

    def _recorded(self, take: _Take) -> RecordedReply:
        try:
            said = heard(take.asked, take.reply)
            frames = raw_frames(take.reply) if self._keeps_frames else ()
        except ValueError as error:
            msg = f"{take.request} cannot be recorded: {error}"
            raise RecordingError(self._scrubber.scrub(msg)) from None
        self._heard.append(said)
        options: dict[str, Any] = said.script.options
        steps = tuple(self._scrubber.script(said.script.steps))
        script = Script(*steps, **options)
        lost = list(map(self._scrubber.scrub, said.lost))
        if frames and steps != said.script.steps:  # in them, a secret may be split at any byte
            frames = ()
            lost.append("the frames as they came: a secret was in them")
        return RecordedReply(
            script=script,
            when=self._when(take.request),
            key=take.key,
            request=take.wanted,
            gaps=said.gaps,
            ended=said.ended,
            left_after=None if is_failure(said.script) else _chunks_until(said.gaps, take),
            lost=tuple(lost),
            frames=tuple(self._scrubber.deltas(list(frames))),
        )

    def _when(self, request: Request) -> dict[str, Any]:
        """Return for people, and for whoever takes the key out, what is asked."""
        if not request.messages:
            return {"path": f"{request.method} {request.path}"}
        when: dict[str, Any] = {}
        line = self._scrubber.scrub(request.text).strip().partition("\n")[0]
        if line:
            cut = (
                line if len(line) <= _LONGEST_TEXT else line[:_LONGEST_TEXT].rpartition(" ")[0] or line[:_LONGEST_TEXT]
            )
            when["contains"] = cut
        if request.turn > 1 or request.tools:  # the same words are asked again, with what a tool gave
            when["turn"] = request.turn
        return when or {"path": request.path}

    def check(self) -> None:
        """Compare what came with what was recorded: the shapes, not the words.

        Raises:
            RecordingError: fields are new, lost or of another type, events come in another order, or a request was not
                recorded.
        """
        self.wait()
        left: dict[str | None, deque[RecordedReply]] = {}
        for reply in self._before.replies:
            left.setdefault(reply.key, deque()).append(reply)
        told: list[str] = []
        for take in self._takes:
            if not left.get(take.key):
                told.append(f"{take.request} is not in the recording")
                continue
            left[take.key].popleft()
            try:
                self._heard.append(heard(take.asked, take.reply))
            except ValueError as error:
                told.append(f"{take.request}: {error}")
        now: dict[str, list[dict[str, list[str]]]] = {}
        for one in self._heard:
            now.setdefault(one.format, []).append(one.shape.table())
        for name, shapes in now.items():
            told += [f"{name}: {what}" for what in drift(self._before.shapes.get(name, {}), merged(shapes))]
        if told:
            listed = "".join(f"\n  {self._scrubber.scrub(what)}" for what in told)
            msg = f"{self._before.path} is not what the provider says now, {counted(len(told), 'difference')}:{listed}"
            raise RecordingError(f"{msg}\n  Record it again with --mockstream-record=all")


class _PlayOnly:
    """The recordings of a test at a door whose requests have no provider."""

    drain = 0.0

    def __init__(self, tape: Tape) -> None:
        self.missed = tape.missed
        self.take = tape.take

    def records(self, request: Request) -> bool:
        del request
        return False


def is_failure(script: Script) -> bool:
    """Tell whether a reply was an HTTP error, or none at all."""
    return bool(script.steps) and isinstance(script.steps[0], HTTPError | Disconnect)


def _agent(take: _Take) -> str | None:
    return take.asked.headers.get("user-agent")


def _unique(before: Sequence[str], more: Iterable[str | None]) -> list[str]:
    return list(dict.fromkeys((*before, *(one for one in more if one))))


def _chunks_until(gaps: Sequence[float], take: _Take) -> int | None:
    """Return how many chunks had come when the client left; None if it stayed to the end."""
    if take.left_at is None:
        return None
    at, count = take.reply.begun, 0
    for gap in gaps:
        at += gap
        if at > take.left_at:
            break
        count += 1
    return count
