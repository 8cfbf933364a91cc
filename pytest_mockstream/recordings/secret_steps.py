"""Takes secrets out of the steps of a script.

Theory of operation: what a model says in one voice (text, reasoning, a refusal) is one text, however many steps and
fragments it comes in, for a secret may begin in one and end in another; so are the texts at the same place of the
user's frames. The arguments of a call are a text of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_mockstream.script.steps import (
    Citation,
    ErrorEvent,
    Failed,
    Frame,
    HTTPError,
    Interleave,
    Malformed,
    Reasoning,
    Refusal,
    ServerTool,
    Step,
    Text,
    Together,
    ToolCall,
)

from .changes import Change, moved
from .secret_texts import SecretTexts

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_PROSE: tuple[type[Text | Reasoning | Refusal], ...] = (Text, Reasoning, Refusal)


def scrubbed_steps(texts: SecretTexts, steps: Iterable[Step | str]) -> list[Step | str]:
    """Return the steps of a script without secrets: as many, with as many fragments, in the same order.

    Images stay as they are.
    """
    steps = list(steps)
    return _Scrubbing(texts, steps).steps(steps)


@dataclass(slots=True)
class _Voice:
    """All that is said in one voice, without secrets."""

    parts: Iterator[list[str]]
    rounds: list[list[Change]] = field(default_factory=list)


class _Scrubbing:
    def __init__(self, texts: SecretTexts, steps: Sequence[Step | str]) -> None:
        self._texts = texts
        said = list(_parts(steps))
        self._voices = {kind: self._voice(said, kind) for kind in _PROSE}
        self._frames = iter(self._scrubbed_frames([step for step in steps if isinstance(step, Frame)]))

    def _voice(self, said: Sequence[Any], kind: type[Text | Reasoning | Refusal]) -> _Voice:
        contents = [part.content for part in said if type(part) is kind]
        parts, rounds = self._texts.parts([[one] if isinstance(one, str) else list(one) for one in contents])
        return _Voice(iter(parts), rounds)

    def steps(self, steps: Iterable[Step | str]) -> list[Step | str]:
        return [self._step(step) for step in steps]

    def _step(self, step: Any) -> Any:
        if isinstance(step, str):
            return next(self._voices[Text].parts)[0]
        scrub = _STEPS.get(type(step))
        return step if scrub is None else scrub(self, step)

    def _prose(self, step: Text | Refusal) -> Text | Refusal:
        return replace(step, content=self._content(step))

    def _content(self, step: Text | Reasoning | Refusal) -> str | tuple[str, ...]:
        deltas = next(self._voices[type(step)].parts)
        return deltas[0] if isinstance(step.content, str) else tuple(deltas)

    def _reasoning(self, step: Reasoning) -> Reasoning:
        signature = self._texts.identifier(step.signature) if step.signature else step.signature
        return replace(step, content=self._content(step), signature=signature)

    def _call(self, step: ToolCall) -> ToolCall:
        name = self._texts.identifier(step.name)
        call_id = self._texts.identifier(step.id) if step.id else step.id
        given = step.fragments
        if not isinstance(given, tuple):
            arguments = step.arguments
            made: Any = self._texts.text(arguments) if isinstance(arguments, str) else self._texts.value(arguments)
            return replace(step, name=name, id=call_id, arguments=made)
        deltas = self._texts.deltas([one or "" for one in given])
        arguments = step.arguments if "".join(deltas) == step.json else "".join(deltas)
        fragments = [None if one is None else delta for one, delta in zip(given, deltas, strict=True)]
        return replace(step, name=name, id=call_id, arguments=arguments, fragments=fragments)

    def _interleave(self, step: Interleave) -> Interleave:
        return Interleave(*map(self._step, step.parts), order=step.order)

    def _together(self, step: Together) -> Together:
        return Together(*map(self._step, step.parts))

    def _server_tool(self, step: ServerTool) -> ServerTool:
        value, name = self._texts.value, self._texts.identifier(step.name)
        server = step.server and self._texts.text(step.server)
        return ServerTool(name, value(step.input), value(step.result), server=server)

    def _citation(self, step: Citation) -> Citation:
        """Return a citation without secrets, for the same part of the text, which may be shorter now."""
        text, rounds = self._texts.text, self._voices[Text].rounds
        places = {"start": step.start, "end": step.end}
        for name, place in places.items():
            for changes in rounds if place is not None else []:
                place = moved(place or 0, changes)  # noqa: PLW2901 - one round after the other
            places[name] = place
        said = replace(step, url=text(step.url), title=text(step.title), cited_text=text(step.cited_text))
        return replace(said, start=places["start"], end=places["end"])

    def _frame(self, _step: Frame) -> Frame:
        return next(self._frames)

    def _error(self, step: ErrorEvent) -> ErrorEvent:
        return replace(step, **self._words(step, "message", "type", "code"))

    def _failed(self, step: Failed) -> Failed:
        return replace(step, **self._words(step, "message", "code"))

    def _http_error(self, step: HTTPError) -> HTTPError:
        """Return an error without secrets; a header that is named after tokens says how many may be used."""
        headers = step.headers and {name: self._texts.text(value) for name, value in step.headers.items()}
        return replace(step, headers=headers, **self._words(step, "message", "type", "code"))

    def _malformed(self, step: Malformed) -> Malformed:
        return replace(step, data=self._texts.text(step.data))

    def _words(self, step: Any, *names: str) -> dict[str, Any]:
        given = {name: getattr(step, name) for name in names}
        return {name: self._texts.text(value) if isinstance(value, str) else value for name, value in given.items()}

    def _scrubbed_frames(self, frames: Sequence[Frame]) -> list[Frame]:
        """Return the user's frames without secrets, also those that several frames say together."""
        made: list[Any] = [_by_place(frame) for frame in frames]
        for place in {place: None for leaves in made for place in leaves}:
            having = [leaves for leaves in made if place in leaves]
            if len({leaves[place] for leaves in having}) > 1:  # what is in each of them is no piece of anything
                for leaves, piece in zip(having, self._texts.pieces([one[place] for one in having]), strict=True):
                    leaves[place] = piece
        return [self._whole_frame(frame, leaves) for frame, leaves in zip(frames, made, strict=True)]

    def _whole_frame(self, frame: Frame, leaves: Mapping[tuple[Any, ...], str]) -> Frame:
        identifier = self._texts.identifier
        named: dict[str, Any] = {
            name: value and identifier(value) for name, value in (("event", frame.event), ("id", frame.id))
        }
        if isinstance(frame.data, str) and not isinstance(frame.json, dict | list):
            return replace(frame, data=self._texts.text(frame.data), **named)
        said = _put_back(frame.json, leaves, ())
        if isinstance(frame.data, str):
            text = frame.data if said == frame.json else json.dumps(said, ensure_ascii=False)
            return replace(frame, data=self._texts.text(text), **named)
        return replace(frame, data=self._texts.value(said), **named)


_STEPS: dict[type, Callable[[_Scrubbing, Any], Any]] = {
    Text: _Scrubbing._prose,
    Refusal: _Scrubbing._prose,
    Reasoning: _Scrubbing._reasoning,
    ToolCall: _Scrubbing._call,
    Interleave: _Scrubbing._interleave,
    Together: _Scrubbing._together,
    ServerTool: _Scrubbing._server_tool,
    Citation: _Scrubbing._citation,
    Frame: _Scrubbing._frame,
    ErrorEvent: _Scrubbing._error,
    Failed: _Scrubbing._failed,
    HTTPError: _Scrubbing._http_error,
    Malformed: _Scrubbing._malformed,
}


def _parts(steps: Iterable[Any]) -> Iterator[Any]:
    for step in steps:
        if isinstance(step, Interleave | Together):
            yield from _parts(step.parts)
        else:
            yield Text(step) if isinstance(step, str) else step


def _by_place(frame: Frame) -> dict[tuple[Any, ...], str]:
    """Return the texts in a frame, each with the names and positions that lead to it."""
    return dict(_texts_in(frame.json, ()))


def _texts_in(value: Any, place: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts_in(item, (*place, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts_in(item, (*place, number))


def _put_back(value: Any, leaves: Mapping[tuple[Any, ...], str], place: tuple[Any, ...]) -> Any:
    if isinstance(value, str):
        return leaves[place]
    if isinstance(value, dict):
        return {name: _put_back(item, leaves, (*place, name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_put_back(item, leaves, (*place, number)) for number, item in enumerate(value)]
    return value
