"""What pip and PyPI show of the package is true and complete."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import entry_points, metadata
from itertools import pairwise
from pathlib import Path

from trove_classifiers import classifiers, deprecated_classifiers

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
HOME = "https://github.com/pytest-mockstream/pytest-mockstream"
SECTION = re.compile(r"^## \[(?P<version>[^]]+)\](?: - (?P<date>\d{4}-\d\d-\d\d))?$", re.MULTILINE)


def test_installed_metadata_is_that_of_the_project() -> None:
    installed = metadata("pytest-mockstream")

    assert installed["Version"] == PROJECT["version"], "installed before the version changed: pip install -e . again"
    assert installed["License-Expression"] == "MIT"
    assert installed["Author"] == "The pytest-mockstream maintainers"
    assert installed["Description-Content-Type"] == "text/markdown"
    assert installed.get_all("Classifier") == PROJECT["classifiers"]
    assert installed.get_all("Project-URL") == [f"{name}, {url}" for name, url in PROJECT["urls"].items()]


def test_pytest_finds_the_plugin() -> None:
    found = [entry.value for entry in entry_points(group="pytest11", name="mockstream")]

    assert set(found) == {"pytest_mockstream.plugin"}


def test_classifiers_are_known() -> None:
    assert [name for name in PROJECT["classifiers"] if name not in classifiers or name in deprecated_classifiers] == []


def test_links_lead_to_the_project() -> None:
    urls = PROJECT["urls"]

    assert [*urls] == ["Homepage", "Documentation", "Changelog", "Issues"]
    assert urls["Homepage"] == HOME
    assert all(url.startswith(HOME) for url in urls.values())


def test_changelog_has_a_dated_section_for_each_version_and_an_open_one_above() -> None:
    sections = [(match["version"], match["date"]) for match in SECTION.finditer(CHANGELOG)]

    assert sections[0] == ("Unreleased", None)
    assert sections[1][0] == PROJECT["version"]
    assert all(date for _, date in sections[1:])
    assert sections[1:] == sorted(sections[1:], key=lambda section: str(section[1]), reverse=True)


def test_changelog_links_each_version_to_what_changed() -> None:
    versions = [match["version"] for match in SECTION.finditer(CHANGELOG)][1:]
    links = dict(re.findall(r"^\[([^]]+)\]: (\S+)$", CHANGELOG, re.MULTILINE))

    expected = {"Unreleased": f"{HOME}/compare/v{versions[0]}...HEAD"}
    for newer, older in pairwise(versions):
        expected[newer] = f"{HOME}/compare/v{older}...v{newer}"
    expected[versions[-1]] = f"{HOME}/releases/tag/v{versions[-1]}"
    assert links == expected
