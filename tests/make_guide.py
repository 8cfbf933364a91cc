"""Write the parts of the guide that are generated: run this when a docstring, a setting or a report has changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from guide import companions, dialects, endpoints, faults, frameworks, names, picture, providers, rate_limits
from guide.pages import EXAMPLES, PAGES

#: Files that are generated as a whole.
_FILES: Mapping[Path, Callable[[], str]] = {
    EXAMPLES / "names.md": names.page,
    EXAMPLES / "leak_report.svg": picture.picture,
}
#: Parts of pages, by the name that their mark gives them.
_PARTS: Mapping[str, Callable[[], str]] = {
    "settings": names.settings,
    "faults": faults.table,
    "endpoints": endpoints.table,
    "companions": companions.table,
    "dialects": dialects.table,
    "frameworks": frameworks.table,
    "providers": providers.table,
    "provider_faults": providers.faults,
    "rate_limits": rate_limits.table,
}
_MARKED = re.compile(r"(?P<start><!-- generated: (?P<name>\w+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)


def to_make() -> list[Path]:
    """Return each file that is generated, or that has a generated part."""
    return [*_FILES, *(page for page in PAGES if _MARKED.search(page.read_text(encoding="utf-8")))]


def made(path: Path) -> str:
    """Return what such a file should say."""
    if path in _FILES:
        return _FILES[path]()
    text = path.read_text(encoding="utf-8")
    return _MARKED.sub(lambda match: f"{match['start']}{_PARTS[match['name']]()}\n{match['end']}", text)


if __name__ == "__main__":
    for path in to_make():
        path.write_text(made(path), encoding="utf-8")
