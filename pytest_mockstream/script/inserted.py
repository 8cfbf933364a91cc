"""A script with a step inserted before one of its chunks, as sweeps and ``Chaos`` break one."""

from __future__ import annotations

from collections.abc import Iterator

from .chunks import StreamChunk
from .gate import Gate
from .pacing import Pacing
from .script import Script
from .steps import Fault, Played, is_end

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


class ScriptWithStep(Script):
    """A script with a step inserted before one of its chunks.

    Up to there it plays what the whole script plays, chunk for chunk and wait for wait.

    Args:
        whole: the script; it may have a step inserted, too.
        step: a fault, or a gate.
        before: the number of the chunk, from 0; that of the chunk after the last one is the end.
    """

    __slots__ = ("_before", "_step", "_whole")

    def __init__(self, whole: Script, step: Fault | Gate, *, before: int) -> None:
        super().__init__(*whole.steps, **whole.options)
        self._whole = whole
        self._step = step
        self._before = before
        self.gates = (*whole.gates, step) if isinstance(step, Gate) else whole.gates

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that it plays."""
        return self._whole.faults if isinstance(self._step, Gate) else (*self._whole.faults, self._step)

    def note_reached(self) -> None:
        """Do nothing; called when the step is about to be played, each time."""

    def units(
        self, *, pacing: Pacing | None = None, salt: int = 0, prompt_tokens: int = 0
    ) -> Iterator[Played[StreamChunk | str]]:
        """Yield what is to be played; see ``Script.units``."""
        to_go = self._before
        for played in self._whole.units(pacing=pacing, salt=salt, prompt_tokens=prompt_tokens):
            if isinstance(played, StreamChunk | str):
                if to_go == 0:
                    self.note_reached()
                    yield self._step
                    if is_end(self._step):
                        return
                to_go -= 1
            yield played
        if to_go == 0:
            self.note_reached()
            yield self._step
