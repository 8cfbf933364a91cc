"""Which packages are here, in which version, and whether those that we need are new enough."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement

from .report import Entry

_OURS = "pytest-mockstream"


def version_of(distribution: str) -> str | None:
    """Return the version of what is installed under a name, None if nothing is."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def requirements_of(distribution: str) -> list[Requirement]:
    """Return what an installed distribution needs, its extras' needs included."""
    try:
        lines = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return []
    return [requirement for line in lines if (requirement := _parsed(line)) is not None]


def _parsed(line: str) -> Requirement | None:
    try:
        return Requirement(line)
    except InvalidRequirement:  # of a package that is none of ours
        return None


def applies(requirement: Requirement, extra: str = "") -> bool:
    """Tell whether a requirement holds here, with an extra or without any."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def canonical(name: str) -> str:
    """Return a distribution's name as all spellings of it are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def look() -> Iterator[Entry]:
    """Yield Python, ourselves, what we need and what our extras bring."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    yield Entry(name="Python", says=f"{python}, {sys.platform}", data={"installed": platform.python_version()})
    version = version_of(_OURS)
    yield Entry(
        name=_OURS,
        says=version or "runs from a folder, and is not installed",
        status="ok" if version else "problem",
        remedy="" if version else "Install it, so that pytest finds the plugin: pip install pytest-mockstream",
        data={"installed": version, "needed": None, "extra": None},
    )
    needs = requirements_of(_OURS)
    for need in needs:
        if applies(need):
            yield _entry(need, None)
    for extra in ("server", "looptime"):
        for need in _only(needs, extra):
            yield _entry(need, extra)


def _only(needs: Iterable[Requirement], extra: str) -> list[Requirement]:
    return [need for need in needs if not applies(need) and applies(need, extra) and need.name != _OURS]


def _entry(need: Requirement, extra: str | None) -> Entry:
    version = version_of(need.name)
    wanted = str(need.specifier)
    install = f"{_OURS}[{extra}]" if extra else f"{need.name}{wanted}"
    fits = version is not None and need.specifier.contains(version, prereleases=True)
    says = version or "not installed"
    if version is not None and not fits:
        says += f", but it must be {wanted}"
    is_missed = version is not None or extra is None  # what an extra would bring may be absent
    return Entry(
        name=need.name,
        says=f"{says} ([{extra}])" if extra else says,
        status="problem" if is_missed and not fits else "ok",
        remedy="" if fits else f"pip install -U '{install}'",
        data={"installed": version, "needed": wanted, "extra": extra},
    )
