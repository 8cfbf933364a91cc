"""What pytest makes of the current folder: which settings are in force, where they come from, which plugins run along.

pytest itself reads the ini file, PYTEST_ADDOPTS and the conftest files, and is stopped before it looks for tests.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pytest

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.paths import relative
from pytest_mockstream.plugin.settings import parse_level, resolve

from .companions import companions_in
from .report import Entry

_PLUGINS = ("mockstream", "pytest_mockstream.plugin")
_PREFIX = "mockstream_"


def look() -> tuple[list[Entry], list[Entry]]:
    """Return the settings that are in force, and the companions known to interfere."""
    reader = _Reader()
    said = io.StringIO()
    # Our modules are loaded already, too late for pytest to rewrite their asserts: it would warn of that.
    arguments = ["--assert=plain"]
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            status = pytest.main(arguments, plugins=[reader])
        except Exception as error:  # a plugin of the project's has let it out
            said.write(f"pytest ended with {error!r}")
            status = pytest.ExitCode.INTERNAL_ERROR
    if not reader.has_read:
        text = "\n".join(line.removeprefix("ERROR: ") for line in said.getvalue().splitlines() if line.strip())
        says = f"pytest cannot read this project (exit status {int(status)}):\n{text}"
        remedy = "Mend the file that is named, or PYTEST_ADDOPTS; then ask again."
        reader.settings.append(Entry(name="pytest", says=says, status="problem", remedy=remedy))
    return reader.settings, reader.companions


class _Declared:
    """Stands in for pytest's parser, to hear from the plugin itself which options and ini keys there are."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.inis: dict[str, Any] = {}

    def getgroup(self, *_args: Any, **_keywords: Any) -> _Declared:
        return self

    def addoption(self, flag: str, *_flags: str, **keywords: Any) -> None:
        default = False if keywords.get("action") == "store_true" else None
        self.options[flag.removeprefix("--").replace("-", "_")] = keywords.get("default", default)

    def addini(self, name: str, *_args: Any, default: Any = None, **_keywords: Any) -> None:
        self.inis[name] = default


class _Reader:
    """Reads what pytest has read, and ends the run at once."""

    def __init__(self) -> None:
        self.has_read = False
        self.settings: list[Entry] = []
        self.companions: list[Entry] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        self.settings += _settings(config)
        self.companions += companions_in(config)
        self.has_read = True
        return 0


def _settings(config: pytest.Config) -> list[Entry]:
    file = "none" if config.inipath is None else str(config.inipath)
    entries = [Entry(name="ini file", says=file, data={"value": file, "source": None})]
    plugin = next(filter(None, map(config.pluginmanager.get_plugin, _PLUGINS)), None)
    if plugin is None:
        return [*entries, _not_loaded()]
    declared = _Declared()
    plugin.pytest_addoption(declared)
    given = _given(config, declared)
    entries += [_entry(name, value, source) for name, (value, source) in given.items()]
    entries += _unknown(config, declared)
    if not any(entry.status == "problem" for entry in entries):
        try:
            plugin.pytest_configure(config)  # what else the plugin would refuse: values that contradict each other
        except pytest.UsageError as error:
            remedy = "Mend what is named; pytest refuses to start with it."
            return [*entries, Entry(name="together", says=str(error), status="problem", remedy=remedy)]
        entries += _defaults(given, declared)
    return entries


_MEND = "Give one of the values that are named; pytest refuses to start with this one."


def _not_loaded() -> Entry:
    says = "this project does not load the plugin: no fixtures, and no leak check"
    off = "PYTEST_DISABLE_PLUGIN_AUTOLOAD" in os.environ
    remedy = (
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD is set: add `-p mockstream` to addopts."
        if off
        else "Take `-p no:mockstream` out of addopts or PYTEST_ADDOPTS, or install the package here."
    )
    return Entry(name="pytest-mockstream", says=says, status="problem", remedy=remedy)


def _given(config: pytest.Config, declared: _Declared) -> dict[str, tuple[Any, str]]:
    """Return what is given, with its source, by setting; the narrower level wins."""
    given: dict[str, tuple[Any, str]] = {}
    for name in [*declared.options, *(ini for ini in declared.inis if ini not in declared.options)]:
        value = getattr(config.option, name, None)
        if name in declared.options and value != declared.options[name]:
            given[name] = value, _source_of_option(config, _flag(name))
            continue
        try:
            value = config.getini(name) if name in declared.inis else None
        except (pytest.UsageError, TypeError, ValueError) as error:  # which one depends on pytest's version
            given[name] = error, _source_of_ini(config, name)
            continue
        if name in declared.inis and value != declared.inis[name]:
            given[name] = value, _source_of_ini(config, name)
    return given


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _source_of_option(config: pytest.Config, flag: str) -> str:
    if _has_flag(shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), flag):
        return "PYTEST_ADDOPTS"
    if _has_flag(config.getini("addopts"), flag):
        return f"addopts in {_file(config)}"
    return "a plugin or conftest.py"


def _has_flag(arguments: list[str], flag: str) -> bool:
    return any(argument.partition("=")[0] == flag for argument in arguments)


def _source_of_ini(config: pytest.Config, name: str) -> str:
    overrides: list[str] = config.getoption("override_ini", None) or []
    if any(override.partition("=")[0] == name for override in overrides):
        return "-o in addopts or PYTEST_ADDOPTS"
    return _file(config)


def _file(config: pytest.Config) -> str:
    return "no file" if config.inipath is None else relative(str(config.inipath), str(Path.cwd()))


def _entry(name: str, value: Any, source: str) -> Entry:
    from_option = not source.startswith("-o") and "addopts" in source.lower()
    spelling = _flag(name) if from_option else name
    unreadable = isinstance(value, Exception)
    mistake = str(value) if unreadable else _mistake(name, value, spelling)
    return Entry(
        name=spelling,
        says=f"{_text(value) if mistake is None else mistake}  (from {source})",
        status="ok" if mistake is None else "problem",
        remedy="" if mistake is None else _MEND,
        data={"setting": name, "value": None if unreadable else _plain(value), "source": source},
    )


def _mistake(name: str, value: Any, spelling: str) -> str | None:
    try:
        parse_level({name.removeprefix(_PREFIX): value}, spell=lambda _setting: spelling)
    except ScriptError as error:
        return str(error)
    return None


def _unknown(config: pytest.Config, declared: _Declared) -> list[Entry]:
    """Return ini keys that look like ours and are none: pytest only warns of them."""
    entries = []
    for key in getattr(config, "inicfg", ()):
        if key.startswith(_PREFIX) and key not in declared.inis:
            near = get_close_matches(key, declared.inis, 1)
            remedy = f"Is {near[0]} meant?" if near else f"Known are {', '.join(declared.inis)}."
            says = f"no such key  (from {_file(config)})"
            data = {"value": None, "source": _file(config)}
            entries.append(Entry(name=key, says=says, status="problem", remedy=remedy, data=data))
    return entries


def _defaults(given: Mapping[str, tuple[Any, str]], declared: _Declared) -> list[Entry]:
    values = asdict(resolve([]))
    values |= values.pop("pacing")
    known = {name: values.get(name.removeprefix(_PREFIX), None) for name in (*declared.options, *declared.inis)}
    for name, default in {**declared.options, **declared.inis}.items():
        if known[name] is None:
            known[name] = default
    return [
        Entry(
            name=name,
            says=_text(value),
            data={"setting": name, "value": _plain(value), "source": None},
            brief="unset" if value is None or value == [] else "by default",
        )
        for name, value in known.items()
        if name not in given
    ]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str | list) else str(value)
