"""What the drivers of all SDKs have in common: where one asks, what for, and what a piece of an answer says."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

QUESTION = "Tell me about Paris"
HI: Any = [{"role": "user", "content": QUESTION}]
KEY = "not-a-real-key"


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request.

    Attributes:
        server: makes the base URL of a provider at the server; None to ask in process.
        streamed: whether the answer shall be streamed.
        timeout: seconds that a read may take.
    """

    server: Callable[[str], str] | None
    streamed: bool = True
    timeout: float = 30

    def base(self, provider: str, usual: str | None = None) -> str | None:
        """Return the base URL to give to an SDK: the server's, or else the usual one."""
        return usual if self.server is None else self.server(provider)


class Said(NamedTuple):
    """A piece of an answer, in every SDK's words made one.

    Attributes:
        text: some of its text.
        reasoning: some of its reasoning.
        calls: pieces of tool calls: which one it is, and some of its name and of its arguments.
        usage: the tokens of the prompt and of the answer, where it says them.
        trouble: what it says went wrong, where the SDK raises nothing.
    """

    text: str = ""
    reasoning: str = ""
    calls: tuple[tuple[Any, str, str], ...] = ()
    usage: tuple[int, int] | None = None
    trouble: str = ""


#: Asks, and yields what comes: piece by piece if the answer is streamed, else all at once.
Driver: TypeAlias = Callable[[Ask], AsyncGenerator[Said, None]]


@dataclass
class Answer:
    """All pieces put together.

    Attributes:
        text: the whole text.
        reasoning: the whole reasoning.
        calls: the tool calls by name, each with its arguments.
        usage: the tokens of the prompt and of the answer; None if nobody said so.
        pieces: how many had some text.
        trouble: what it says went wrong.
    """

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    usage: tuple[int, int] | None = None
    pieces: int = 0
    trouble: str = ""


async def read(driver: Driver, ask: Ask, answer: Answer) -> Answer:
    """Ask, and put what comes into an answer, which keeps it if the stream breaks."""
    calls: dict[Any, list[str]] = {}
    async with aclosing(driver(ask)) as pieces:
        async for said in pieces:
            answer.text += said.text
            answer.reasoning += said.reasoning
            answer.usage = said.usage or answer.usage
            answer.pieces += bool(said.text)
            answer.trouble += said.trouble
            for index, name, arguments in said.calls:
                call = calls.setdefault(index, ["", ""])
                call[0] += name
                call[1] += arguments
    answer.calls = [(name, json.loads(arguments)) for name, arguments in calls.values()]
    return answer
