"""A leak, as a value. It holds nothing of what leaked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from pytest_mockstream._base.callsite import CallSite

#: What is always looked for, and what ``mockstream_leak_kinds`` switches on.
DEFAULT_KINDS = ("task", "thread", "stream")
OPTIONAL_KINDS = ("asyncgen", "coroutine", "exception", "loop", "process", "reader", "server", "socket", "timer")
KINDS = (*DEFAULT_KINDS, *OPTIONAL_KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """One thing that was left running.

    Attributes:
        kind: ``"task"``, ``"thread"``, ``"stream"`` or one of the optional kinds.
        name: the task's or thread's name; of a stream, which request it answers.
        owner: who started it: ``"test"``, ``"fixture:NAME:SCOPE"``, ``"setup"``, ``"import"``, ``"plugin"`` (of a
            session of pytest inside this one) or ``"block"``.
        created_at: the user's line that created it, None where nobody saw it.
        through: the line of a library that created it on behalf of that line, if one did.
        waits_at: the user's line where it waits; where there is none, that of the library's outermost function.
        target: the coroutine or thread function that it runs, with its module: ``"app.stream.pump"``.
        diagnosis: why it does not end, in one sentence, only where that is certain.
        remedy: what to do about it.
        names: what an ignore may call it: its name, its target, and the functions that created it, with their
            modules and without.
        functions: every function in the stack that created it and in the one that waits, for ignores of whole stacks.
        kept_by: what keeps it, if that lasts as long as the process or the loop.
        detail: what else is known, e.g. ``"daemon"``.
        is_note: whether it is worth a warning, and never fails a test that did not ask for it.
        fate: ``"lives"``, for it is left alone; ``"ended"``, where it was made to end; ``"abandoned"``, where it would
            not end, and its loop closes without it.
    """

    kind: str
    name: str
    owner: str = "test"
    created_at: CallSite | None = None
    through: CallSite | None = None
    waits_at: CallSite | None = None
    target: str = ""
    diagnosis: str | None = None
    remedy: str = ""
    names: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    detail: str = ""
    kept_by: str = ""
    is_note: bool = False
    fate: str = "lives"

    @property
    def is_of_wide_fixture(self) -> bool:
        """Whether a fixture started it that outlives its test."""
        return self.owner.startswith("fixture:") and not self.owner.endswith(":function")

    def as_dict(self) -> dict[str, Any]:
        """Return what the JSON report says of it."""
        return {
            "owner": self.owner,
            "kind": self.kind,
            "name": self.name,
            "created_at": self.created_at and str(self.created_at),
            "created_in": self.created_at and self.created_at.function,
            "through": self.through and str(self.through),
            "waits_at": self.waits_at and str(self.waits_at),
            "target": self.target,
            "kept_by": self.kept_by,
            "diagnosis": self.diagnosis,
            "remedy": self.remedy,
            "fate": self.fate,
        }


class Counts(NamedTuple):
    """How many tasks and threads there were before, and are after."""

    tasks: tuple[int, int] = (0, 0)
    threads: tuple[int, int] = (0, 0)
