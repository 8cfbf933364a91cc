"""What one can do to the streams of a server by hand, while they play.

It knows no HTTP: a command is a JSON object, and what is wrong with one is told. All of it runs on the server's loop.

Theory of operation: what a command does to a stream is what a step of its script would have done, and is in the record
as if it had been one: the script that the stream plays has the step inserted where its reader had got to, and the state
is the same. A reset happens to the connection, at once, whatever that is busy with; everything else comes in its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import did_you_mean
from pytest_mockstream._base.wording import counted
from pytest_mockstream.doors.answer import Answer
from pytest_mockstream.doors.server.connection import Connection
from pytest_mockstream.playback import ControlledPlayback
from pytest_mockstream.script.inserted import ScriptWithStep
from pytest_mockstream.script.steps import Disconnect, ErrorEvent, Fault, Stall
from pytest_mockstream.wire import WireFrame

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


class CommandError(ValueError):
    """A command that cannot be obeyed.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True, eq=False)
class Playing:
    """A stream that plays.

    Attributes:
        answer: what is sent.
        playback: its frames.
        connection: where they are sent.
        timer: ends a stall.
        stalls: whether it is held for a stall.
    """

    answer: Answer
    playback: ControlledPlayback[WireFrame]
    connection: Connection
    timer: asyncio.TimerHandle | None = None
    stalls: bool = False

    @property
    def number(self) -> int:
        """What identifies the stream."""
        return self.answer.entry.asked_as

    def end_stall(self) -> None:
        """Let it stall no more; what is held stays held."""
        self.stalls = False
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def insert(self, fault: Fault) -> None:
        """Have a fault in the record that the script does not have."""
        entry = self.answer.entry
        if entry.script is not None:
            entry.script = ScriptWithStep(entry.script, fault, before=entry.chunks_sent)


class Streams:
    """The streams that play, and the commands about them.

    Args:
        noted: is told the number of a stream, and what was done to it.

    Attributes:
        holds_new: whether each stream that begins is held at its first chunk.
    """

    def __init__(self, noted: Callable[[int, str], None]) -> None:
        self._noted = noted
        self._playing: dict[int, Playing] = {}
        self._on: dict[Connection, int] = {}
        self.holds_new = False

    @contextmanager
    def playing(self, answer: Answer, connection: Connection) -> Iterator[None]:
        """Take commands about a stream for the length of a block."""
        assert isinstance(answer.playback, ControlledPlayback)  # noqa: S101 - the door makes it so where there is a page
        one = Playing(answer, answer.playback, connection)
        self._playing[one.number] = one
        self._on[connection] = one.number
        if self.holds_new:
            self.hold(one)
        try:
            yield
        finally:
            one.end_stall()
            del self._playing[one.number], self._on[connection]

    @property
    def count(self) -> int:
        """How many streams play."""
        return len(self._playing)

    def of(self, connection: Connection) -> int | None:
        """Return the number of the stream that plays on a connection; None if none does."""
        return self._on.get(connection)

    def is_held(self, number: int) -> bool:
        """Tell whether a stream is held."""
        one = self._playing.get(number)
        return one is not None and one.playback.is_held

    def is_stalled(self, number: int) -> bool:
        """Tell whether a stream was told to stall."""
        one = self._playing.get(number)
        return one is not None and one.stalls

    def command(self, name: str, said: Mapping[str, Any]) -> None:
        """Obey a command about one stream.

        Raises:
            CommandError: there is no such command or stream, or it cannot be done.
        """
        run = _COMMANDS[name]
        run(self, self._named(said.get("stream")), said)

    def _named(self, number: object) -> Playing:
        if not isinstance(number, int) or isinstance(number, bool):
            raise CommandError(f"stream={number!r:.80}: give the number of a stream")
        if (one := self._playing.get(number)) is None:
            raise CommandError(f"stream {number} is over: {self._listed()}", 409)
        return one

    def _listed(self) -> str:
        if not self._playing:
            return "no stream is playing"
        latest = list(self._playing)[-5:]
        return f"{counted(len(self._playing), 'stream')} playing, the latest: {', '.join(map(str, latest))}"

    def hold(self, one: Playing, _said: Mapping[str, Any] | None = None) -> None:
        """Let nothing more pass of a stream."""
        self._take(one)
        one.playback.hold()
        self._noted(one.number, "held by hand")

    def let_go(self, one: Playing, _said: Mapping[str, Any] | None = None) -> None:
        """Let a stream that is held, or stalls, go on."""
        if not one.playback.is_held:
            raise CommandError(f"stream {one.number} is not held", 409)
        one.end_stall()
        one.playback.let_go()
        self._noted(one.number, "let go")

    def step(self, one: Playing, _said: Mapping[str, Any]) -> None:
        """Let one chunk of a stream pass, now; then it is held."""
        self._take(one)
        if not one.playback.step():
            self._noted(one.number, "held by hand")
            raise CommandError(f"stream {one.number} has nothing to step to: its script stalls for ever here", 409)
        self._noted(one.number, "one chunk, then held")

    def stall(self, one: Playing, said: Mapping[str, Any]) -> None:
        """Let a stream fall silent: for some seconds, or until it is let go."""
        self._take(one)
        fault = _made(Stall, said, "seconds")
        one.insert(fault)
        one.playback.hold()
        one.stalls = True
        if fault.seconds is not None:
            one.timer = asyncio.get_running_loop().call_later(fault.seconds, self.let_go, one)
        self._noted(one.number, "stalled" if fault.seconds is None else f"stalled for {fault.seconds:g} s")

    def cut(self, one: Playing, _said: Mapping[str, Any]) -> None:
        """Close the connection of a stream in the middle of the body: FIN."""
        self._take(one)
        fault = Disconnect(how="cut")
        one.insert(fault)
        one.playback.end(fault)
        self._noted(one.number, "cut by hand (FIN)")

    def reset(self, one: Playing, _said: Mapping[str, Any] | None = None) -> None:
        """Reset the connection of a stream: RST."""
        one.end_stall()
        fault = Disconnect()
        one.insert(fault)
        self._noted(one.number, "reset by hand (RST)")
        one.answer.finished(fault)
        one.connection.reset()

    def error(self, one: Playing, said: Mapping[str, Any]) -> None:
        """End a stream with an error in its own wire format."""
        self._take(one)
        fault = _made(ErrorEvent, said, "message", "type", "code")
        answer = one.answer
        if answer.failing is None:
            raise CommandError(f"stream {one.number} plays no script: it can be cut or reset", 409)
        try:
            status, data = answer.failing(one.playback.taken, fault)
        except ScriptError as error:
            raise CommandError(str(error)) from None
        one.insert(fault)
        if status != answer.status:  # its head comes with its body, which has not come
            answer.status = answer.entry.status = status
            answer.headers["content-type"] = "application/json"
        one.playback.end(fault, WireFrame(data))
        self._noted(one.number, f"error sent by hand: {fault.message}")

    def _take(self, one: Playing) -> None:
        """Have a stream do what is said now, and not what was said before."""
        one.end_stall()
        if one.playback.is_ended:
            raise CommandError(f"stream {one.number} is ending: its client does not read; it can be reset", 409)

    def reset_all(self) -> int:
        """Reset the connections of all streams; return how many."""
        playing = list(self._playing.values())
        for one in playing:
            self.reset(one)
        return len(playing)


_COMMANDS: Mapping[str, Callable[[Streams, Playing, Mapping[str, Any]], None]] = {
    "hold": Streams.hold,
    "let_go": Streams.let_go,
    "step": Streams.step,
    "stall": Streams.stall,
    "cut": Streams.cut,
    "reset": Streams.reset,
    "error": Streams.error,
}
ABOUT_STREAMS = tuple(_COMMANDS)


def _made(kind: Any, said: Mapping[str, Any], *names: str) -> Any:
    """Return the step that a command tells of.

    Raises:
        CommandError: a value is not legal.
    """
    try:
        return kind(**{name: value for name in names if (value := said.get(name)) not in (None, "")})
    except ScriptError as error:
        raise CommandError(str(error)) from None


def unknown_command(name: object, known: tuple[str, ...]) -> CommandError:
    """Return the error for a command that there is none of."""
    near = did_you_mean(name, known) if isinstance(name, str) else ""
    return CommandError(f"command={name!r:.80} is not known: give {', '.join(known)}.{near}")
