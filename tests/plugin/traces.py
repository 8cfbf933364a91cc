"""Runs of pytest that write traces, and what came of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pytest_mockstream.trace import SCHEMA

INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
addopts = -p asyncio -p mockstream -p no:cacheprovider
"""
TITLE = "mockstream trace"


@dataclass(frozen=True)
class Traced:
    """One run of pytest that may have written traces.

    Attributes:
        result: what it printed.
        folder: of the traces.
    """

    result: pytest.RunResult
    folder: Path

    @property
    def text(self) -> str:
        """All that it printed."""
        return self.result.stdout.str()

    @property
    def files(self) -> list[str]:
        """The names of the files in the folder."""
        found = sorted(path.name for path in self.folder.iterdir()) if self.folder.is_dir() else []
        return [name for name in found if name != ".gitignore"]

    @property
    def tests(self) -> list[str]:
        """The functions whose traces are there, each whole: a page, and the same data beside it."""
        return [trace["test"]["function"] for trace in self.traces()]

    def traces(self) -> list[dict[str, Any]]:
        """Return what is in the traces."""
        pages = [name for name in self.files if name.endswith(".html")]
        assert self.files == sorted([*pages, *(name.replace(".html", ".json") for name in pages)])
        return [whole(self.folder / page) for page in pages]

    def trace(self, function: str) -> dict[str, Any]:
        """Return the trace of one test."""
        (found,) = [trace for trace in self.traces() if trace["test"]["function"] == function]
        return found


def whole(page: Path) -> dict[str, Any]:
    """Return what a page says, which is what the file beside it says."""
    text = page.read_text(encoding="utf-8")
    assert text.endswith("</html>\n")
    inside = text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    data: dict[str, Any] = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert json.loads(inside) == data
    assert (data["format"], data["version"]) == ("pytest-mockstream trace", 1)
    _validator().validate(data)
    return data


@cache
def _validator() -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    return jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def traced(
    pytester: pytest.Pytester, source: str, *args: str, ini: str = "", subprocess: bool = False, name: str = "test_it"
) -> Traced:
    """Run a test file.

    Args:
        pytester: where.
        source: of the file.
        args: of the command line.
        ini: what is in the ini file besides.
        subprocess: whether pytest needs a process of its own.
        name: of the file.
    """
    pytester.makeini(INI + ini)
    pytester.makepyfile(**{name: source})
    run = pytester.runpytest_subprocess if subprocess else pytester.runpytest_inprocess
    return Traced(run(*args), pytester.path / "mockstream-trace")
