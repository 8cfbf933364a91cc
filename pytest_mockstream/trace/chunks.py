"""The chunks of a stream as columns: when each came and was read, what it says, and its frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pytest_mockstream._base.redaction import REDACTED, hidden_at
from pytest_mockstream._base.watching import Happening
from pytest_mockstream.script.chunks import StreamChunk
from pytest_mockstream.script.script import Script

from .axis import rounded
from .frames import coded
from .shown import Shown

#: What a chunk is, and its text.
Said = tuple[str, str]

_RANKS = ("end", "item", "text", "reasoning", "refusal", "tool")  # what a frame with several chunks is called by


class Chunks:
    """The chunks that were read of one stream.

    Args:
        said: returns what each chunk of its script says; nothing where no script is known. It is asked for frames only.

    Attributes:
        first: when the first chunk arrived that is one of the script's.
    """

    def __init__(self, said: Callable[[], Sequence[Said]]) -> None:
        self.first: float | None = None
        self._ask = said
        self._said: Sequence[Said] | None = None
        self._taken = 0
        self._rows: list[tuple[float, float, int, Said, str | None]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, arrived: float, read: float, n: int, happening: Happening) -> None:
        """Add what was read.

        Args:
            arrived: when it came, on the axis.
            read: when it was read.
            n: its number.
            happening: the chunk, or the frame with how many chunks of the script are in it.
        """
        frame: str | None = None
        if happening[0] == "chunk":
            said = said_by(happening[4])
        else:
            said, frame = self._take(happening[4]), str(happening[5], "utf-8", "surrogateescape")
        if self.first is None and said[0] != "frame":
            self.first = arrived
        self._rows.append((arrived, read, n, said, frame))

    def _take(self, count: int) -> Said:
        """Return what the next chunks of the script say."""
        if self._said is None:
            self._said = self._ask()
        start = self._taken
        self._taken = stop = start + count
        if count == 1 and start < len(self._said):
            return self._said[start]
        said = self._said[start:stop]
        if not said:
            return "frame", ""
        return max((kind for kind, _ in said), key=_RANKS.index), "".join(text for _, text in said)

    def as_data(self, shown: Shown) -> dict[str, Any]:
        """Return the columns as the schema has them."""
        arrived, read, numbers, said, frames = map(list, zip(*self._rows, strict=True))
        kinds, texts = map(list, zip(*said, strict=True))
        texts, frames = _shown(shown, kinds, texts, frames)
        made: dict[str, Any] = {
            "arrived": list(map(rounded, arrived)),
            "read": list(map(rounded, read)),
            "n": numbers,
            "text": texts,
        }
        if {*kinds} != {"text"}:
            made["kind"] = kinds
        if {*frames} != {None}:
            made["frame"] = [None if code is None else [*code] for code in coded(frames)]
        return made


class Scripts:
    """What the chunks of each script say, which many streams may play."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Script, list[Said]]] = {}

    def said(self, script: Script | None) -> list[Said]:
        """Return what each chunk of a script says; nothing where none is known."""
        if script is None:
            return []
        if id(script) not in self._known:
            said = [said_by(unit) for unit in script.units() if isinstance(unit, StreamChunk | str)]
            self._known[id(script)] = script, said
        return self._known[id(script)][1]


def _shown(
    shown: Shown, kinds: list[str], texts: list[str], frames: list[str | None]
) -> tuple[list[str], list[str | None]]:
    """Return texts and frames without secrets, also without those that come in pieces."""
    hidden = shown.spans(texts)
    speaking = {*kinds} - {"end", "frame"}
    for kind in speaking if len(speaking) > 1 else ():  # they may alternate
        places = [place for place, other in enumerate(kinds) if other == kind]
        found = shown.spans([texts[place] for place in places])
        hidden = hidden or [[] for _ in texts]
        for place, more in zip(places, found, strict=False):
            hidden[place] += more
    if any(hidden):  # what is hidden in the texts may stand in pieces in the frames
        told = [str(hidden_at(text, spans)) for text, spans in zip(texts, hidden, strict=True)]
        return told, [frame and REDACTED for frame in frames]
    if not any(frames):
        return texts, frames
    parts = shown.parts([frame or "" for frame in frames])
    return texts, [None if frame is None else told for frame, told in zip(frames, parts, strict=True)]


def said_by(unit: StreamChunk | str) -> Said:
    """Return what a chunk is, and its text."""
    if isinstance(unit, str):
        return "text", unit
    if unit.delta:
        return "text", unit.delta
    if unit.reasoning:
        return "reasoning", unit.reasoning
    if unit.refusal:
        return "refusal", unit.refusal
    if unit.tool_call is not None:
        return "tool", (unit.tool_call.name or "") + unit.tool_call.arguments
    if unit.finish_reason is not None:
        return "end", ""
    return ("item", "") if unit.item is not None else ("text", "")
