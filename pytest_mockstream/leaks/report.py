"""What one test, fixture or block left running, and the text that says so. Source lines are read from files."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pytest_mockstream._base.callsite import CallSite

from .stacks import module_of
from .values import Counts, Leak

_NONE_COUNTED = Counts()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakReport:
    """Everything that one test, fixture or block left running.

    Attributes:
        leaks: in the order they were started, tasks first.
        counts: before and after.
        grace: seconds that were waited at most.
        title: what leaked: the name of the test, or "the block".
    """

    leaks: tuple[Leak, ...] = ()
    counts: Counts = _NONE_COUNTED
    grace: float = 0.2
    title: str = "the block"

    def __bool__(self) -> bool:
        return bool(self.leaks)

    def __str__(self) -> str:
        return _render(self)


_OWNERS = {
    "test": "",
    "block": "",
    "setup": ", by a hook of another plugin that sets the test up",
    "import": ", by an import",
    "plugin": ", by a plugin of a pytest session inside this one",
}

_FATES = {"ended": "Ended now", "abandoned": "Abandoned by its loop, which closes"}


def _render(report: LeakReport) -> str:
    """Return what leaked, why, and what to do, identical leaks grouped."""
    if not report.leaks:
        return f"{report.title} left nothing running"
    number = len(report.leaks)
    lines = [
        f"{report.title} left {number} {'thing' if number == 1 else 'things'} running{_counted(report)},"
        f" still there after {report.grace:.2f} s:"
    ]
    lines += entries(report.leaks)
    lines.append(f"  To exempt what is meant to live on: {exemption(report.leaks)}")
    for fate, said in _FATES.items():
        if found := [leak for leak in report.leaks if leak.fate == fate]:
            lines.append(f"  {said}: {', '.join(_what(leak, names) for leak, names in _grouped(found))}.")
    return "\n".join(lines)


def _counted(report: LeakReport) -> str:
    """Return how many tasks and threads there were and are, where these are what leaked."""
    if not {"task", "thread"} & {leak.kind for leak in report.leaks}:
        return ""
    counts = report.counts
    return f" (tasks {counts.tasks[0]} -> {counts.tasks[1]}, threads {counts.threads[0]} -> {counts.threads[1]})"


def exemption(leaks: Iterable[Leak]) -> str:
    """Return how to exempt leaks by their creators, or by name where the creator is not known."""
    found = list(leaks)
    keys = creators(found)
    if not keys:
        return naming(found)
    if any(leak.owner == "block" for leak in found):
        return f"leak_check(ignore={keys!r})"
    if any(leak.is_of_wide_fixture for leak in found):
        return f"{', '.join(keys)} in mockstream_leak_ignore, in the ini file"
    return f"@pytest.mark.assert_no_leaks(ignore={keys!r}), or mockstream_leak_ignore in the ini file"


def naming(leaks: Iterable[Leak]) -> str:
    """Return how to make leaks ones that an ignore can name, where nothing names them yet."""
    if any(_UNNAMEABLE.fullmatch(leak.name) for leak in leaks):
        return "give it a function of your own to run, then ignore that function"
    return "give it a name, then ignore that name"


#: Of the default executors of asyncio and anyio, of ``_thread``, and of what waits for a worker: nobody can name these.
_UNNAMEABLE = re.compile(r"asyncio_\d+|AnyIO worker thread|_thread \d+|job of a pool")
_GIVEN_BY_PYTHON = re.compile(rf"(Task|Thread|ThreadPoolExecutor|Dummy)-(\d+|N)\b.*|{_UNNAMEABLE.pattern}")


_UNNAMED = "Task-0"


def _key(leak: Leak) -> str | None:
    """Return what an ignore of a leak would name, and of no other: None where nothing does."""
    if leak.kind not in {"task", "thread"}:
        return leak.created_at.function.rpartition("<locals>.")[2] if leak.created_at else leak.name
    if not _GIVEN_BY_PYTHON.fullmatch(leak.name):
        return re.escape(leak.name).replace(r"\ ", " ").replace(r"\-", "-")
    if leak.target and leak.target.partition(".")[0] not in sys.stdlib_module_names:
        return leak.target
    creator = leak.through or leak.created_at
    if creator is None or creator.function.rpartition(".")[2].startswith(("<", "test")):
        return None
    module = module_of(creator.filename)
    return f"{module}.{creator.function}" if module else creator.function


def creators(leaks: Iterable[Leak]) -> list[str]:
    """Return what exempts leaks: the names that somebody gave them, or else their functions, or their creators."""
    keys: dict[str, None] = {}
    for leak, names in _grouped(leaks):
        named = [replace(leak, name=name) for name in dict.fromkeys(names)]
        common = _key(replace(leak, name=_UNNAMED)) if len(named) > 1 else None
        keys.update(dict.fromkeys([common] if common else filter(None, map(_key, named))))
    return list(keys)


def entries(leaks: Iterable[Leak]) -> list[str]:
    """Return the lines that say of each leak what and where it is, why, and what to do."""
    return [line for leak, names in _grouped(leaks) for line in _entry(leak, names)]


def _grouped(leaks: Iterable[Leak]) -> list[tuple[Leak, list[str]]]:
    groups: dict[Leak, list[str]] = {}
    for leak in leaks:
        groups.setdefault(replace(leak, name="", names=frozenset()), []).append(leak.name)
    return list(groups.items())


def _entry(leak: Leak, names: list[str]) -> list[str]:
    waits = f" {'waits' if len(names) == 1 else 'wait'} at {place(leak.waits_at)}" if leak.waits_at else ""
    lines = [f"  {_what(leak, names)}{f' ({leak.detail})' if leak.detail else ''}{waits}"]
    verb = "opened" if leak.kind == "stream" else "created"
    created = f"{leak.created_at} in {leak.created_at.function}" if leak.created_at else "a place that nobody saw"
    through = f", through {leak.through} in {leak.through.function}" if leak.through else ""
    lines.append(f"    {verb} at {created}{through}{_by(leak.owner)}")
    lines.append("    " + " ".join(part for part in (leak.diagnosis, leak.remedy) if part))
    return lines


def _what(leak: Leak, names: list[str]) -> str:
    return f"{leak.kind} {names[0]!r}" if len(names) == 1 else f"{len(names)} {leak.kind}s {_some(names)}"


def _some(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:3]))
    return shown if len(names) <= 3 else f"{shown}, ..."


def _by(owner: str) -> str:
    if owner.startswith("fixture:"):
        _, name, scope = owner.split(":")
        return f", by the fixture {name!r} ({scope})"
    return _OWNERS.get(owner, "")


def place(site: CallSite) -> str:
    """Return a place with its source line."""
    source = linecache.getline(site.filename, site.lineno).strip()
    return f"{site} in {site.function}{f': {source}' if source else ''}"
