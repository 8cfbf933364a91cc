"""``MockStreamClient``: the door for code that takes its client as an argument.

It needs no pytest.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, Unpack

from pytest_mockstream._base.callsite import calling_site
from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import duration, one_of
from pytest_mockstream._base.loops import running_loop
from pytest_mockstream._base.redaction import brief
from pytest_mockstream._base.wording import counted
from pytest_mockstream.doors.asker import asker_of
from pytest_mockstream.doors.settings import (
    DoorOptions,
    Producer,
    buffer_size_of,
    door_settings,
    lists_door_options,
    producer_of,
)
from pytest_mockstream.playback import Playback
from pytest_mockstream.playbook.ledger import Entry, begin
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.playbook.request import Request, words_in
from pytest_mockstream.playbook.scripting import Scripted, default_script
from pytest_mockstream.script.chunks import CompletedToolCall, Completion, StreamChunk
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import HTTPError

from .awaited import Awaited, begun
from .stream import Errors, MockStream

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

Message: TypeAlias = Mapping[str, Any]

#: The methods that block until they have the reply; in a running loop, nothing else can run in that meanwhile.
_BLOCKING = ("complete", "chat")

_errors = one_of("raise", "chunk")


#: What the requests to a client have for a path.
_METHODS = ("complete", "acomplete", "complete_stream", "chat", "achat", "chat_stream")


class MockStreamClient(Scripted):
    """A streaming LLM client that plays scripts; works in and outside of pytest.

    Args:
        default_text: the text that every request gets as long as no script was ever queued.
        delay: seconds before each chunk.
        ttft: seconds before the first chunk; default: ``delay``.
        jitter: the largest random change of each gap between chunks, plus or minus, in seconds.
        seed: of the jitter.
        tokens_per_second: instead of ``delay``; one chunk counts as one token.
        producer: with ``"inline"`` nothing runs between two reads; ``"background"`` runs a real producer, which is a
            task where the stream is opened in a running loop, and a thread elsewhere.
        buffer_size: how many chunks the producer may be ahead of its reader.
        provider: the name that ``provider`` and the record of requests have.
        model: the model of requests that name none.

    Raises:
        ScriptError: a value is not legal.
        TypeError: there is no such keyword.
    """

    @lists_door_options
    def __init__(self, *, provider: str = "mock", model: str = "mock-model", **options: Unpack[DoorOptions]) -> None:
        self._settings = door_settings(options, DoorOptions, "provider", "model")
        self._provider = provider
        self._model = model
        default = default_script(self.default_text)
        super().__init__(Playbook(default, name="mock_stream_client", providers=(provider,), wrong_path=_wrong_path))

    def __repr__(self) -> str:
        return f"<MockStreamClient {self._provider}, {counted(len(self.requests), 'request')}>"

    @property
    def default_text(self) -> str:
        """The text that every request gets as long as no script was ever queued."""
        return self._settings.default_text

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self._provider

    def is_available(self) -> bool:
        """Tell whether the provider can be asked: this one always can."""
        return True

    # Asking.

    def complete_stream(
        self,
        prompt: str | Sequence[Message],
        *,
        producer: Producer | None = None,
        buffer_size: int | None = None,
        timeout: float | str | None = None,
        errors: Errors = "raise",
        **params: Any,
    ) -> MockStream:
        """Open a stream. There is nothing to await, and no event loop need be running.

        Args:
            prompt: a prompt, or messages as ``chat_stream`` takes them.
            producer: ``"inline"`` or ``"background"``; default: the client's.
            buffer_size: how many chunks the producer may be ahead; default: the client's.
            timeout: seconds after which the stream ends with ``StreamTimeout``, a ``TimeoutError``; chunks that arrived
                before are still delivered.
            errors: ``"raise"`` raises what ends the stream early; ``"chunk"`` gives a last chunk with ``error`` set.
            **params: anything else; recorded in ``Request.params``. ``model`` is the model that is asked for.

        Raises:
            ScriptError: a value is not legal.
            UnexpectedRequestError: no script is left for this request.
        """
        return self._open(
            "complete_stream",
            prompt,
            params,
            producer=producer,
            buffer_size=buffer_size,
            timeout=timeout,
            errors=errors,
        )

    def chat_stream(
        self,
        messages: Sequence[Message],
        *,
        producer: Producer | None = None,
        buffer_size: int | None = None,
        timeout: float | str | None = None,
        errors: Errors = "raise",
        **params: Any,
    ) -> MockStream:
        """Open a stream that answers a conversation; see ``complete_stream``."""
        return self._open(
            "chat_stream",
            messages,
            params,
            producer=producer,
            buffer_size=buffer_size,
            timeout=timeout,
            errors=errors,
        )

    def complete(
        self, prompt: str | Sequence[Message], *, timeout: float | str | None = None, **params: Any
    ) -> Completion:
        """Return the whole reply, after the time that its stream would take; raises what its stream would raise."""
        with self._open("complete", prompt, params, timeout=timeout) as stream:
            return _completion(list(stream), stream.request.model)

    def chat(self, messages: Sequence[Message], *, timeout: float | str | None = None, **params: Any) -> Completion:
        """Return the whole reply to a conversation; see ``complete``."""
        with self._open("chat", messages, params, timeout=timeout) as stream:
            return _completion(list(stream), stream.request.model)

    async def acomplete(
        self, prompt: str | Sequence[Message], *, timeout: float | str | None = None, **params: Any
    ) -> Completion:
        """Do as ``complete``, asynchronously."""
        async with self._open("acomplete", prompt, params, timeout=timeout) as stream:
            return _completion([chunk async for chunk in stream], stream.request.model)

    async def achat(
        self, messages: Sequence[Message], *, timeout: float | str | None = None, **params: Any
    ) -> Completion:
        """Do as ``chat``, asynchronously."""
        async with self._open("achat", messages, params, timeout=timeout) as stream:
            return _completion([chunk async for chunk in stream], stream.request.model)

    def _open(
        self,
        path: str,
        prompt: str | Sequence[Message],
        params: dict[str, Any],
        *,
        producer: Producer | None = None,
        buffer_size: int | None = None,
        timeout: float | str | None = None,
        errors: Errors = "raise",
    ) -> MockStream:
        settings = self._settings
        background = settings.producer if producer is None else producer_of(producer, "producer")
        size = settings.buffer_size if buffer_size is None else buffer_size_of(buffer_size, "buffer_size")
        limit = None if timeout is None else duration(timeout, "timeout")
        _errors(errors, "errors")
        messages = _messages(prompt, prompts="complete" in path)
        request = Request(
            provider=self._provider,
            path=path,
            model=params.get("model", self._model),
            messages=messages,
            tools=[tool for tool in _listed(params.get("tools")) if isinstance(tool, Mapping)],
            params={name: value for name, value in params.items() if name != "model"},
            body={**({"prompt": prompt} if isinstance(prompt, str) else {"messages": messages}), **params},
            streaming=path.endswith("_stream"),
            opened_at=calling_site(),
        )
        script = self._script_for(request, blocks=path in _BLOCKING)
        schedule = script.schedule(pacing=settings.pacing, salt=request.number, prompt_tokens=words_in(messages))
        playback: Playback[StreamChunk] = Playback(
            schedule, buffer_size=size, timeout=limit, gates=script.gates, background=background == "background"
        )
        entry = begin(request, playback, chunk_count=script.chunk_count, timeout=limit)
        entry.asker = asker_of(sys._getframe(1))
        if isinstance(script, Script):
            _note_script(entry, script)
            return MockStream(playback, request, errors=errors)
        script.on_script = partial(_note_script, entry)
        return MockStream(playback, request, errors=errors, awaited=script)

    def _script_for(self, request: Request, *, blocks: bool) -> Script | Awaited:
        self._playbook.record(request)
        loop = None if blocks else running_loop()
        return self._playbook.choose(request) if loop is None else begun(self._playbook.choosing_script(request), loop)


def _note_script(entry: Entry, script: Script) -> None:
    entry.script, entry.chunk_count = script, script.chunk_count
    last = script.steps[-1] if script.steps else None
    if isinstance(last, HTTPError):
        entry.status, entry.wait = last.status, last.seconds_to_wait()


def _messages(prompt: str | Sequence[Message], *, prompts: bool) -> list[Message]:
    if isinstance(prompt, str) and prompts:
        return [{"role": "user", "content": prompt}]
    if isinstance(prompt, Iterable) and not isinstance(prompt, str | Mapping):
        messages = list(prompt)
        if all(isinstance(message, Mapping) for message in messages):
            return messages
    msg = (
        f"{brief(prompt)} is not a conversation: give a list of messages, such as [{{'role': 'user', 'content': 'hi'}}]"
    )
    raise ScriptError(msg + (", or a prompt as a str" if prompts else ""))


def _wrong_path(path: str) -> str | None:
    return None if path in _METHODS else f"its requests have the names of its methods: {', '.join(_METHODS)}"


def _listed(tools: object) -> Iterable[object]:
    return tools if isinstance(tools, list | tuple) else ()


def _completion(chunks: list[StreamChunk], model: str | None) -> Completion:
    last = chunks[-1] if chunks else None
    calls: list[list[str]] = []
    open_calls: dict[int, list[str]] = {}  # two calls may have the same index: each begins with its name
    for chunk in chunks:
        if (part := chunk.tool_call) is not None:
            if part.name is not None:
                calls.append([part.id or "", part.name])
                open_calls[part.index] = calls[-1]
            open_calls[part.index].append(part.arguments)
    return Completion(
        content="".join(chunk.delta for chunk in chunks),
        reasoning="".join(chunk.reasoning for chunk in chunks),
        refusal="".join(chunk.refusal for chunk in chunks),
        tool_calls=tuple(
            CompletedToolCall(id=call_id, name=name, arguments="".join(parts)) for call_id, name, *parts in calls
        ),
        items=tuple(chunk.item for chunk in chunks if chunk.item is not None),
        finish_reason=last.finish_reason if last else None,
        usage=last.usage if last else None,
        model=model or "",
    )
