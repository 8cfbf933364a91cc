"""The report as text.

The wall: values in, text out; source lines are read from files, nothing else is looked at.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterable
from dataclasses import replace

from pytest_mockstream._base.callsite import CallSite

from .values import Leak, LeakReport

_OWNERS = {
    "test": "",
    "block": "",
    "setup": ", by a hook of another plugin that sets the test up",
    "import": ", by an import",
    "plugin": ", by a plugin of a pytest session inside this one",
}

_FATES = {"ended": "Ended now", "abandoned": "Abandoned by its loop, which closes"}


def render(report: LeakReport) -> str:
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
    if any(leak.owner == "block" for leak in found):
        return f"leak_check(ignore={keys!r})"
    if any(leak.is_of_wide_fixture for leak in found):
        return f"{', '.join(keys)} in mockstream_leak_ignore, in the ini file"
    return f"@pytest.mark.assert_no_leaks(ignore={keys!r}), or mockstream_leak_ignore in the ini file"


def _key(leak: Leak) -> str:
    """Return what an ignore of a leak would name: ``Server.__init__`` rather than every ``__init__``."""
    site = leak.created_at or leak.waits_at
    return site.function.rpartition("<locals>.")[2] if site else leak.name


def creators(leaks: Iterable[Leak]) -> list[str]:
    """Return what exempts leaks: the functions that created them, or else where they wait, or else their names."""
    return list(dict.fromkeys(_key(leak) for leak in leaks))


def entries(leaks: Iterable[Leak]) -> list[str]:
    """Return the lines that say of each leak what and where it is, why, and what to do."""
    return [line for leak, names in _grouped(leaks) for line in _entry(leak, names)]


def _grouped(leaks: Iterable[Leak]) -> list[tuple[Leak, list[str]]]:
    groups: dict[Leak, list[str]] = {}
    for leak in leaks:
        groups.setdefault(replace(leak, name=""), []).append(leak.name)
    return list(groups.items())


def _entry(leak: Leak, names: list[str]) -> list[str]:
    waits = f" waits at {place(leak.waits_at)}" if leak.waits_at else ""
    lines = [f"  {_what(leak, names)}{f' ({leak.detail})' if leak.detail else ''}{waits}"]
    verb = "opened" if leak.kind == "stream" else "created"
    created = f"{leak.created_at} in {leak.created_at.function}" if leak.created_at else "a place that nobody saw"
    lines.append(f"    {verb} at {created}{_by(leak.owner)}")
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
