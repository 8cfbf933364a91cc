"""How one test is judged; what its markers say of that is read elsewhere, where there are any.

PYTEST_DONT_REWRITE: it has no asserts, and every run loads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import re

    from pytest_mockstream.leaks import Ignore

#: What is always looked for.
DEFAULT_KINDS = frozenset({"task", "thread", "stream"})


class Plan(NamedTuple):
    """How one test is judged.

    Attributes:
        grace: seconds.
        ignore: what is left on purpose.
        kinds: which kinds are looked for.
        contain: whether tasks that fail the test are cancelled even where their loop lives on.
        strict: whether a leak fails the test in mode ``warn``, too.
        allowed: the reason of ``allow_leaks``, or None.
        expected: kinds and pattern of ``expect_leak``, or None.
        place: the node id of what has ``allow_leaks`` or ``expect_leak``: a test without its parameters, a class or
            a module; empty for none.
        marker: its name.
    """

    grace: float
    ignore: tuple[Ignore, ...] = ()
    kinds: frozenset[str] = DEFAULT_KINDS
    contain: bool = False
    strict: bool = False
    allowed: str | None = None
    expected: tuple[str | None, re.Pattern[str] | None] | None = None
    place: str = ""
    marker: str = ""

    @property
    def optional_kinds(self) -> frozenset[str]:
        """Those of ``kinds`` that are not always looked for."""
        return self.kinds - DEFAULT_KINDS
