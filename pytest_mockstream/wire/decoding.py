"""What decoders have in common: what they hear of a reply, and how a format has them.

A decoder is the twin of an encoder: it gets the events of a stream, or the body of a reply that is not streamed, and
says what they add to the reply, in the words of scripts. What our vocabulary cannot say it passes over; whoever wants
to know what was lost compares with what the encoder makes of the script.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from pytest_mockstream.script.chunks import PARTS_OF_USAGE, Usage
from pytest_mockstream.script.steps import ErrorEvent, Failed, KeepAlive

from .sse import Event

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


_MOST_TOKENS = 2**63

Kind: TypeAlias = Literal["text", "reasoning", "refusal", "tool_call", "citation", "server_tool", "image"]


class Piece(NamedTuple):
    """What one chunk adds to the reply, or one part of it.

    Attributes:
        kind: what it is.
        text: its text; for a tool call, the next fragment of the JSON text of the arguments.
        call: for a tool call, what tells it apart from others, from 0.
        own_index: for the first piece of a tool call, the index that it has in the reply, if that is not its number.
        id: for the first piece of a tool call, its id; empty for one that has none.
        name: for the first piece of a tool call, the name of the tool; empty on its others.
        null: for a piece of a tool call, whether it has ``null`` for its arguments.
        step: the step of a script that says what text cannot: a ``ServerTool``, ``Citation`` or ``Image``, or a
            ``Reasoning`` that is redacted, or that says the signature of the reasoning that ends with this piece.
        block: where a reply consists of blocks, the one that it belongs to, in their order; None elsewhere.
        message: where blocks are parts of messages, the one that it belongs to.
    """

    kind: Kind
    text: str = ""
    call: int = 0
    own_index: int | None = None
    id: str = ""
    name: str = ""
    null: bool = False
    step: Any = None
    block: int | None = None
    message: int | None = None

    @property
    def place(self) -> int | None:
        """What text goes on in: a message where there are any, else a block."""
        return self.block if self.message is None else self.message


class Finish(NamedTuple):
    """The model is done.

    Attributes:
        reason: why, in the provider's own word, or in the one that ``finish_reason=`` of a script takes for it.
    """

    reason: str


#: What is heard of a reply. Of ``Usage`` and ``Finish`` the last one counts.
Heard: TypeAlias = Piece | Finish | Usage | ErrorEvent | Failed | KeepAlive


class Decoder(Protocol):
    """Hears the events of one stream, and remembers what later events need of earlier ones."""

    def event(self, event: Event) -> Iterable[Heard]:
        """Return what an event says; several pieces are parts of one chunk. Nothing, if it says nothing of its own.

        Raises:
            ValueError: its data is not JSON; it is garbage.
            LookupError: what the format has everywhere is missing in it; it is garbage, too. (As ``TypeError``.)
        """


class Decoding(NamedTuple):
    """How a format is read.

    Attributes:
        stream: makes the decoder of one stream.
        whole: says what the body of a reply says that is not streamed; its pieces are one chunk each.
        error: says what the body of an HTTP error says: message, type and code, of which the last two may be None.
        error_type: says the type of an HTTP error whose body does not, from the headers, in lower case; None if they
            do not either.
        text: as ``whole``, of a body that is text and no JSON; None where none is.
        rest: says what the decoder of a stream that breaks off has heard and not said, as more of it was to come.
    """

    stream: Callable[[], Decoder]
    whole: Callable[[Any], Iterable[Heard]]
    error: Callable[[Any], tuple[str, str | None, str | None]]
    error_type: Callable[[Mapping[str, str]], str | None] = lambda _headers: None
    text: Callable[[str], Iterable[Heard]] | None = None
    rest: Callable[[Any], Iterable[Heard]] = lambda _decoder: ()


def counted(*, prompt_tokens: Any = 0, completion_tokens: Any = 0, **parts: Any) -> Usage:
    """Return the tokens that a reply tells of, whatever it tells.

    What is no number of tokens counts as 0, and no part as more than is left of its whole: some servers count the
    reasoning beside the output.

    Args:
        prompt_tokens: input tokens, all of them.
        completion_tokens: output tokens, reasoning included.
        **parts: the other fields of ``Usage``.
    """
    wholes = {"prompt_tokens": _count(prompt_tokens), "completion_tokens": _count(completion_tokens)}
    said: dict[str, int] = {}
    for whole, *names in PARTS_OF_USAGE:
        left = wholes[whole]
        for name in names:
            said[name] = min(left, _count(parts.get(name)))
            left -= said[name]
    return Usage(**wholes, **said)


def _count(value: Any) -> int:
    """Return a number of tokens; some servers write it as a float."""
    return int(value) if type(value) in {int, float} and 0 < value < _MOST_TOKENS else 0
