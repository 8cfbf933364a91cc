"""Every public name with one line, from the docstrings; markers, fixtures, options and hooks from the plugin itself."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import pytest_mockstream
import pytest_mockstream.plugin

#: What users import; the server is not in ``__all__``, for ``import *`` must not need its extra.
PUBLIC = sorted({*pytest_mockstream.__all__, "MockStreamServer"})

_FAKES = {"MockStreamClient", "MockStreamSDK", "MockStreamServer"}


def _is_exception(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def _is_script(value: Any) -> bool:
    module: str = value.__module__
    return module.endswith((".playbook.answers", ".playbook.bad_calls", ".playbook.injected")) or (
        ".script." in module and not module.endswith((".chunks", ".deltas"))
    )


def _is_output(name: str, value: Any) -> bool:
    return not _is_exception(value) and re.search("leak|sweep|orders|recording", name.lower()) is None


#: Heading, and what belongs below it; the first that fits counts.
_GROUPS: tuple[tuple[str, Callable[[str, Any], bool]], ...] = (
    ("What the three fixtures give", lambda name, _: name in _FAKES),
    ("Scripts and steps", lambda _, value: _is_script(value)),
    ("What comes out", _is_output),
    ("Errors and warnings", lambda _, value: _is_exception(value)),
    ("Leaks", lambda name, _: "leak" in name.lower()),
    ("Recordings", lambda name, _: "recording" in name.lower()),
    ("Sweeps", lambda *_: True),
)
#: Whose members are worth a table of their own.
_CLASSES = (
    "MockStreamClient",
    "MockStreamSDK",
    "MockStreamServer",
    "MockStream",
    "Request",
    "StreamChunk",
    "Completion",
    "Gate",
    "SweepResult",
    "OrdersResult",
    "Leak",
    "LeakReport",
    "Recording",
)
_ATTRIBUTE = re.compile(r"^    (?P<name>\w+): (?P<text>.*(?:\n {6,}.*)*)", re.MULTILINE)


def grouped() -> dict[str, list[str]]:
    """Return all public names, in groups."""
    groups: dict[str, list[str]] = {heading: [] for heading, _ in _GROUPS}
    for name in PUBLIC:
        value = getattr(pytest_mockstream, name)
        groups[next(heading for heading, fits in _GROUPS if fits(name, value))].append(name)
    return groups


def page() -> str:
    """Return the page of all names."""
    parts = [
        "# All names",
        "Made from the docstrings by `python tests/make_guide.py`: change them there. `help(name)` says more.",
        "Public is what `from pytest_mockstream import ...` gives, and the fixtures, markers, options and hooks below."
        " Everything else is private, whatever its name.",
    ]
    for heading, names in grouped().items():
        rows = [(f"`{name}`", _first_line(getattr(pytest_mockstream, name))) for name in names]
        parts += [f"## {heading}", _table(("name", "what it is"), rows)]
    parts += ["## Fixtures", _table(("fixture", "what it is"), [(f"`{name}`", text) for name, text in fixtures()])]
    parts += ["## Markers", _table(("marker", "what it does"), [(f"`{name}`", text) for name, text in markers()])]
    options, inis = _said_to_pytest()
    keys = [(f"`{name}`", text) for name, text in inis.items() if "--" + name.replace("_", "-") not in options]
    parts += [
        "## Command line and ini file",
        "Each option is also an ini key, with `_` for `-` and without the dashes in front.",
        _table(("option", "what it does"), [(f"`{name}`", text) for name, text in options.items()]),
        "Only in the ini file:",
        _table(("key", "what it does"), keys),
        "## Hooks",
        _table(("hook", "what it is for"), [(f"`{name}`", text) for name, text in hooks()]),
        "## Members",
    ]
    for name in _CLASSES:
        parts += [f"### {name}", _table(("member", "what it is"), members(getattr(pytest_mockstream, name)))]
    return "\n\n".join(parts) + "\n"


def settings() -> str:
    """Return the table of settings."""
    options, inis = _said_to_pytest()
    (keywords,) = (re.findall(r"\w+", call)[1:] for call, _ in markers() if call.startswith("mockstream("))
    rows = []
    for ini, text in inis.items():
        name, flag = ini.removeprefix("mockstream_"), "--" + ini.replace("_", "-")
        rows.append(
            (f"`{name}=`" if name in keywords else "", f"`{flag}`" if flag in options else "", f"`{ini}`", text)
        )
    return _table(("`@pytest.mark.mockstream(...)`", "command line", "ini file", "what it is"), rows)


def members(kind: type) -> list[tuple[str, str]]:
    """Return the public members of a class, each with one line."""
    found: dict[str, str] = dict(_attributes(kind))
    for base in reversed(kind.__mro__):
        for name, value in vars(base).items():
            if name.startswith("_") or base is object:
                continue
            if isinstance(value, property):
                found[name] = _first_line(value)
            elif inspect.isfunction(value):
                found[f"await {name}()" if inspect.iscoroutinefunction(value) else f"{name}()"] = _first_line(value)
    by_name = sorted(found.items(), key=lambda member: member[0].removeprefix("await "))
    return [(f"`{name}`", text[:1].upper() + text[1:]) for name, text in by_name]


def _attributes(kind: type) -> Iterator[tuple[str, str]]:
    _, _, section = (inspect.getdoc(kind) or "").partition("\nAttributes:\n")
    section = re.split(r"^\S", section, maxsplit=1, flags=re.MULTILINE)[0]
    for match in _ATTRIBUTE.finditer(section):
        yield match["name"], _code(" ".join(match["text"].split()))


def fixtures() -> list[tuple[str, str]]:
    """Return the plugin's fixtures, as ``pytest --fixtures`` tells them."""
    found = re.findall(r"^(mock_stream_\w+)(?: \[.*\])? -- .*\n((?: {4}.*\n?)+)", _pytest("--fixtures"), re.MULTILINE)
    return sorted((name, _code(" ".join(text.split()))) for name, text in found)


def markers() -> list[tuple[str, str]]:
    """Return the plugin's markers with their keywords, as ``pytest --markers`` tells them."""
    names = "mockstream|mockstream_sweep|mockstream_recorded|assert_no_leaks|allow_leaks|expect_leak"
    found = re.findall(rf"^@pytest\.mark\.((?:{names})\(.*?\)): (.*)$", _pytest("--markers"), re.MULTILINE)
    return [(call, _code(text.strip())) for call, text in found]


def hooks() -> list[tuple[str, str]]:
    """Return the hooks that others can implement."""
    specs: list[Any] = []

    class Manager:
        def add_hookspecs(self, module: object) -> None:
            specs.append(module)

    pytest_mockstream.plugin.pytest_addhooks(Manager())  # type: ignore[arg-type] # all that it asks of a manager
    return sorted(
        (f"{name}({', '.join(inspect.signature(value).parameters)})", _first_line(value))
        for spec in specs
        for name, value in vars(spec).items()
        if name.startswith("pytest_mockstream")
    )


def words() -> set[str]:
    """Return how everything is spelled that users write for pytest: fixtures, markers, options, ini keys, hooks."""
    options, inis = _said_to_pytest()
    called = [name for name, _ in (*fixtures(), *markers(), *hooks())]
    return {*options, *inis, *(name.partition("(")[0] for name in called)}


def _said_to_pytest() -> tuple[dict[str, str], dict[str, str]]:
    """Return the plugin's options and ini keys, each with its help."""
    options: dict[str, str] = {}
    inis: dict[str, str] = {}

    class Parser:
        def getgroup(self, *_: str) -> Parser:
            return self

        def addoption(self, name: str, **said: Any) -> None:
            options[name] = _code(said["help"])

        def addini(self, name: str, help: str, **_: Any) -> None:  # noqa: A002 - pytest's own word
            inis[name] = _code(help)

    pytest_mockstream.plugin.pytest_addoption(Parser())  # type: ignore[arg-type] # all that it asks of a parser
    return options, inis


@cache
def _pytest(option: str) -> str:
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "", "COLUMNS": "1000"}
    command = [sys.executable, "-m", "pytest", "-p", "mockstream", option]
    with tempfile.TemporaryDirectory() as empty:
        run = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, check=True)
    return run.stdout


def _first_line(value: Any) -> str:
    return _code((inspect.getdoc(value) or "").partition("\n")[0])


def _code(text: str) -> str:
    """Turn what docstrings and helps write for code into what Markdown does."""
    return text.replace("``", "`").replace("|", r"\|")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
