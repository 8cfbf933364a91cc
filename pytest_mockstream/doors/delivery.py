"""``Answer``: what a door sends for one request, and what the ledger notes as it is sent.

It has no socket and no HTTP library, and waits for nothing. A door reads frames with ``answer.playback.receive`` or
``areceive`` and reports what became of them with ``delivered``, ``finished``, ``leave`` or ``dropped``. What that means
for the ledger and for the connection is decided here, once for all doors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from pytest_mockstream._base.errors import MockStreamError
from pytest_mockstream._base.loops import Loop
from pytest_mockstream._base.watching import Note
from pytest_mockstream.playback import End, Ending, Playback
from pytest_mockstream.playbook.ledger import Entry, State
from pytest_mockstream.playbook.request import Request
from pytest_mockstream.script.steps import Disconnect, ErrorEvent, Failed, Played
from pytest_mockstream.wire import WireFrame

from .failing import Fails
from .unclosed import warn_unclosed

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


class Close(Enum):
    """What a door does with the connection at the end of an answer.

    ``END`` leaves it in order, ``RESET`` resets it (RST), ``CUT`` closes it in the middle of the body (FIN).
    """

    END = "end"
    RESET = "reset"
    CUT = "cut"


@dataclass(eq=False, slots=True, kw_only=True)
class Answer:
    """What a door sends, and the ledger's entry for it.

    Attributes:
        status: the HTTP status.
        headers: of the response, without those that delimit the body: they depend on the door.
        headers_first: whether status and headers are sent at once, or only with the first frame (or the ending, if that
            comes before any frame; on ``Close.RESET`` and ``Close.CUT`` they are then never sent).
        request: what was asked, as the user sees it.
        entry: the ledger's entry for it.
        playback: the frames of the body.
        error: our own error, if the request was refused; the playbook remembers it.
        whole: whether the last frame of the body was handed over. The stream is open all the same until the consumer
            has seen the end of the body, or has closed it.
        failing: makes an error that the script does not have; None where no script plays.
    """

    status: int
    headers: dict[str, str]
    headers_first: bool
    request: Request
    entry: Entry
    playback: Playback[WireFrame]
    error: MockStreamError | None = None
    whole: bool = False
    failing: Fails | None = None

    def delivered(self, instant: float, frame: WireFrame) -> bytes:
        """Note that a frame was handed to the consumer, and return its bytes."""
        data, chunks, last, _ = frame
        entry = self.entry
        if chunks:
            entry.chunks_sent += chunks
        else:
            entry.has_bare_frames = True
        entry.last_sent_at = instant
        if entry.note is not None:
            entry.note(("frame", entry.asked_as, self.playback.read_at, instant, chunks, data))
        if last:
            self.whole = True
        return data

    def finished(self, ending: Ending) -> Close:
        """Note how the playback ended, and return what that means for the connection."""
        self.entry.settle(_state_of(ending) if self.status < 400 else "broken")
        if isinstance(ending, Disconnect):
            return Close.RESET if ending.how == "reset" else Close.CUT
        return Close.CUT if ending in {End.CANCELLED, End.TIMED_OUT} else Close.END

    def leave(self, state: State = "closed") -> None:
        """Note that the consumer left, or timed out (``"broken"``), and end the producer. Any number of times."""
        if self._is_refusal():
            state = "broken"
        self.entry.settle("exhausted" if self.whole and state == "closed" else state)
        self.playback.stop(End.LEFT)

    def dropped(self) -> None:
        """Do as ``leave``, from the finaliser of a body that nobody closed; warns if the stream was open."""
        if self._is_refusal():
            self.leave()
        if not self.entry.settle("dropped"):
            return
        self.playback.stop(End.LEFT)
        warn_unclosed(self.request, self.entry.remedy)

    def _is_refusal(self) -> bool:
        """Tell whether it is an error, or ends in one that was read: that is why its consumer has left."""
        return self.status >= 400 or isinstance(self.playback.take(), ErrorEvent | Failed)


def _state_of(ending: Ending) -> State:
    match ending:
        case End.WHOLE:
            return "exhausted"
        case End.LEFT:
            return "closed"
        case End.CANCELLED | End.TIMED_OUT:
            return "cancelled"
    return "broken"


class ChunkCounter:
    """Counts the chunks in frames, so that the ledger can ask a playback of frames how many chunks it has produced."""

    def __init__(self) -> None:
        self._chunks_by_frame = [0]
        self.playback: Playback[WireFrame] | None = None

    def counted(self, steps: Iterable[Played[WireFrame]]) -> Iterator[Played[WireFrame]]:
        """Pass steps on, and count the chunks behind each frame."""
        note, count = self._chunks_by_frame.append, 0
        for step in steps:
            if isinstance(step, WireFrame):
                count += step.chunks
                note(count)
            yield step

    @property
    def produced(self) -> int:
        """How many chunks were produced."""
        return 0 if self.playback is None else self._chunks_by_frame[self.playback.produced]

    @property
    def timed_out(self) -> bool:
        """Whether the stream's own time-out ended it."""
        return self.playback is not None and self.playback.timed_out

    @property
    def loop(self) -> Loop | None:
        """The loop that plays it, if one does."""
        return None if self.playback is None else self.playback.loop

    def now(self) -> float:
        """The time on the clock of the playback, in seconds."""
        return 0.0 if self.playback is None else self.playback.now()

    def watch(self, note: Note, number: int) -> None:
        """Tell of what happens to the playback from now on."""
        if self.playback is not None:
            self.playback.watch(note, number)

    def stop(self, ending: End) -> None:
        """End the playback."""
        if self.playback is not None:
            self.playback.stop(ending)
