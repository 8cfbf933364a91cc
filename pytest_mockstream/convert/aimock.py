"""Makes a recording of a file of fixtures of aimock (npm ``@copilotkit/aimock``), checked against 1.43.

Its fixtures have no requests, only what a request must be like: they become scripts with conditions, each of which
answers any number of requests. Whatever a fixture says is taken out of it once it is understood; what is left at the
end is not carried over, and noted. A fixture is left out if no condition says which requests it is for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.redaction import brief
from pytest_mockstream._base.wording import counted
from pytest_mockstream.playbook.queued import Condition
from pytest_mockstream.recordings import RecordedReply, Recording, Scrubber, Tape
from pytest_mockstream.script.chunks import Usage
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import Disconnect, HTTPError, Reasoning, ServerTool, Step, Text, ToolCall

from .reading import Foreign
from .result import ConversionError, Converted, Place, refused

_Table: TypeAlias = dict[str, Any]
_CHUNK = 20  # characters: aimock's own default
_COMMENTS = ("$comment", "metadata", "role")
_TOKENS = {
    "prompt_tokens": ("prompt_tokens", "input_tokens", "promptTokenCount"),
    "completion_tokens": ("completion_tokens", "output_tokens", "candidatesTokenCount"),
}
#: What a request must be like, as conditions of ``when``, and a remark where they are not quite the same.
_CONDITIONS: dict[str, Callable[[Any], tuple[_Table, str]]] = {
    "userMessage": lambda text: ({"contains": text}, ""),
    "systemMessage": lambda text: ({"system": text[0] if isinstance(text, list) and len(text) == 1 else text}, ""),
    "toolResultContains": lambda text: ({"tool_result_contains": text}, ""),
    "toolName": lambda name: ({"tool": name}, ""),
    "model": lambda name: ({"model": name}, ""),
    "context": lambda name: ({"header": f"x-aimock-context: {name}"}, ""),
    "turnIndex": lambda turns: ({"turn": turns + 1}, ""),
    "hasToolResult": lambda has: ({"turn": 2 if has else 1}, "no condition knows whether there is a result of a tool"),
    "toolCallId": lambda _id: ({"turn": 2}, "no condition knows the ids of calls"),
}


class _LeftOutError(Exception):
    """No script answers as a fixture does."""


def recorded(file: Foreign) -> Converted:
    """Return a recording of a file of fixtures.

    Raises:
        ConversionError: something in it is not as aimock reads it, or may be a secret, or nothing is left of it.
    """
    listed = file.data["fixtures"]
    if not listed:
        raise ConversionError(f"{file.path}: this file is empty: it has no fixtures")
    made = Converted()
    found: list[tuple[int | None, RecordedReply]] = []
    for number, entry in enumerate(listed, 1):
        place = file.place(number, "fixture")
        fixture = _Fixture(entry, place)
        try:
            reply = fixture.reply()
        except _LeftOutError as error:
            made.notes.append(f"{place} is left out: {error}")
            continue
        except (ScriptError, TypeError) as error:
            raise error if isinstance(error, ConversionError) else ConversionError(f"{place}: {error}") from None
        made.notes += fixture.notes
        found.append((fixture.occurrence, _scrubbed(reply, place)))
    if not found:
        raise ConversionError("\n".join([f"{file.path}: nothing in it can be carried over", *made.notes]))
    made.recording.replies = _in_sequence(found)
    return made


def _in_sequence(found: list[tuple[int | None, RecordedReply]]) -> list[RecordedReply]:
    """Return scripts in the order in which they are played: those of one condition by the number that each has."""
    replies = [reply for _, reply in found]
    places: dict[str, list[int]] = {}
    for place, (occurrence, reply) in enumerate(found):
        if occurrence is not None:
            places.setdefault(json.dumps(reply.when, sort_keys=True), []).append(place)
    for of_one in places.values():
        ordered = sorted(of_one, key=lambda place: found[place][0] or 0)
        for place, source in zip(of_one, ordered, strict=True):
            replies[place] = found[source][1]
    return replies


def _scrubbed(reply: RecordedReply, place: Place) -> RecordedReply:
    """Return a script without secrets; raises ``ConversionError`` where that is not certain."""
    scrubber = Scrubber(os.environ)
    options: dict[str, Any] = {"times": 1, **reply.script.options}
    reply.script = Script(*scrubber.script(reply.script.steps), **options)
    reply.when = scrubber.scrub(reply.when)
    if doubts := Tape("all").doubts(Recording(replies=[reply])):
        raise refused(place, doubts)
    return reply


class _Fixture:
    """Makes a script of one fixture.

    Attributes:
        occurrence: of the requests that it is for, which it answers, from 0; None if all of them.
        notes: what is not carried over.
    """

    def __init__(self, entry: object, place: Place) -> None:
        self._place = place
        self._entry = self._table(entry, "it")
        self._match = self._table(self._entry.pop("match", {}), "match")
        self._response = self._table(self._entry.pop("response", None), "response")
        self.occurrence: int | None = self._match.pop("sequenceIndex", None)
        self.notes: list[str] = []

    def reply(self) -> RecordedReply:
        """Return the script.

        Raises:
            _LeftOutError: no script answers as it does, or just those requests.
            ScriptError: it is not as aimock reads it.
        """
        self._number(self.occurrence or 0, "match.sequenceIndex")
        when = self._when()
        gaps = self._gaps()
        options = self._options()
        steps = self._broken(list(self._steps()), options)
        script = Script(*steps, **options, times=None if self.occurrence is None else 1)
        for owner, left in (("response.", self._response), ("", self._entry)):
            named = (name for name in left if name not in _COMMENTS)
            self.notes += [f"{self._place}: {owner}{name} = {brief(left[name])} is not carried over" for name in named]
        return RecordedReply(script=script, when=when, gaps=gaps)

    def _note(self, what: str) -> None:
        self.notes.append(f"{self._place}: {what}")

    def _wrong(self, name: str, value: object, legal: str) -> ConversionError:
        return ConversionError(f"{self._place}: {name} is {brief(value)}, not {legal}")

    def _table(self, value: object, name: str) -> _Table:
        if not isinstance(value, Mapping):
            raise self._wrong(name, value, "an object")
        return dict(value)

    def _list(self, value: object, name: str) -> list[Any]:
        if not isinstance(value, list):
            raise self._wrong(name, value, "a list")
        return value

    def _number(self, value: object, name: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
            raise self._wrong(name, value, "a number >= 0")
        return value

    def _when(self) -> _Table:
        """Return the conditions for its requests."""
        if (endpoint := self._match.pop("endpoint", "chat")) != "chat":
            raise _LeftOutError(f"it is for {brief(endpoint)}, and only those for 'chat' are carried over")
        if "turnIndex" in self._match:  # aimock's recorder writes both
            self._match.pop("hasToolResult", None)
            self._number(self._match["turnIndex"], "match.turnIndex")
        if self._match.get("systemMessage") == []:
            del self._match["systemMessage"]
        when: _Table = {}
        for name, value in self._match.items():
            if name not in _CONDITIONS or (isinstance(value, list) and len(value) > 1):
                raise _LeftOutError(f"no condition says match.{name} = {brief(value)}")
            said, remark = _CONDITIONS[name](value)
            if remark:
                self._note(f"match.{name} = {brief(value)} becomes turn = {said['turn']}: {remark}")
            when |= said
        Condition(**when)
        return when

    # What it answers.

    def _steps(self) -> Iterator[Step]:
        if "error" in self._response:
            yield self._error(self._table(self._response.pop("error"), "response.error"))
            return
        if not self._response.keys() & {"content", "toolCalls", "blocks"}:
            kinds = ", ".join(name for name in self._response if name not in _COMMENTS) or "nothing"
            raise _LeftOutError(f"its response has {kinds}, and only text, calls of tools and errors are carried over")
        for content in self._list(self._response.pop("redactedThinking", []), "response.redactedThinking"):
            yield Reasoning(content, redacted=True)
        signature = self._response.pop("reasoningSignature", None)
        if reasoning := self._response.pop("reasoning", None):
            yield Reasoning(reasoning, signature=signature)
        for query in self._list(self._response.pop("webSearches", []), "response.webSearches"):
            yield ServerTool("web_search", {"query": query})
        yield from self._said()

    def _said(self) -> Iterator[Step]:
        content, calls = self._response.pop("content", None), self._response.pop("toolCalls", None)
        if blocks := self._response.pop("blocks", None):  # it says what the other two do, in its order
            for number, block in enumerate(self._list(blocks, "response.blocks")):
                table = self._table(block, f"response.blocks[{number}]")
                kind = table.pop("type", None)
                if kind not in {"text", "toolCall"}:
                    raise self._wrong(f"response.blocks[{number}].type", kind, "'text' or 'toolCall'")
                yield Text(table.get("text", "")) if kind == "text" else _call(table)
            return
        if content not in (None, ""):
            yield Text(
                content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, separators=(",", ":"))
            )
        for number, call in enumerate(self._list([] if calls is None else calls, "response.toolCalls")):
            yield _call(self._table(call, f"response.toolCalls[{number}]"))

    def _error(self, error: _Table) -> HTTPError:
        status = self._response.pop("status", 500)
        after = self._response.pop("retryAfter", 1 if status == 429 else None)
        said = {name: error.pop(name) for name in ("type", "code", "message") if error.get(name) is not None}
        self.notes += [
            f"{self._place}: response.error.{name} = {brief(value)} is not carried over"
            for name, value in error.items()
            if value is not None
        ]
        return HTTPError(status, retry_after=after, **said)

    def _broken(self, steps: list[Step], options: _Table) -> list[Step]:
        """Return the steps with the end that it has."""
        if "truncateAfterChunks" not in self._entry or not (steps and isinstance(steps[-1], Text)):
            return steps
        size = options.get("chunking", _CHUNK)
        # aimock counts frames, of which the first of OpenAI's chats has no text.
        count = int(self._number(self._entry.pop("truncateAfterChunks"), "truncateAfterChunks")) - 1
        text = steps[-1].text
        cut = [text[place : place + size] for place in range(0, len(text), size)][: max(0, count)]
        self._note(f"its connection is cut after {counted(len(cut), 'chunk')} of text, as in OpenAI's chats of aimock")
        return [*steps[:-1], *([Text(cut)] if cut else []), Disconnect(how="cut")]

    # How it is played.

    def _options(self) -> _Table:
        options: _Table = {}
        if (reason := self._response.pop("finishReason", None)) is not None:
            options["finish_reason"] = reason
        if "usage" in self._response:
            options["usage"] = self._usage(self._table(self._response.pop("usage"), "response.usage"))
        if "chunkSize" in self._entry:
            options["chunking"] = max(1, int(self._number(self._entry.pop("chunkSize"), "chunkSize")))
        profile = self._table(self._entry.pop("streamingProfile", {}), "streamingProfile")
        if latency := self._number(self._entry.pop("latency", 0), "latency"):
            options["delay"] = latency / 1000
        if "ttft" in profile:
            options["ttft"] = self._number(profile["ttft"], "streamingProfile.ttft") / 1000
        if rate := self._number(profile.get("tps", 0), "streamingProfile.tps"):
            options["delay"] = 1 / rate
        if jitter := self._number(profile.get("jitter", 0), "streamingProfile.jitter"):  # a part of the delay
            options["jitter"] = jitter * options.get("delay", 0)
        return options

    def _usage(self, said: _Table) -> Usage:
        counts: dict[str, Any] = {}
        for name, names in _TOKENS.items():
            given = [said.pop(one) for one in names if one in said]
            counts[name] = given[0] if given else 0
        for name, owner, part in (
            ("cached_tokens", "prompt_tokens_details", "cached_tokens"),
            ("reasoning_tokens", "completion_tokens_details", "reasoning_tokens"),
        ):
            counts[name] = self._table(said.pop(owner, {}), f"response.usage.{owner}").get(part, 0)
        left = [name for name in said if not name.startswith("total")]
        for name in left:
            self._note(f"response.usage.{name} = {brief(said[name])} is not carried over")
        return Usage(**counts)

    def _gaps(self) -> tuple[float, ...]:
        """Return the times that aimock recorded, in seconds."""
        timings = self._table(self._entry.pop("recordedTimings", {}), "recordedTimings")
        if not timings:
            return ()
        listed = self._list(timings.get("interChunkDelaysMs", []), "recordedTimings.interChunkDelaysMs")
        milliseconds = [timings.get("ttftMs", 0), *listed]
        return tuple(self._number(one, "recordedTimings") / 1000 for one in milliseconds)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _call(said: Mapping[str, Any]) -> ToolCall:
    arguments = said.get("arguments", {})
    return ToolCall(said.get("name", ""), arguments, said.get("id"))
