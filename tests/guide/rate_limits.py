"""The table of the headers in which providers say what is left of a quota, from the data itself."""

from __future__ import annotations

from pytest_mockstream.wire.rate_limits import NO_RATE_LIMITS, NOT_KNOWN, RATE_LIMITS, Names, Spelling

_HEADINGS = ("provider", "of requests", "of tokens")


def table() -> str:
    """Return the table in Markdown, and under it what is known of the others."""
    lines = [list(_HEADINGS), ["---"] * len(_HEADINGS)]
    lines += [_line(provider, spelling) for provider, spelling in RATE_LIMITS.items()]
    rows = [f"| {' | '.join(line)} |" for line in lines]
    none = [f"- {_linked(provider, source)}: {instead}." for provider, (instead, source) in NO_RATE_LIMITS.items()]
    unknown = ", ".join(f"`{provider}`" for provider in sorted(NOT_KNOWN))
    return "\n".join(
        [
            *rows,
            "",
            "These providers send none; what there is instead:",
            "",
            *none,
            "",
            f"Of {unknown} nothing is known, and none is sent. Give `headers=` if you know better.",
        ]
    )


def _line(provider: str, spelling: Spelling) -> list[str]:
    requests = _listed(spelling.requests)
    if spelling.refused is not None:
        requests += f"; in a refusal {_listed(spelling.refused) or 'none'}"
    return [_linked(provider, spelling.source), requests, _listed(spelling.tokens) or "none"]


def _linked(provider: str, source: str | None) -> str:
    return f"[`{provider}`]({source})" if source else f"`{provider}` (seen in answers, not documented)"


def _listed(names: Names) -> str:
    return ", ".join(f"`{name}`" for name in (names.limit, names.remaining, names.reset, names.window) if name)
