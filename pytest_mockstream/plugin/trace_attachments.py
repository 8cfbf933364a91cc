"""Hands traces to what makes reports of its own, where that runs: Allure and pytest-html.

Neither is imported unless it is loaded (checked: allure-pytest 2.16, pytest-html 4.2).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pytest_mockstream._base.paths import relative

_NAME = "mockstream trace"


def attach(config: pytest.Config, page: Path) -> None:
    """Attach a page to the test that Allure has open."""
    if config.pluginmanager.has_plugin("allure_listener") and (allure := sys.modules.get("allure")) is not None:
        allure.attach.file(os.fspath(page), name=_NAME, attachment_type=allure.attachment_type.HTML)


def link(page: str, report: str) -> dict[str, Any]:
    """Return the link to a page, as pytest-html takes it.

    Args:
        page: path of the page.
        report: path of pytest-html's report.
    """
    folder = os.path.dirname(os.path.abspath(os.path.expanduser(os.path.expandvars(report))))
    there = Path(relative(page, folder))
    return {
        "name": _NAME,
        "format_type": "url",
        "content": there.as_uri() if there.is_absolute() else quote(there.as_posix()),
        "mime_type": None,
        "extension": None,
    }
