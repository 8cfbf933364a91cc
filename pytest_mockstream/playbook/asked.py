"""Finds what a request asks its answer to be like: the tools that it offers or forces, and the schema that it wants.

It is pure, and knows the shapes of all providers, but not who was asked: gateways mix them.

OpenAI: https://platform.openai.com/docs/guides/structured-outputs; Anthropic:
https://platform.claude.com/docs/en/build-with-claude/structured-outputs; Gemini:
https://ai.google.dev/gemini-api/docs/structured-output; Ollama: https://docs.ollama.com/capabilities/structured-outputs;
Bedrock: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolChoice.html; Cohere:
https://docs.cohere.com/docs/structured-outputs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: A JSON schema: https://json-schema.org/draft/2020-12
Schema: TypeAlias = Mapping[str, Any]

# Tuples: a type may be anything that JSON has, also what has no hash.
_JSON_MODES = ("json", "json_object")
_FORMATS = ("text", *_JSON_MODES, "json_schema")
_OBJECT: Schema = {"type": "object"}  # "JSON mode", without a schema
_TYPES_OF_FUNCTIONS = (None, "function", "custom")


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that a request offers, and that its sender runs.

    Attributes:
        name: its name.
        schema: of its arguments.
    """

    name: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an answer has to be like.

    Attributes:
        schema: the schema of its JSON.
        name: what the request calls it; "" if it has no name for it.
        tool: the tool that has to be called with it; None if it is the text of the answer.
    """

    schema: Schema
    name: str = ""
    tool: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All names that it goes by: that of the request, and the title of the schema."""
        title = self.schema.get("title")
        return tuple(name for name in (self.name, title) if isinstance(name, str) and name)


def tools_of(tools: Iterable[Mapping[str, Any]]) -> list[Tool]:
    """Return the tools among those of a request that its sender runs, in every provider's shape."""
    return [tool for one in declared(tools) if (tool := _tool(one)) is not None]


def declarations(tools: Iterable[Mapping[str, Any]]) -> Iterator[Any]:
    """Yield what a request has for the declaration of each tool, without what a provider wraps around it."""
    for tool in tools:
        several = tool.get("functionDeclarations") or tool.get("function_declarations")
        for one in several if isinstance(several, list) else [tool]:
            yield one.get("function", one.get("toolSpec", one)) if isinstance(one, Mapping) else one


def declared(tools: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the declaration of each tool that has one."""
    return (one for one in declarations(tools) if isinstance(one, Mapping))


def _tool(declaration: Mapping[str, Any]) -> Tool | None:
    name = declaration.get("name")
    if not isinstance(name, str) or declaration.get("type") not in _TYPES_OF_FUNCTIONS:
        return None
    for field in ("parameters", "input_schema", "parametersJsonSchema", "parameters_json_schema", "inputSchema"):
        if isinstance(schema := declaration.get(field), Mapping):
            return Tool(name, _plain(schema["json"] if isinstance(schema.get("json"), Mapping) else schema))
    return Tool(name, {"type": "object", "properties": {}})


def wanted(params: Mapping[str, Any], tools: Iterable[Mapping[str, Any]]) -> Wanted | None:
    """Return what an answer has to be like; None if it may be anything.

    Args:
        params: the fields of the request, without model, messages and tools.
        tools: the tools that it offers.
    """
    offered = {tool.name: tool for tool in tools_of(tools)}
    forced = [offered[name] for name in forced_names(params, offered) if name in offered]
    if len(forced) == 1:
        return Wanted(forced[0].schema, forced[0].name, forced[0].name)
    return next(_of_text(params), None)


def forced_names(params: Mapping[str, Any], offered: Iterable[str]) -> list[str]:
    """Return the names of the tools of which the answer has to call one; none if it need not call any."""
    choice = params.get("tool_choice", params.get("toolChoice"))
    config = _mapping(params, "toolConfig") or _mapping(params, "tool_config")
    calling = _mapping(config, "functionCallingConfig") or _mapping(config, "function_calling_config")
    if config.get("toolChoice"):
        choice = config["toolChoice"]
    elif str(calling.get("mode")).upper() == "ANY":
        return _texts(calling.get("allowedFunctionNames", calling.get("allowed_function_names"))) or list(offered)
    if isinstance(choice, str):
        return list(offered) if choice.lower() in {"required", "any"} else [name for name in offered if name == choice]
    if not isinstance(choice, Mapping):
        return []
    if choice.get("type") == "allowed_tools":
        allowed = _mapping(choice, "allowed_tools") or choice
        listed = allowed.get("tools")
        tools = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
        return _texts([one.get("name") for one in declared(tools)]) if allowed.get("mode") == "required" else []
    named = _mapping(choice, "function") or _mapping(choice, "tool") or choice
    if isinstance(name := named.get("name"), str):
        return [name]
    return list(offered) if choice.get("type") == "any" or "any" in choice else []


def _of_text(params: Mapping[str, Any]) -> Iterator[Wanted]:
    """Yield what the text of the answer has to be like, as each provider says it."""
    for asked in (
        params.get("response_format"),  # OpenAI's chat and those like it, Cohere
        _mapping(params, "text").get("format"),  # OpenAI's responses
        _mapping(params, "output_config").get("format"),  # Anthropic
        params.get("output_format"),  # Anthropic, before
        params.get("format"),  # Ollama
    ):
        if asked in _JSON_MODES:
            yield Wanted(_OBJECT)
        elif isinstance(asked, Mapping) and asked:
            yield from _of_format(asked)
    config = _mapping(params, "generationConfig") or _mapping(params, "generation_config")
    for field in ("responseSchema", "response_schema", "responseJsonSchema", "response_json_schema"):
        if isinstance(schema := config.get(field), Mapping):
            yield Wanted(_plain(schema))
    if config.get("responseMimeType", config.get("response_mime_type")) == "application/json":
        yield Wanted(_OBJECT)
    structure = _mapping(_mapping(_mapping(params, "outputConfig"), "textFormat"), "structure")
    if said := _mapping(structure, "jsonSchema"):
        yield from _named(said.get("schema"), said)


def _of_format(asked: Mapping[str, Any]) -> Iterator[Wanted]:
    inner = _mapping(asked, "json_schema")
    for schema, said in (
        (inner.get("schema", inner.get("schema_definition")), inner),
        (asked.get("schema"), asked),
        (inner or None, {}),
        (asked if {"type", "properties", "anyOf", "$ref", "$defs"} & asked.keys() else None, {}),
    ):
        if schema is not None and not _is_name_of_format(schema):
            yield from _named(schema, said)
            return
    if asked.get("type") in _JSON_MODES:
        yield Wanted(_OBJECT)


def _is_name_of_format(schema: object) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") in _FORMATS


def _named(schema: object, said: Mapping[str, Any]) -> Iterator[Wanted]:
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except ValueError:
            return
    if isinstance(schema, Mapping):
        name = said.get("name")
        yield Wanted(schema, name if isinstance(name, str) else "")


def _texts(values: object) -> list[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _mapping(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = value.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _plain(schema: Schema) -> Schema:
    """Return a schema of Gemini's, which is one of OpenAPI 3.0, as a JSON schema; a JSON schema stays as it is.

    See https://ai.google.dev/api/caching#Schema.
    """
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "type" and isinstance(value, str):
            made[key] = value.lower()
        elif key in {"items", "additionalProperties", "not"} and isinstance(value, Mapping):
            made[key] = _plain(value)
        elif key in {"properties", "$defs"} and isinstance(value, Mapping):
            made[key] = {name: _plain(one) if isinstance(one, Mapping) else one for name, one in value.items()}
        elif key in {"anyOf", "oneOf", "allOf"} and isinstance(value, list):
            made[key] = [_plain(one) if isinstance(one, Mapping) else one for one in value]
        elif key in _COUNTS and isinstance(value, str) and _COUNT.fullmatch(value):
            made[key] = int(value)
        elif key not in {"nullable", "propertyOrdering"}:
            made[key] = value
    return {"anyOf": [made, {"type": "null"}]} if schema.get("nullable") is True else made


#: Numbers of 64 bits, which JSON has as text: https://protobuf.dev/programming-guides/json/
_COUNT = re.compile(r"[0-9]{1,18}")
_COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
