"""Reads what models of Bedrock say that say text only: the twin of ``formats.bedrock_text``.

Chunks and bodies of each family: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from pytest_mockstream.wire.bedrock import error_type, invocation_usage, read_error, read_event
from pytest_mockstream.wire.decoding import Decoding, Finish, Heard, Piece, counted
from pytest_mockstream.wire.sse import Event

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


class _Said(NamedTuple):
    """What a chunk or a body says.

    Attributes:
        text: the text; None if it says none.
        reason: why the model stops; None if it goes on.
        prompt_tokens: input tokens, if it says them.
        completion_tokens: output tokens, if it says them.
    """

    text: Any
    reason: Any = None
    prompt_tokens: Any = None
    completion_tokens: Any = None


_Read: TypeAlias = "Callable[[Mapping[str, Any]], _Said]"


class _Decoder:
    def __init__(self, read: _Read) -> None:
        self._read = read

    def event(self, event: Event) -> Iterator[Heard]:
        if event.kind != "event":
            yield read_event(event)
            return
        body = json.loads(event.data)
        said = self._read(body)
        if said.text or (said.text is not None and said.reason is None):
            yield Piece(kind="text", text=said.text)
        if said.reason is not None:
            yield from _usage(body, said)
            yield Finish(said.reason)


def _usage(body: Mapping[str, Any], said: _Said) -> Iterator[Heard]:
    """Yield the tokens: those that Bedrock counted, or those that the model says."""
    metered = list(invocation_usage(body))
    if not metered and (said.prompt_tokens is not None or said.completion_tokens is not None):
        metered = [counted(prompt_tokens=said.prompt_tokens, completion_tokens=said.completion_tokens)]
    yield from metered


def _decoding(chunk: _Read, whole: _Read) -> Decoding:
    return Decoding(
        stream=partial(_Decoder, chunk), whole=partial(_whole, whole), error=read_error, error_type=error_type
    )


def _whole(read: _Read, body: Mapping[str, Any]) -> Iterator[Heard]:
    said = read(body)
    if said.text:
        yield Piece(kind="text", text=said.text)
    yield from _usage(body, said)
    yield Finish(said.reason)


def _titan_chunk(said: Mapping[str, Any]) -> _Said:
    counts = said.get("inputTextTokenCount"), said.get("totalOutputTextTokenCount")
    return _Said(said["outputText"], said.get("completionReason"), *counts)


def _titan_whole(said: Mapping[str, Any]) -> _Said:
    result = said["results"][0]
    return _Said(result["outputText"], result["completionReason"], said["inputTextTokenCount"], result["tokenCount"])


def _llama(said: Mapping[str, Any]) -> _Said:
    counts = said.get("prompt_token_count"), said.get("generation_token_count")
    return _Said(said["generation"], said.get("stop_reason"), *counts)


def _mistral(said: Mapping[str, Any]) -> _Said:
    output = said["outputs"][0]
    return _Said(output["text"], output.get("stop_reason"))


def _cohere_chunk(said: Mapping[str, Any]) -> _Said:
    """Return what an event says: besides text there are the start, searches, citations and the end."""
    if said["event_type"] == "stream-end":
        return _Said(None, said["finish_reason"])
    return _Said(said["text"] if said["event_type"] == "text-generation" else None)


def _cohere_whole(said: Mapping[str, Any]) -> _Said:
    return _Said(said["text"], said["finish_reason"])


TITAN = _decoding(_titan_chunk, _titan_whole)
LLAMA = _decoding(_llama, _llama)
MISTRAL = _decoding(_mistral, _mistral)
COMMAND_R = _decoding(_cohere_chunk, _cohere_whole)
