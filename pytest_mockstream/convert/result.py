"""What comes of a conversion: a recording, and what it does not say of the file that it was made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream.recordings import Recording


class ConversionError(ScriptError):
    """A file cannot be converted; the message names the file, the line where there is one, and what to do."""


class UnreadableFileError(ConversionError):
    """There is nothing to convert: no such file, or none that can be read here."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file.

    Attributes:
        path: of the file.
        line: from 1.
        entry: what it is called there, with its number from 1, such as ``"interaction 2"``.
    """

    path: Path
    line: int
    entry: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.entry}"


@dataclass(slots=True)
class Converted:
    """What was made of one file.

    Attributes:
        recording: to be saved.
        notes: what was not carried over, one line each, with its place.
    """

    recording: Recording = field(default_factory=Recording)
    notes: list[str] = field(default_factory=list)


def refused(place: Place, doubts: Iterable[tuple[int, str, str]]) -> ConversionError:
    """Return the error about what may be a secret: where it stands in an entry, and why."""
    told = "".join(f"\n  {where}: {why}" for _, where, why in doubts)
    return ConversionError(f"{place} may hold a secret, so that the file is not converted:{told}\n  Take it out there")
