"""Traces in the reports of Allure and pytest-html, real runs of both."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from traces import traced

pytestmark = pytest.mark.usefixtures("lean_pytest")

SOURCE = """
    import pytest

    @pytest.fixture
    def unset(): raise OSError
    @pytest.fixture
    def untorn():
        yield
        raise OSError

    def test_call(): assert False
    def test_setup(unset): pass
    def test_teardown(untorn): pass
    def test_passes(): pass
"""
FAILED = {"test_call", "test_setup", "test_teardown"}
WORKERS = pytest.mark.parametrize(
    "workers",
    [pytest.param((), id="here"), pytest.param(("-p", "xdist", "-n1"), id="workers", marks=pytest.mark.slow)],
)


@WORKERS
def test_allure_has_the_page_of_each_test_that_failed(pytester: pytest.Pytester, workers: tuple[str, ...]) -> None:
    pytest.importorskip("allure_pytest")
    options = ("-p", "allure_pytest", "--alluredir=allure", *workers)

    traced(pytester, SOURCE, "--mockstream-trace=failed", *options, subprocess=True)

    attached = {result["name"]: result.get("attachments", []) for result in _results(pytester.path / "allure")}
    assert attached.keys() == {*FAILED, "test_passes"}
    assert attached["test_passes"] == []
    for name in FAILED:
        (attachment,) = attached[name]
        assert (attachment["name"], attachment["type"]) == ("mockstream trace", "text/html")
        page = (pytester.path / "allure" / attachment["source"]).read_bytes()
        assert page == (pytester.path / "mockstream-trace" / f"test_it.py-{name}.html").read_bytes()


def _results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*-result.json")]


def test_allure_has_the_page_with_each_attempt(pytester: pytest.Pytester) -> None:
    pytest.importorskip("allure_pytest")
    pytest.importorskip("pytest_rerunfailures")
    options = ("-p", "allure_pytest", "--alluredir=allure", "-p", "rerunfailures", "--reruns=1")

    traced(pytester, "def test_it(): assert 0", "--mockstream-trace=failed", *options, subprocess=True)

    results = sorted(_results(pytester.path / "allure"), key=lambda result: int(result["start"]))
    assert [len(result.get("attachments", [])) for result in results] == [1, 1]


@WORKERS
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param((), id="plain"),
        pytest.param(("--self-contained-html",), id="self-contained", marks=pytest.mark.slow),
    ],
)
def test_pytest_html_links_to_the_page_of_each_test_that_failed(
    pytester: pytest.Pytester, workers: tuple[str, ...], kind: tuple[str, ...]
) -> None:
    pytest.importorskip("pytest_html")
    report = pytester.path / "reports" / "report.html"
    options = ("-p", "pytest_html.plugin", "-p", "pytest_metadata.plugin", f"--html={report}", *workers, *kind)

    traced(pytester, SOURCE, "--mockstream-trace=failed", "--mockstream-trace-dir=a b#", *options, subprocess=True)

    links = _links(report)
    assert links.keys() == FAILED
    for name, targets in links.items():
        (target,) = targets
        there = (report.parent / unquote(target)).resolve()
        assert there == pytester.path / "a b#" / f"test_it.py-{name}.html"
        assert there.exists()


def _links(report: Path) -> dict[str, set[str]]:
    """Return where the links to traces lead, by test."""
    (data,) = re.findall(r'data-jsonblob="([^"]*)"', report.read_text(encoding="utf-8"))
    tests = json.loads(unescape(data))["tests"]
    found: dict[str, set[str]] = {}
    for nodeid, reports in tests.items():
        for each in reports:
            for extra in each["extras"]:
                if extra["name"] == "mockstream trace":
                    found.setdefault(nodeid.split("::")[1], set()).add(extra["content"])
    return found
