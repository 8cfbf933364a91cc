"""Explains a failed comparison with a record of requests, without the secrets in it.

pytest shows what differs in two texts by their characters, and all of a dict that hides its secrets beside all of the
one it was compared with, which does not.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pytest_mockstream._base.redaction import Secrets, holds_hidden, shown


def explained(config: pytest.Config, op: str, left: object, right: object) -> list[str] | None:
    """Return the explanation; None where there is nothing to hide, for pytest's own."""
    if not (holds_hidden(left) or holds_hidden(right)):
        return None
    one, other = map(shown, Secrets().hide(left, right))
    if one == other:
        return [f"{one!r} {op} {other!r}", "", "They differ in what is not shown here."]
    found: Iterable[Iterable[str] | None] = config.hook.pytest_assertrepr_compare(
        config=config, op=op, left=one, right=other
    )
    return next((list(lines) for lines in found if lines), None) or [f"{one!r} {op} {other!r}"]
