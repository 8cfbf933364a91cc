"""How the body of a stream is laid out in bytes: where it is cut, and what comes between its frames.

A client whose parser is correct sees no difference, except that ``duplicate`` makes frames come twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.redaction import brief

Fragment: TypeAlias = Literal["byte", "random"] | int
LineEnding: TypeAlias = Literal["\n", "\r\n"]
Between: TypeAlias = Literal["comment", "ping"]

_WORDS: dict[str, tuple[object, ...]] = {
    "fragment": ("byte", "random"),
    "line_ending": ("\n", "\r\n"),
    "between": ("comment", "ping"),
}
_NUMBERS = {"fragment": "a number of bytes > 0", "duplicate": "an int n > 0, to have each n-th frame twice"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    r"""How the body of a stream is laid out; None leaves it as the wire format makes it.

    Attributes:
        fragment: the body comes in pieces of one byte (``"byte"``), of this many bytes, or of random lengths that
            follow from the script's seed (``"random"``). The cuts may fall inside of a frame or of a UTF-8 sequence.
            No byte comes later than it would have.
        line_ending: ``"\n"`` or ``"\r\n"``; the standard of event streams allows both
            (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).
        between: what comes before each frame but the first: an SSE ``"comment"``, or the format's own ``"ping"``.
        duplicate: each n-th frame comes twice; 1 doubles every frame.

    Raises:
        ScriptError: a value is not legal.
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
                raise ScriptError(f"{name}={brief(value)} is not known: give {' or '.join(legal)}")
