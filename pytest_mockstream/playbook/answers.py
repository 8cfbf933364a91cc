"""Answers that depend on the question: what ``respond`` takes besides steps and functions of the user's.

Each is a function of the request, and frozen.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import did_you_mean, integer
from pytest_mockstream._base.redaction import brief, real
from pytest_mockstream.script.steps import Text, ToolCall

from .asked import Tool, Wanted, forced_names, tools_of
from .request import Request, wanted_by
from .schemas import problems_with, value_for

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


@dataclass(frozen=True, slots=True)
class Echo:
    """Answers with the text of the user's last message."""

    def __call__(self, request: Request) -> Text:
        """Return the answer to a request."""
        return Text(request.text)


_FIELDS: dict[str, Callable[[Request], str | int]] = {
    "user": lambda request: real(request.text),
    "system": lambda request: real(request.system),
    "model": lambda request: real(request.model or ""),
    "provider": lambda request: request.provider,
    "turn": lambda request: request.turn,
    "number": lambda request: request.number,
    "tools": lambda request: ", ".join(map(real, request.tool_names)),
    "tool_result": lambda request: "\n".join(map(real, request.tool_results)),
}


@dataclass(frozen=True, slots=True)
class Template:
    """Answers with a text that has fields of the request in it, written as for ``str.format``.

    Attributes:
        text: with ``{user}`` (the text of the user's last message), ``{system}``, ``{model}``, ``{provider}``,
            ``{turn}`` (of the model, from 1), ``{number}`` (of the request, from 1), ``{tools}`` (the names of those
            that are offered) and ``{tool_result}`` (what the tools gave since the model last spoke); ``{{`` and ``}}``
            are braces.

    Raises:
        ScriptError: it has another field, or reaches into one; or it is no such text.

    Example:
        >>> client.respond(Template("You said: {user}"))  # doctest: +SKIP
    """

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise ScriptError(f"Template({brief(self.text)}): give a str")
        try:
            for _, name, spec, _ in string.Formatter().parse(self.text):
                self._check(name, spec or "")
            self.text.format_map(dict.fromkeys(_FIELDS, "") | {"turn": 1, "number": 1})
        except ScriptError:
            raise
        except ValueError as error:
            raise ScriptError(f"Template({brief(self.text)}): {error}; write {{{{ and }}}} for braces") from None

    def _check(self, name: str | None, spec: str) -> None:
        if name is None or (name in _FIELDS and "{" not in spec):
            return
        given = f"Template({brief(self.text)})"
        if "{" in spec or name.partition(".")[0].partition("[")[0] in _FIELDS:
            raise ScriptError(f"{given}: {{{name}}} reaches into its value, and a field is a text or a number")
        known = ", ".join(f"{{{field}}}" for field in _FIELDS)
        near = did_you_mean(name, _FIELDS)
        raise ScriptError(f"{given}: {{{name}}} is not known.{near} The fields are {known}; write {{{{ for a brace")

    def __call__(self, request: Request) -> Text:
        """Return the answer to a request."""
        return Text(self.text.format_map({name: value(request) for name, value in _FIELDS.items()}))


@dataclass(frozen=True, slots=True)
class Json:
    """Answers with JSON: as text, or as the call of the one tool that the request forces.

    If the request says what its answer has to be like, by a schema or by the parameters of that tool, a value that does
    not fit fails the test. Checking needs the extra ``schemas``.

    Attributes:
        value: what JSON can say; or a pydantic model.
        invalid: True sends the value unchecked, to see what becomes of one that does not fit.

    Raises:
        ScriptError: JSON cannot say the value.
    """

    value: Any
    invalid: bool = field(default=False, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if callable(dump := getattr(self.value, "model_dump", None)) and not isinstance(self.value, type):
            object.__setattr__(self, "value", dump(mode="json", by_alias=True))
        if not isinstance(self.invalid, bool):
            raise ScriptError(f"Json(invalid={brief(self.invalid)}): give True or False")
        try:
            json.dumps(self.value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ScriptError(f"Json({brief(self.value)}) cannot be written as JSON: {error}") from None

    def __call__(self, request: Request) -> Text | ToolCall:
        """Return the answer to a request.

        Raises:
            ScriptError: the value does not fit.
        """
        wanted = wanted_by(request)
        if wanted is not None and not self.invalid and (problems := problems_with(self.value, wanted.schema)):
            raise ScriptError(
                f"{brief(self)} does not fit {_said(wanted)}: {'; '.join(problems)}. Json(..., invalid=True) sends it"
                " all the same"
            )
        return _step(self.value, wanted)


@dataclass(frozen=True, slots=True)
class FromSchema:
    """Answers with a made-up value that fits the schema of the request: as text, or as the call that it forces.

    It needs the extra ``schemas``.

    Attributes:
        seed: the same seed and the same schema give the same value.

    Raises:
        ScriptError: the seed is no whole number.
    """

    seed: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", integer()(self.seed, "FromSchema(seed)"))

    def __call__(self, request: Request) -> Text | ToolCall:
        """Return the answer to a request.

        Raises:
            ScriptError: the request has no schema, or no value that fits it was found.
        """
        wanted = wanted_by(request)
        if wanted is None:
            raise ScriptError(
                f"{self!r} needs a request that has a schema for its answer, such as OpenAI's response_format, or that"
                " forces the call of one tool"
            )
        return _step(value_for(wanted.schema, self.seed), wanted)


@dataclass(frozen=True, slots=True)
class CallTools:
    """Calls each tool that the request offers, with made-up arguments; then answers with a text.

    In the first turn, all tools are called at once. When their results have come, the answer is a text that repeats
    them, or what fits the schema of the request. Where each turn is forced to call a tool, the last one that is offered
    is called then, and not before: with it, frameworks end a run. So one ``respond(CallTools())`` answers a whole run;
    unless ``times`` is given, it answers any number of requests. It needs the extra ``schemas``.

    Attributes:
        seed: the same seed and the same tools give the same arguments.

    Raises:
        ScriptError: the seed is no whole number.
    """

    seed: int = 1
    #: Answers more than one request, unless it is told otherwise.
    answers_all_turns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", integer()(self.seed, "CallTools(seed)"))

    def __call__(self, request: Request) -> list[Text | ToolCall]:
        """Return the answer to a request.

        Raises:
            ScriptError: no arguments were found that fit the schema of a tool.
        """
        tools = tools_of(request.tools)
        forced = [tool for tool in tools if tool.name in forced_names(request.params, request.tool_names)]
        if request.tool_results:
            tools = forced[-1:]
        elif forced:
            tools = forced[:-1] or forced
        elif request.params.get("tool_choice") == "none":
            tools = []
        return [self._call(tool) for tool in tools] or [self._text(request)]

    def _call(self, tool: Tool) -> ToolCall:
        arguments = value_for(tool.schema, self.seed)
        if not isinstance(arguments, dict):
            raise ScriptError(f"the arguments of tool {tool.name!r} are to be {brief(arguments)}, which is no object")
        return ToolCall(tool.name, arguments)

    def _text(self, request: Request) -> Text | ToolCall:
        if wanted_by(request) is not None:
            return FromSchema(self.seed)(request)
        if results := request.tool_results:
            return Text(f"The tools gave: {'; '.join(map(real, results))}")
        return Text("No tool was called.")


def _said(wanted: Wanted) -> str:
    name = f" {wanted.names[0]!r}" if wanted.names else ""
    return f"the schema{name} of the request" if wanted.tool is None else f"the parameters of tool {wanted.tool!r}"


def _step(value: Any, wanted: Wanted | None) -> Text | ToolCall:
    if wanted is None or wanted.tool is None:
        return Text(json.dumps(value, ensure_ascii=False))
    if not isinstance(value, Mapping):
        msg = f"the request forces a call of tool {wanted.tool!r}, whose arguments are an object, not {brief(value)}"
        raise ScriptError(msg)
    return ToolCall(wanted.tool, value)
