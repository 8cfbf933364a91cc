"""Reads what Gemini says, also by way of Vertex AI: the twin of ``formats.gemini``.

API: https://ai.google.dev/api/generate-content; signatures: https://ai.google.dev/gemini-api/docs/thought-signatures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from pytest_mockstream.script.chunks import Usage
from pytest_mockstream.script.steps import Citation, ErrorEvent, Image, KeepAlive, Reasoning, ServerTool
from pytest_mockstream.wire.decoding import Decoding, Finish, Heard, Piece, counted
from pytest_mockstream.wire.sse import Event

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_PING = [{"text": ""}]  # the parts of an event that says nothing
# A step of a path such as "$.a.b[0]['c']": https://datatracker.ietf.org/doc/html/rfc9535
_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d+)\]|\[(?:'([^']*)'|"([^"]*)")\]""")
_VALUES = ("stringValue", "numberValue", "boolValue", "nullValue")


class _Decoder:
    def __init__(self, *, is_whole: bool = False) -> None:
        self._candidate = _Candidate(is_whole=is_whole)

    def event(self, event: Event) -> Iterator[Heard]:
        said = json.loads(event.data)
        if "error" in said:
            message, kind, _ = _error(said)
            yield ErrorEvent(message, type=kind)
            return
        heard = list(self.heard(said))
        yield from heard
        parts = (_candidate(said).get("content") or {}).get("parts")
        if parts in (_PING, [], None) and all(isinstance(one, Usage) for one in heard):
            yield KeepAlive()

    def heard(self, said: Mapping[str, Any]) -> Iterator[Heard]:
        """Hear a reply, or the next event of one."""
        if not said.keys() & {"candidates", "promptFeedback", "usageMetadata"}:
            raise LookupError("it has no candidates")
        candidate = _candidate(said)
        yield from self._candidate.pieces(candidate)
        if counts := said.get("usageMetadata"):
            yield _usage(counts)
        reason = candidate.get("finishReason")
        if not said.get("candidates"):
            reason = (said.get("promptFeedback") or {}).get("blockReason")
        if reason:
            yield from self._candidate.end()
            yield Finish(reason)


def _candidate(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the first candidate; a script has no others."""
    return next((one for one in said.get("candidates") or () if not one.get("index")), {})


class _Candidate:
    """Hears the parts of a candidate, and remembers what tells the meaning of later ones.

    Args:
        is_whole: whether each part is all of its block, or a stream may go on with it.
    """

    def __init__(self, *, is_whole: bool) -> None:
        self._is_whole = is_whole
        self._text = ""
        self._calls = 0
        self._thinks = False  # there are thoughts whose signature the next part has, or nobody
        self._code: Mapping[str, Any] | None = None  # what runs and has no result yet
        self._call: dict[str, Any] | None = None  # the call whose arguments still come
        self._grounding: Mapping[str, Any] = {}

    def pieces(self, candidate: Mapping[str, Any]) -> Iterator[Piece]:
        """Hear the candidate, or what the next event has of it."""
        parts = (candidate.get("content") or {}).get("parts") or ()
        grounding, before = candidate.get("groundingMetadata"), self._grounding
        is_last = bool(candidate.get("finishReason"))
        if parts == _PING and not grounding and not is_last:
            return
        self._grounding = grounding or before
        news = _Grounding(self._grounding, before)
        if all(part.get("text") != "" for part in parts):
            yield from news.tools()  # no part stands for them: they came before
        after_text = False
        for part in parts:
            is_empty = part.get("text") == "" and not part.get("thought")
            if not is_empty:
                yield from self._part(part)
            else:
                yield from self._sign(part.get("thoughtSignature"), says_empty_text=not grounding and not is_last)
                if after_text or not (cited := list(news.citations(self._text))):
                    yield from news.tool()
                else:
                    yield from cited
            after_text = "text" in part and not part.get("thought")
            if after_text and not is_empty:
                yield from news.citations(self._text)
        yield from news.tools()
        yield from news.citations(self._text, rest=True)

    def end(self) -> Iterator[Piece]:
        """Hear the end: code that still runs has no result, and a call no more arguments."""
        if self._code is not None:
            yield from self._ran(None)
        if self._call is not None:
            yield from self._called({})

    def _part(self, part: Mapping[str, Any]) -> Iterator[Piece]:
        text, signature = part.get("text"), part.get("thoughtSignature")
        if part.get("thought"):
            if self._thinks and (signature or self._is_whole):
                yield _signed(signature)
            yield Piece(kind="reasoning", text=text or "")
            if signature and not self._thinks:
                yield _signed(signature)
            else:
                self._thinks = True
        elif (result := part.get("codeExecutionResult")) is not None:
            yield from self._ran(result)
        elif any(name in part for name in ("text", "functionCall", "inlineData", "executableCode")):
            yield from self._sign(signature)
            yield from self._said(part)

    def _said(self, part: Mapping[str, Any]) -> Iterator[Piece]:
        if text := part.get("text"):
            self._text += text
            yield Piece(kind="text", text=text)
        elif (call := part.get("functionCall")) is not None:
            yield from self._called(call)
        elif (blob := part.get("inlineData")) and blob["mimeType"].startswith("image/"):
            yield Piece(kind="image", step=Image(blob["data"], media_type=blob["mimeType"]))
        elif code := part.get("executableCode"):
            yield from self.end()
            self._code = code

    def _called(self, call: Mapping[str, Any]) -> Iterator[Piece]:
        """Hear a call, or the next of its arguments, which Vertex AI streams if it is asked to."""
        if self._call is None:
            self._call = {"name": call["name"], "id": call.get("id") or "", "args": dict(call.get("args") or {})}
        for one in call.get("partialArgs") or ():
            _put(self._call["args"], one)
        if not call.get("willContinue"):
            told, self._call = self._call, None
            number, self._calls = self._calls, self._calls + 1
            text = json.dumps(told["args"], ensure_ascii=False)
            yield Piece(kind="tool_call", name=told["name"], text=text, id=told["id"], call=number)

    def _sign(self, signature: str | None, *, says_empty_text: bool = False) -> Iterator[Piece]:
        """Hear the signature of a part, which is the one of the thoughts before it."""
        thinks, self._thinks = self._thinks, False
        if signature or thinks:
            yield _signed(signature)
        if says_empty_text and signature and thinks:
            yield Piece(kind="text")

    def _ran(self, result: Mapping[str, Any] | None) -> Iterator[Piece]:
        """Hear the result of code; what it prints, if it went well."""
        code, self._code = self._code, None
        if code is None:
            return
        said: Any = result
        if result is not None and {**result, "output": ""} == {"outcome": "OUTCOME_OK", "output": ""}:
            said = result.get("output") or ""
        step = ServerTool("code_execution", {"code": code.get("code") or ""}, said)
        yield Piece(kind="server_tool", step=step)


def _put(arguments: dict[str, Any], partial: Mapping[str, Any]) -> None:
    """Put a value, or more of a text, where its path says."""
    found = _STEP.findall(partial["jsonPath"])
    keys = [int(number) if number else name or single or double for name, number, single, double in found]
    value = next((partial[name] for name in _VALUES if name in partial), None)  # a null is "NULL_VALUE"
    value = None if value == "NULL_VALUE" and "nullValue" in partial else value
    place: Any = arguments
    for key, following in pairwise(keys):
        place = _at(place, key, [] if isinstance(following, int) else {})
    if isinstance(value, str):
        value = _at(place, keys[-1], "") + value
    _at(place, keys[-1], value)
    place[keys[-1]] = value


def _at(place: Any, key: Any, empty: Any) -> Any:
    """Return what is at a place, which is made if it is the next one."""
    if isinstance(place, list) and key == len(place):
        place.append(empty)
    elif isinstance(place, dict):
        place.setdefault(key, empty)
    return place[key]


class _Grounding:
    """What is new in the sources of a candidate, of which each event has all that were found until then."""

    def __init__(self, now: Mapping[str, Any], before: Mapping[str, Any]) -> None:
        self._queries = _new("webSearchQueries", now, before)
        chunks, new = now.get("groundingChunks") or [], _new("groundingChunks", now, before)
        self._sources = _sources(chunks, len(chunks) - len(new), _new("groundingSupports", now, before))

    def citations(self, text: str, *, rest: bool = False) -> Iterator[Piece]:
        """Return the sources that come next; what they are for must have been said, unless it is the rest."""
        while self._sources and (segment := self._sources[0][1]) is not None:
            if not rest and (segment.get("endIndex") or 0) > len(text.encode(errors="replace")):
                return
            chunk, _ = self._sources.pop(0)
            found = chunk.get("web") or chunk.get("retrievedContext") or {}
            if url := found.get("uri"):
                start = _place(text, segment.get("startIndex"))
                end = max(start, _place(text, segment.get("endIndex")))
                yield Piece(kind="citation", step=Citation(url, found.get("title") or "", start=start, end=end))

    def tool(self) -> Iterator[Piece]:
        """Return the search that comes next, with what it found; none if there is none."""
        found: list[Mapping[str, Any]] = []
        while self._sources and self._sources[0][1] is None:
            found.append(self._sources.pop(0)[0])
        if self._queries or found:
            asked = {"query": self._queries.pop(0)} if self._queries else {}
            yield Piece(kind="server_tool", step=ServerTool("web_search", asked, _results(found)))

    def tools(self) -> Iterator[Piece]:
        """Return all searches; the first one with all that was found."""
        self._sources.sort(key=lambda source: source[1] is not None)
        while piece := next(self.tool(), None):
            yield piece


def _new(name: str, now: Mapping[str, Any], before: Mapping[str, Any]) -> list[Any]:
    items, known = list(now.get(name) or ()), list(before.get(name) or ())
    return items[len(known) :] if items[: len(known)] == known else items


def _sources(
    chunks: Sequence[Mapping[str, Any]], first: int, supports: Sequence[Mapping[str, Any]]
) -> list[tuple[Mapping[str, Any], Mapping[str, Any] | None]]:
    """Return the chunks from one on, in their order, each with the segment of the text that it is for, if any is."""
    indices = [[one for one in support.get("groundingChunkIndices") or () if one < len(chunks)] for support in supports]
    cited = {one for some in indices for one in some}
    free = [number for number in range(first, len(chunks)) if number not in cited]
    found: list[tuple[Mapping[str, Any], Mapping[str, Any] | None]] = []
    for support, some in zip(supports, indices, strict=True):
        while free and some and free[0] < min(some):
            found.append((chunks[free.pop(0)], None))
        found += [(chunks[one], support.get("segment") or {}) for one in some]
    return found + [(chunks[number], None) for number in free]


def _results(found: list[Mapping[str, Any]]) -> Any:
    """Return what a search found as a script says it: pages, or as it came where it is more."""
    if not found:
        return None
    if all(chunk.keys() == {"web"} and chunk["web"].keys() <= {"uri", "title"} for chunk in found):
        return [{"url": chunk["web"].get("uri"), "title": chunk["web"].get("title", "")} for chunk in found]
    return {"groundingChunks": found}


def _place(text: str, index: int | None) -> int:
    """Return the place of a byte in a text, in characters: https://ai.google.dev/api/generate-content#Segment."""
    return len(text.encode(errors="replace")[: index or 0].decode(errors="ignore"))


def _signed(signature: str | None) -> Piece:
    return Piece(kind="reasoning", step=Reasoning("", signature=signature or False))


def _usage(counts: Mapping[str, Any]) -> Usage:
    """Return the tokens; here the thoughts and what tools bring are not in the other counts."""
    thoughts = counts.get("thoughtsTokenCount") or 0
    return counted(
        prompt_tokens=(counts.get("promptTokenCount") or 0) + (counts.get("toolUsePromptTokenCount") or 0),
        completion_tokens=(counts.get("candidatesTokenCount") or 0) + thoughts,
        reasoning_tokens=thoughts,
        cached_tokens=counts.get("cachedContentTokenCount"),
        prompt_audio_tokens=_audio(counts.get("promptTokensDetails")),
        completion_audio_tokens=_audio(counts.get("candidatesTokensDetails")),
    )


def _audio(details: Sequence[Mapping[str, Any]] | None) -> int:
    return sum(one.get("tokenCount") or 0 for one in details or () if one.get("modality") == "AUDIO")


def _whole(body: Mapping[str, Any]) -> Iterator[Heard]:
    if "error" in body:
        message, kind, _ = _error(body)
        yield ErrorEvent(message, type=kind)
        return
    heard = list(_Decoder(is_whole=True).heard(body))
    yield from heard
    if not any(isinstance(one, Finish) for one in heard):
        yield Finish("STOP")


def _error(body: Any) -> tuple[str, str | None, str | None]:
    error = (body[0] if isinstance(body, list) else body)["error"]
    return error["message"], error.get("status") or None, None


DECODING = Decoding(stream=_Decoder, whole=_whole, error=_error)
