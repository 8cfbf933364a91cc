"""The table of dialects of OpenAI's format: for each provider, what it says in its own way, from the data itself."""

from __future__ import annotations

from pytest_mockstream.wire import DIALECTS, Dialect, base_of

_HEADINGS = (
    "`provider=`",
    "`base_url(...)` of the server",
    "reasoning is in",
    "a stream says its usage in",
    "a tool call comes",
    "finish reasons of its own",
    "a 429 looks like",
)
_OPENAI = {"message": "…", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}
_REASONING = {"thinking parts": "parts of `content`, `thinking`", "<think>": "the text, `<think>…</think>`"}
_COMMON = {"stop", "length", "tool_calls", "content_filter", "function_call"}


def table() -> str:
    """Return the table in Markdown."""
    lines = [list(_HEADINGS), ["---"] * len(_HEADINGS)]
    lines += [_line(provider, dialect) for provider, dialect in DIALECTS.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _line(provider: str, dialect: Dialect) -> list[str]:
    own = [word for word in dialect.finish_reasons.values() if word not in _COMMON]
    call = "whole" if dialect.whole_calls else "in fragments, the name first" if dialect.name_first else "in fragments"
    return [
        f'[`"{provider}"`]({dialect.source})',
        f"`{base_of(provider) or '/'}`",
        _REASONING.get(dialect.reasoning, f"`{dialect.reasoning}`" + _details(dialect)),
        _usage(dialect),
        call,
        ", ".join(f"`{word}`" for word in dict.fromkeys(own)),
        f"`{_shown(dialect.error(429, _OPENAI))}`",
    ]


def _details(dialect: Dialect) -> str:
    return ", `reasoning_details`" if dialect.reasoning_details else ""


def _usage(dialect: Dialect) -> str:
    if dialect.usage_in.startswith("own chunk"):
        behind = "with an empty choice" if dialect.usage_has_choice else "with `choices: []`"
        asked = ", if asked for" if dialect.usage_in == "own chunk, if asked" else ""
        return f"a chunk of its own, {behind}{asked}"
    return f"the {dialect.usage_in}" if dialect.usage_in == "last chunk" else dialect.usage_in


def _shown(value: object) -> str:
    """Write JSON with the names of its fields, and of the values only numbers and what is no text of ours."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_shown(item)}" for name, item in value.items()) + "}"
    return f'"{value}"' if value == "error" or value == "429" else str(value) if isinstance(value, int) else "…"
