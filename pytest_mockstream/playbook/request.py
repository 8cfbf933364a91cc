"""The public record of one request: what was asked, and what became of the stream that answered it.

It only reads the ledger; whoever plays the stream writes there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.redaction import Secrets, hidden, joined, real
from pytest_mockstream._base.wording import shortened

from .asked import Wanted, declared, wanted
from .ledger import Entry, State
from .tries import links_of

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


class _Kept:
    """What a request keeps besides its fields, for ``dataclasses.asdict`` to leave out."""

    _raw_headers: dict[str, str]
    _entry: Entry


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)  # no slots, for python/cpython#105936
class Request(_Kept):
    """One request, as the code under test made it, and what became of its stream.

    A chunk is what the script says it is: a piece of text, of reasoning or of a tool call, and at the end the one with
    the finish reason. What a provider sends around them counts as no chunk: OpenAI's first frame, which has the role
    alone, its ``[DONE]``, Anthropic's ``content_block_start``, pings. A loop over an SDK's stream may thus run more
    often than ``chunks_sent`` says.

    It shows no secret: whatever looks like a credential in it is shown as ``[redacted]``, and compares as what it is.
    The record of a request that is copied, pickled or given to ``dataclasses.asdict`` stays as it was then.

    Attributes:
        provider: who was asked.
        path: the URL's path, or the method of the client.
        method: of HTTP, such as ``"POST"``; empty where nothing was sent, from a ``MockStreamClient``.
        model: the model that was asked, or None.
        messages: the conversation, as the request gave it; a prompt is one message of the user.
        tools: the tools that the request offers, as it gave them.
        params: everything else that the request said.
        headers: as sent, names in lower case; values that are not known to be harmless are ``"[redacted]"``: compare
            with ``raw_headers``, which has them all.
        body: the JSON that was sent, complete, as Python has it; a text where it was no JSON object, None where there
            was none. From a ``MockStreamClient``: what its method was given.
        streaming: whether a stream was asked for.
        opened_at: the caller's line.
    """

    provider: str
    path: str
    model: str | None
    messages: list[Mapping[str, Any]]
    params: dict[str, Any]
    tools: list[Mapping[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    method: str = ""
    streaming: bool
    opened_at: CallSite

    def __post_init__(self) -> None:
        secrets = Secrets(self.headers)
        names = ("path", "model", "messages", "params", "tools", "body")
        copies = dict(zip(names, secrets.hide(*(getattr(self, name) for name in names)), strict=True))
        raw = {name: hidden(value) for name, value in self.headers.items()}
        told = {"headers": secrets.headers(self.headers), "_raw_headers": raw, "_entry": Entry(secrets=secrets)}
        for name, value in (copies | told).items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        where = f"{self.provider} {shown_path(self)}, opened at {self.opened_at}"
        return f"<Request {self.number} to {where}: {self.text[:80]!r}>"

    def __str__(self) -> str:
        """Return which stream or answer this is, for a message."""
        return (
            f"{'stream' if self.streaming else 'answer'} of {self.provider} {shown_path(self)} (request {self.number},"
            f" {self.state}, {self._entry.amount_read()} read, opened at {self.opened_at})"
        )

    # What was asked.

    @property
    def raw_headers(self) -> dict[str, str]:
        """The headers as sent, credentials and all: whatever prints them, prints those."""
        return {name: real(value) for name, value in self._raw_headers.items()}

    @property
    def number(self) -> int:
        """The position in the record of requests, from 1."""
        return self._entry.number

    @property
    def text(self) -> str:
        """The text of the last message of the user."""
        for message in reversed(self.messages):
            if message.get("role", "user") == "user":
                return message_text(message)
        return ""

    @property
    def system(self) -> str:
        """The text of the system's messages, or the developer's, one after the other; empty if there is none."""
        said = [message_text(message) for message in self.messages if message.get("role") in {"system", "developer"}]
        return joined(part for number, text in enumerate(said) for part in (("\n", text) if number else (text,)))

    @property
    def schema(self) -> Mapping[str, Any] | None:
        """The JSON schema that the answer has to fit: its text, or the arguments of the one tool that it has to call.

        A schema of Gemini's own kind is shown as the JSON schema that it means. None if the answer may be anything.
        """
        asked = wanted_by(self)
        return None if asked is None else asked.schema

    @property
    def schema_names(self) -> tuple[str, ...]:
        """The names of that schema: what the request calls it, or the name of the tool, and its title."""
        asked = wanted_by(self)
        return () if asked is None else asked.names

    @property
    def turn(self) -> int:
        """Which turn of the model is asked for: 1 until it has spoken; all it says in one go is one turn."""
        spoken = [message.get("role") == "assistant" for message in self.messages]
        return 1 + sum(1 for before, now in zip([False, *spoken], spoken, strict=False) if now and not before)

    @property
    def tool_results(self) -> list[str]:
        """The text of the tools' results that have come since the model last spoke."""
        results = []
        for message in reversed(self.messages):
            if message.get("role") == "assistant":
                break
            if message.get("role") == "tool":
                results.append(message_text(message))
        return results[::-1]

    @property
    def tool_names(self) -> list[str]:
        """The names of the tools that the request offers, in every provider's shape."""
        names = (one.get("name") for one in declared(self.tools))
        return [name if isinstance(name, str) else str(name) for name in names if name]

    # What became of it.

    @property
    def state(self) -> State:
        """What became of the stream.

        ``open``; ``exhausted`` (read to its end); ``closed`` (by the consumer); ``cancelled`` (``cancel()`` or
        ``timeout=``); ``broken`` (by a fault); ``dropped`` (never closed: garbage collected, or its server stopped).
        """
        return self._entry.state

    @property
    def chunks_sent(self) -> int:
        """How many chunks of the script were handed to the consumer; frames without content do not count."""
        return self._entry.chunks_sent

    @property
    def chunk_count(self) -> int | None:
        """How many chunks of the script a whole reading would have got; None where there is no end."""
        return self._entry.chunk_count

    @property
    def chunks_wasted(self) -> int:
        """How many chunks were generated for nobody: they had arrived, and the consumer never took them."""
        return self._entry.chunks_wasted

    @property
    def retry_of(self) -> Request | None:
        """The request that this one tries again; None if it is no retry.

        A retry asks the same (model, messages, tools and parameters) as an earlier request of the same door that has
        failed, and that no other request has tried again.
        """
        return links_of(self)[0]

    @property
    def retries(self) -> Sequence[Request]:
        """The requests that tried this one again, in order: its retry, the retry of that one, and so on."""
        return links_of(self)[1]

    def assert_closed(self, *, within: float | None = None, after_chunk: int | None = None) -> None:
        """Assert that the consumer left the stream properly: read to its end, closed, cancelled, or broken by a fault.

        Args:
            within: the longest time, in seconds, between the last chunk handed over and the closing. A stream that is
                still open is waited for as long.
            after_chunk: the consumer must have left after at most so many chunks.

        Raises:
            AssertionError: it did not.
            RuntimeError: it is open, and waiting would block the very event loop that has to close it.
        """
        if within:
            if self._entry.is_open_here:
                raise RuntimeError(
                    f"{self} is still open, and waiting here would block the event loop that has to close it:"
                    f" write `await request.aassert_closed(within={within:g})`"
                )
            self._entry.wait_settled(within)
        if problem := self._complaint(within, after_chunk):
            raise AssertionError(f"{self} {problem}{self._waste()}")

    async def aassert_closed(self, *, within: float | None = None, after_chunk: int | None = None) -> None:
        """Do as ``assert_closed``, and let the running event loop go on while it waits.

        Args:
            within: see ``assert_closed``.
            after_chunk: see ``assert_closed``.

        Raises:
            AssertionError: the consumer did not leave the stream properly.
        """
        if within:
            await self._entry.settled(within)
        if problem := self._complaint(within, after_chunk):
            raise AssertionError(f"{self} {problem}{self._waste()}")

    async def wait_closed(self) -> None:
        """Wait until the stream is over, however it ends; ``asyncio.timeout`` or ``trio.fail_after`` is the limit."""
        await self._entry.settled(None)

    def _complaint(self, within: float | None, after_chunk: int | None) -> str:
        entry = self._entry
        if self.state == "open":
            return f"is still open. {entry.remedy}"
        if self.state == "dropped":
            return f"was dropped: its consumer never closed it. {entry.remedy}"
        if after_chunk is not None and entry.chunks_sent > after_chunk:
            return f"was left after chunk {entry.chunks_sent}, not after chunk {after_chunk}."
        took = (entry.left_at or 0.0) - entry.last_sent_at
        if within is not None and took > within:
            return f"was closed {took:.3g} s after its last chunk, not within {within:.3g} s."
        return ""

    def _waste(self) -> str:
        wasted = self.chunks_wasted
        return f" {wasted} {'chunk was' if wasted == 1 else 'chunks were'} generated for nobody." if wasted else ""


def wanted_by(request: Request) -> Wanted | None:
    """Return what an answer to a request has to be like; None if it may be anything."""
    return wanted(request.params, request.tools)


def shown_path(request: Request) -> str:
    """Return the path of a request for a message, where it is not to be longer than paths are."""
    return shortened(str(request.path))


def message_text(message: Mapping[str, Any]) -> str:
    """Return the text of one message: its content, or the text parts of it."""
    content = message.get("content", "")
    if isinstance(content, str):
        return content
    if not isinstance(content, Iterable):
        return ""
    parts = (part if isinstance(part, str) else part.get("text", "") for part in content)
    return joined(part for part in parts if isinstance(part, str))


def words_in(messages: Iterable[Mapping[str, Any]]) -> int:
    """Count the words of a conversation, which stand for its tokens."""
    return sum(len(message_text(message).split()) for message in messages)
