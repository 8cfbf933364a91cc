"""Reads what Amazon Bedrock's Converse and Nova say: the twin of ``formats.bedrock``.

Events: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html; Nova has the same ones,
each as a field of a chunk. Citations, images and what guardrails trace have no place in its scripts: they are passed
over.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_mockstream.script.chunks import Usage
from pytest_mockstream.script.steps import Reasoning
from pytest_mockstream.wire.bedrock import METRICS, error_type, invocation_usage, read_error, read_event
from pytest_mockstream.wire.decoding import Decoding, Finish, Heard, Piece, counted
from pytest_mockstream.wire.sse import Event

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


class _Decoder:
    def __init__(self) -> None:
        self._calls: dict[Any, int] = {}  # the number of the call in each block that is one
        self._count = 0
        self._begun: dict[Any, Piece] = {}  # calls of which only the start came: it is one chunk with what comes next
        self._open: Any = None  # the index of the block that is open
        self._blocks = 0  # how many have begun: some servers give several the same index
        self._unsigned: set[Any] = set()  # blocks of reasoning without a signature so far
        self._has_usage = False

    def event(self, event: Event) -> Iterator[Heard]:
        if event.kind != "event":
            yield read_event(event)
            return
        said = json.loads(event.data)
        for name, fields in ({event.name: said} if event.name else said).items():
            yield from self._said(name, fields)

    def _said(self, name: str, fields: Mapping[str, Any]) -> Iterator[Heard]:
        match name:
            case "contentBlockStart":
                self._start(fields)
            case "contentBlockDelta":
                yield from self._delta(_block(fields), fields["delta"])
            case "contentBlockStop":
                yield from self._stop(_block(fields))
            case "messageStop":
                yield Finish(fields["stopReason"])
            case "metadata":
                yield from self._usage(_usage(fields))
        if name == METRICS and not self._has_usage:
            yield from self._usage(invocation_usage({METRICS: fields}))

    def _start(self, fields: Mapping[str, Any]) -> None:
        call = (fields.get("start") or {}).get("toolUse")
        if call:
            block, number = _block(fields), self._count
            self._begun[block] = Piece(kind="tool_call", call=number, id=call["toolUseId"], name=call["name"])
            self._calls[block], self._count = number, number + 1

    def _number(self, block: Any) -> int:
        """Return the number of a block of which something comes."""
        if block != self._open:
            self._open, self._blocks = block, self._blocks + 1
        return self._blocks

    def _delta(self, block: Any, delta: Mapping[str, Any]) -> Iterator[Piece]:
        number = self._number(block)
        if (text := delta.get("text")) is not None:
            yield Piece(kind="text", text=text, block=number)
        if (call := delta.get("toolUse")) is not None:
            begun = self._begun.pop(block, None) or Piece(kind="tool_call", call=self._calls[block])
            yield begun._replace(text=call.get("input") or "")
        if (thought := delta.get("reasoningContent")) is not None:
            if (text := thought.get("text")) is not None:
                self._unsigned.add(block)
                yield Piece(kind="reasoning", text=text, block=number)
            if signature := thought.get("signature"):
                self._unsigned.discard(block)
                yield _end_of_reasoning(signature, number)
            yield from _redacted(thought)

    def _stop(self, block: Any) -> Iterator[Piece]:
        if block in self._begun:
            yield self._begun.pop(block)
        if block in self._unsigned:
            self._unsigned.remove(block)
            yield _end_of_reasoning(False, self._number(block))
        self._open = None

    def rest(self) -> Iterable[Piece]:
        """Return the calls of which only the start came."""
        return self._begun.values()

    def _usage(self, found: Iterator[Usage]) -> Iterator[Usage]:
        for usage in found:
            self._has_usage = True
            yield usage


def _block(fields: Mapping[str, Any]) -> Any:
    return fields.get("contentBlockIndex") or 0


def _end_of_reasoning(signature: Any, block: int) -> Piece:
    return Piece(kind="reasoning", step=Reasoning("", signature=signature), block=block)


def _redacted(thought: Mapping[str, Any]) -> Iterator[Piece]:
    """Yield what reasoning says that is not shown: bytes, which are text in a script."""
    if data := thought.get("redactedContent"):
        yield Piece(kind="reasoning", step=Reasoning(b64decode(data).decode(errors="replace"), redacted=True))


def _usage(said: Mapping[str, Any]) -> Iterator[Usage]:
    """Yield the tokens, if they are said; those of the cache are beside the input, under one of two names."""
    if usage := said.get("usage"):
        sent, read, written = (
            counted(prompt_tokens=usage.get(name, usage.get(other))).prompt_tokens
            for name, other in (
                ("inputTokens", ""),
                ("cacheReadInputTokens", "cacheReadInputTokenCount"),
                ("cacheWriteInputTokens", "cacheWriteInputTokenCount"),
            )
        )
        yield counted(
            prompt_tokens=sent + read + written,
            completion_tokens=usage.get("outputTokens"),
            cached_tokens=read,
            cache_write_tokens=written,
        )


def _whole(body: Mapping[str, Any]) -> Iterator[Heard]:
    calls = 0
    for number, block in enumerate(body["output"]["message"]["content"]):
        if call := block.get("toolUse"):
            arguments = json.dumps(call["input"], ensure_ascii=False)
            yield Piece(kind="tool_call", call=calls, id=call["toolUseId"], name=call["name"], text=arguments)
            calls += 1
        elif thought := block.get("reasoningContent"):
            yield from _redacted(thought)
            if shown := thought.get("reasoningText"):
                yield Piece(kind="reasoning", text=shown.get("text") or "", block=number)
                yield _end_of_reasoning(shown.get("signature") or False, number)
        else:
            cited = (block.get("citationsContent") or {}).get("content") or ()
            for text in (block.get("text"), *(part.get("text") for part in cited)):
                if text:
                    yield Piece(kind="text", text=text, block=number)
    yield from _usage(body)
    yield Finish(body["stopReason"])


DECODING = Decoding(stream=_Decoder, whole=_whole, error=read_error, error_type=error_type, rest=_Decoder.rest)
