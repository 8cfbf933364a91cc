"""Which settings are in force for a run or for one test: those of its markers over those of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import unknown

from .options import SETTINGS
from .settings import MARKER_KEYWORDS, Settings, parse_level, resolve

_LEVELS = pytest.StashKey[tuple[Mapping[str, Any], ...]]()


def of_run(config: pytest.Config) -> Settings:
    """Return what is in force where no marker says anything.

    Raises:
        pytest.UsageError: the command line or the ini file says what is not legal.
    """
    return resolve(_levels(config))


def _levels(config: pytest.Config) -> tuple[Mapping[str, Any], ...]:
    levels = config.stash.get(_LEVELS, None)
    if levels is None:
        options = {setting.name: config.getoption(setting.flag) for setting in SETTINGS}
        inis = {setting.name: config.getini(setting.ini) for setting in SETTINGS}
        try:
            levels = config.stash[_LEVELS] = (
                parse_level(options, spell=lambda setting: setting.flag),
                parse_level(inis, spell=lambda setting: setting.ini),
            )
        except ScriptError as error:
            raise pytest.UsageError(str(error)) from None
    return levels


def of_test(item: pytest.Item) -> Settings:
    """Return what is in force for one test."""
    return resolve([*_marker_levels(item), *_levels(item.config)])


def mistakes_in(marker: pytest.Mark) -> list[str]:
    """Return what is wrong with a ``mockstream`` marker."""
    mistakes = []
    if marker.args:
        mistakes.append(f"takes keywords only, got {marker.args[0]!r}: give some of {', '.join(MARKER_KEYWORDS)}")
    mistakes += [unknown(name, MARKER_KEYWORDS) for name in marker.kwargs if name not in MARKER_KEYWORDS]
    given = {name: value for name, value in marker.kwargs.items() if name in MARKER_KEYWORDS}
    wrong = [mistake for name, value in given.items() if (mistake := _mistake({name: value}))]
    if not wrong and (contradiction := _mistake(given)):
        wrong = [contradiction]
    return mistakes + wrong


def _mistake(given: Mapping[str, object]) -> str | None:
    try:
        parse_level(given, spell=lambda setting: setting.name)
    except ScriptError as error:
        return str(error)
    return None


def _marker_levels(item: pytest.Item) -> list[Mapping[str, Any]]:
    """Return the parsed ``mockstream`` markers of a test, the closest first."""
    return [
        parse_level(marker.kwargs, spell=lambda setting: setting.name) for marker in item.iter_markers("mockstream")
    ]
