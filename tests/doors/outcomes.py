"""What a consumer got, in one line: what was said, or the exception and its cause."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any


async def outcome_of(asking: Awaitable[Any]) -> str:
    """Await what a consumer does, and return in one line what it got, or the exception and its cause."""
    try:
        said = await asking
    except Exception as error:
        cause = error.__cause__ or (error.__context__ if not error.__suppress_context__ else None)
        return " <- ".join(map(_name, filter(None, (error, cause))))
    return f"{said.text!r} {said.finish}"


def _name(error: BaseException) -> str:
    kind = type(error)
    return f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
