"""Reads chats in OpenAI's format, in whatever dialect: the twin of ``formats.openai_chat``.

All dialects are understood at once, since gateways mix them: where reasoning is, in how many pieces a call comes, what
an error looks like. Only what cannot be told from the reply itself is taken from the dialect: whether ``<think>`` in a
text begins reasoning, and whether the first delta is the opening, which says nothing, or an empty text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream.script.steps import Citation, Image
from pytest_mockstream.wire.completion_heard import (
    error_step,
    first_choice,
    is_error,
    object_of,
    text_of,
    told_error,
    usage_in,
)
from pytest_mockstream.wire.decoding import Decoding, Finish, Heard, Piece
from pytest_mockstream.wire.dialect import Dialect
from pytest_mockstream.wire.sse import Event

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_REASONING = ("reasoning_content", "reasoning")
_THINKS, _HAS_THOUGHT = "<think>", "</think>"
_DATA_URL = re.compile(r"data:(?P<type>image/[^;,]+)(?:;[^;,]+)*;base64,(?P<data>.*)", re.DOTALL)


class _Decoder:
    """Remembers whether a delta or the end was heard, and which call has which index."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._calls = _Calls()
        self._thoughts = _Thoughts() if dialect.reasoning == "<think>" else None
        self._is_opening = dialect.opening is not None
        self._is_finished = False

    def event(self, event: Event) -> Iterator[Heard]:
        if event.data == "[DONE]":
            return
        body = object_of(json.loads(event.data))
        if is_error(body) or event.name == "error":
            yield error_step(body, self._dialect)
            return
        if "choices" not in body and (event.name or "type" in body or any(usage_in(body))):
            yield from usage_in(body)  # else it is an event of another kind, such as a gateway's ping
            return
        if (choice := first_choice(body)) is not None:
            yield from self._choice(choice)
        yield from usage_in(body)

    def rest(self) -> Iterable[Piece]:
        """Hear what waits for the rest of a mark."""
        return () if self._thoughts is None else self._thoughts.rest()

    def _choice(self, choice: Mapping[str, Any]) -> Iterator[Heard]:
        delta = object_of(choice.get("delta"))
        finish = text_of(choice.get("finish_reason"))
        pieces = list(self._pieces(delta))
        if finish and self._thoughts is not None:
            pieces += self._thoughts.rest()
        if not pieces and not (self._is_opening or self._is_finished or finish):
            pieces += self._nothing(delta)
        self._is_opening = self._is_opening and not delta
        yield from pieces
        if finish:
            self._is_finished = True
            yield Finish(finish)

    def _nothing(self, delta: Mapping[str, Any]) -> Iterator[Piece]:
        """Hear a delta that adds nothing to what it names."""
        content = delta.get("content")
        is_beside = content == self._dialect.beside_reasoning.get("content")
        if is_beside and any(delta.get(name) is not None for name in _REASONING):
            yield Piece(kind="reasoning")
        elif content is not None:
            is_thinking = self._thoughts is not None and self._thoughts.is_thinking
            yield Piece(kind="reasoning" if is_thinking or _is_thinking_part(content) else "text")
        elif delta.get("refusal") is not None:
            yield Piece(kind="refusal")

    def _pieces(self, delta: Mapping[str, Any]) -> Iterator[Piece]:
        for piece in _prose(delta):
            if self._thoughts is not None and piece.kind == "text":
                yield from self._thoughts.pieces(piece.text)
            else:
                yield piece
        yield from _beside_text(delta)
        yield from self._calls.pieces(delta)


class _Calls:
    """Tells which fragment belongs to which call: by the index, or to the last one where none is said."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[int, str]] = {}  # number and id of the last call with an index
        self._ids: dict[int, str] = {}  # of calls whose names are to come
        self._count = 0
        self._last = -1

    def pieces(self, message: Mapping[str, Any], *, are_whole: bool = False) -> Iterator[Piece]:
        """Yield the calls of a message, or the fragments of a delta."""
        for call in _listed(message.get("tool_calls")):
            yield from self._piece(call, are_whole=are_whole)
        if legacy := object_of(message.get("function_call")):
            yield from self._piece({"index": self._count if are_whole else 0, "function": legacy}, are_whole=are_whole)

    def _piece(self, call: Mapping[str, Any], *, are_whole: bool) -> Iterator[Piece]:
        function = object_of(call.get("function"))
        custom = object_of(call.get("custom"))  # a tool that takes text: its input is in the place of arguments
        name = text_of(function.get("name") or custom.get("name"))
        arguments = function.get("arguments", custom.get("input", ""))
        text = arguments if isinstance(arguments, str) else "" if arguments is None else _json(arguments)
        given = call.get("index")
        index = given if type(given) is int and given >= 0 else self._count if name else self._last
        call_id = text_of(call.get("id")) or self._ids.pop(index, "")
        is_null = arguments is None and not are_whole
        number, open_id = self._open.get(index, (-1, ""))
        if name and (are_whole or number < 0 or not call_id or call_id != open_id):
            number, self._count, self._last = self._count, self._count + 1, index
            self._open[index] = number, call_id
            own = None if index == number else index
            yield Piece(kind="tool_call", name=name, text=text, id=call_id, call=number, own_index=own, null=is_null)
        elif not name and call_id and call_id != open_id:
            self._ids[index] = call_id
            if text:
                raise LookupError("arguments of a call without a name")
        elif number < 0:
            raise LookupError("a fragment of a call that has not begun")
        else:
            self._last = index
            yield Piece(kind="tool_call", text=text, call=number, null=is_null)


class _Thoughts:
    """Tells reasoning from text by the marks around it, which may be cut."""

    def __init__(self) -> None:
        self.is_thinking = False
        self._held = ""

    def pieces(self, text: str) -> Iterator[Piece]:
        """Yield what a text says, without the marks; a part that may be half of a mark waits for the rest."""
        text = self._held + text
        self._held = ""
        while True:
            mark = _HAS_THOUGHT if self.is_thinking else _THINKS
            said, found, text = text.partition(mark)
            if not found:
                break
            yield from self._said(said)
            self.is_thinking = not self.is_thinking
        half = next((size for size in range(len(mark) - 1, 0, -1) if said.endswith(mark[:size])), 0)
        self._held = said[len(said) - half :]
        yield from self._said(said[: len(said) - half])

    def rest(self) -> Iterator[Piece]:
        """Yield what waits for the rest of a mark that never came."""
        yield from self._said(self._held)
        self._held = ""

    def _said(self, text: str) -> Iterator[Piece]:
        if text:
            yield Piece(kind="reasoning" if self.is_thinking else "text", text=text)


def _prose(message: Mapping[str, Any]) -> Iterator[Piece]:
    """Yield reasoning, a refusal and text, in the order in which a chunk of a script has them."""
    if thought := _reasoning(message):
        yield Piece(kind="reasoning", text=thought)
    if refusal := text_of(message.get("refusal")):
        yield Piece(kind="refusal", text=refusal)
    content = message.get("content")
    if isinstance(content, list):
        for part in content:
            yield from _part(object_of(part))
    elif text := text_of(content):
        yield Piece(kind="text", text=text)


def _reasoning(message: Mapping[str, Any]) -> str:
    """Return the reasoning, which some say in two fields; OpenRouter has some of it in a list of parts alone."""
    told = next((found for name in _REASONING if (found := text_of(message.get(name)))), "")
    details = map(object_of, message.get("reasoning_details") or ())
    return told or "".join(text_of(one.get("text") or one.get("summary")) for one in details)


def _is_thinking_part(content: object) -> bool:
    return isinstance(content, list) and any(object_of(part).get("type") == "thinking" for part in content)


def _part(part: Mapping[str, Any]) -> Iterator[Piece]:
    if part.get("type") == "thinking":
        thoughts = _listed(part.get("thinking"))
        if thought := "".join(text_of(one.get("text")) for one in thoughts):
            yield Piece(kind="reasoning", text=thought)
    elif part.get("type") == "image_url":
        yield from _image(part)
    elif text := text_of(part.get("text")):
        yield Piece(kind="text", text=text)


def _beside_text(message: Mapping[str, Any]) -> Iterator[Piece]:
    for one in _listed(message.get("annotations")):
        yield from _citation(object_of(one.get("url_citation")))
    for one in _listed(message.get("images")):
        yield from _image(one)


def _citation(source: Mapping[str, Any]) -> Iterator[Piece]:
    if not (url := text_of(source.get("url"))):
        return
    title, cited = text_of(source.get("title")), text_of(source.get("content"))
    start, end = (source.get(f"{name}_index") for name in ("start", "end"))
    if not (type(start) is type(end) is int and 0 <= start <= end):
        start = end = None
    yield Piece(kind="citation", step=Citation(url, title, cited, start=start, end=end))


def _image(image: Mapping[str, Any]) -> Iterator[Piece]:
    url = image.get("image_url")
    found = _DATA_URL.fullmatch(text_of(url.get("url") if isinstance(url, Mapping) else url))
    if found is None:
        return
    try:
        yield Piece(kind="image", step=Image(found["data"], media_type=found["type"]))
    except ScriptError:  # what is no Base64 is no image
        return


def _listed(value: Any) -> list[Mapping[str, Any]]:
    """Return a list of objects; TGI says one object in the place of a list of one, and Mistral a text."""
    if isinstance(value, str):
        return [{"text": value}]
    return [object_of(one) for one in ([value] if isinstance(value, Mapping) else value or ())]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _whole(body: Any, *, dialect: Dialect) -> Iterator[Heard]:
    body = object_of(body)
    if is_error(body) and "choices" not in body:
        yield error_step(body, dialect)
        return
    if (choice := first_choice(body)) is not None:
        message = object_of(choice.get("message"))
        yield from _whole_prose(message, dialect)
        yield from _beside_text(message)
        yield from _Calls().pieces(message, are_whole=True)
        if finish := text_of(choice.get("finish_reason")):
            yield Finish(finish)
    yield from usage_in(body)


def _whole_prose(message: Mapping[str, Any], dialect: Dialect) -> Iterator[Piece]:
    thoughts = _Thoughts()
    for number, piece in enumerate(_prose(message)):
        if dialect.reasoning == "<think>" and piece.kind == "text":
            yield from thoughts.pieces(piece.text)
        else:
            yield piece._replace(block=number) if dialect.reasoning == "thinking parts" else piece
    yield from thoughts.rest()


def decoding(dialect: Dialect) -> Decoding:
    """Return how chats are read in a dialect."""
    return Decoding(
        stream=partial(_Decoder, dialect),
        whole=partial(_whole, dialect=dialect),
        error=told_error,
        rest=_Decoder.rest,
    )
