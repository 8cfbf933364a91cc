"""The byte-level shape of a stream: where its body is cut, and what stands between its frames.

The wall: values only. A shape never changes what a stream says; a client that reads it correctly sees no difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_mockstream._base.errors import ScriptError

Fragment: TypeAlias = Literal["byte", "random"] | int
LineEnding: TypeAlias = Literal["\n", "\r\n"]
Between: TypeAlias = Literal["comment", "ping"]

_WORDS: dict[str, tuple[object, ...]] = {
    "fragment": ("byte", "random"),
    "line_ending": ("\n", "\r\n"),
    "between": ("comment", "ping"),
}
_NUMBERS = {"fragment": "a number of bytes > 0", "duplicate": "an int > 0: every so-many-th frame"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    r"""How the bytes of a stream come; None leaves them as the wire format makes them.

    Attributes:
        fragment: cut the body into pieces of one byte (``"byte"``), of so many bytes, or of lengths drawn from the
            script's seed (``"random"``). Cuts fall inside frames and UTF-8 sequences; no byte comes later for it.
        line_ending: ``"\n"`` or ``"\r\n"``. Event streams may use either.
        between: what stands before each frame but the first: an SSE ``"comment"``, or the format's own ``"ping"``.
        duplicate: every so-many-th frame comes twice; 1 doubles all.
    """

    fragment: Fragment | None = None
    line_ending: LineEnding | None = None
    between: Between | None = None
    duplicate: int | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            words, number = _WORDS.get(name, ()), _NUMBERS.get(name)
            counts = number is not None and isinstance(value, int) and not isinstance(value, bool) and value > 0
            if value is not None and value not in words and not counts:
                legal = [*map(repr, words), *([number] if number else [])]
                raise ScriptError(f"{name}={value!r} is not known: give {' or '.join(legal)}")
